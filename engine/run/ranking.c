/* Ranking by products of rows (tkg_rank): checks, memory, and the backend that does it. */
#include <string.h>

#include "base/error.h"
#include "base/ranking.h"
#include "base/tensor.h"
#include "ranking_divided.h"

static bool is_matrix(const tkg_tensor *t) {
  return t && t->shape.rank == 2 && (t->shape.dtype == TKG_F32 || t->shape.dtype == TKG_BF16);
}

static int check_part(const tkg_ranking *r, int p, const tkg_tensor *users,
                      const tkg_tensor *items) {
  char text[2][TKG_SHAPE_TEXT];
  if (!is_matrix(users) || !is_matrix(items) || users->shape.shape[1] != items->shape.shape[1] ||
      items->shape.shape[0] < r->items || r->items > INT32_MAX)
    return tkg__fail(TKG_E_SHAPE, "rank: part %d: rows of users %s, of %lld items %s", p + 1,
                     users ? tkg__shape_text(&users->shape, text[0]) : "none", (long long)r->items,
                     items ? tkg__shape_text(&items->shape, text[1]) : "none");
  for (int64_t i = 0; i < r->n; i++)
    if (r->rows[i] < 0 || r->rows[i] >= users->shape.shape[0])
      return tkg__fail(TKG_E_RANGE, "rank: row %d of a user: there are %lld", r->rows[i],
                       (long long)users->shape.shape[0]);
  return TKG_OK;
}

static int add_part(tkg_ranking *r, const tkg_tensor *users, const tkg_tensor *items) {
  int status = check_part(r, r->parts, users, items);
  if (status) return status;
  r->part[r->parts++] = (tkg_ranked_part){
      .users = users->data,
      .items = items->data,
      .cols = users->shape.shape[1],
      .half_users = users->shape.dtype == TKG_BF16,
      .half_items = items->shape.dtype == TKG_BF16,
  };
  return TKG_OK;
}

/* Allocates and counts the memory, runs, and frees it; a plan-only engine counts alone. */
static int run(tkg_engine *engine, const tkg_ranking *r) {
  const tkg_backend *backend = engine->backend;
  const int64_t bytes = backend->rank_bytes(r);
  void *memory = engine->plan_only ? NULL : backend->allocate(bytes);
  if (!memory && !engine->plan_only)
    return tkg__fail(TKG_E_MEMORY, "rank: no memory for %lld bytes of scores", (long long)bytes);
  tkg__memory_add(engine, TKG_KIND_TRANSIENT, bytes);
  int status = TKG_OK;
  if (engine->plan_only)
    for (int64_t i = 0; i < r->n * r->k; i++) r->top[i] = -1;
  else
    status = tkg__keep_backend_message(backend, backend->rank(r, memory));
  tkg__memory_add(engine, TKG_KIND_TRANSIENT, -bytes);
  if (memory) backend->release(memory);
  return status;
}

int tkg_rank(tkg_engine *engine, const tkg_tensor *const *users, const tkg_tensor *const *items,
             int parts, int64_t item_count, const int32_t *rows, const int32_t *ids, int64_t n,
             const int32_t *known_offsets, const int32_t *known_items, int k,
             int32_t *top,        // NOLINT(readability-non-const-parameter): written
             float *top_scores) { // NOLINT(readability-non-const-parameter): written
  TKG__NEEDS(engine && users && items && top && top_scores && (n == 0 || (rows && ids)),
             TKG_E_ARGUMENT);
  if (!engine->backend->rank)
    return tkg__fail(TKG_E_UNSUPPORTED, "rank: not on %s", engine->backend->name);
  if (parts < 1 || parts > TKG_RANKED_PARTS || k < 1 || n < 0 || item_count < 0)
    return tkg__fail(TKG_E_ARGUMENT, "rank: %d parts, the best %d of %lld items for %lld users",
                     parts, k, (long long)item_count, (long long)n);
  tkg_ranking r = {.items = item_count,
                   .count = item_count,
                   .n = n,
                   .rows = rows,
                   .users = ids,
                   .known_offsets = known_offsets,
                   .known_items = known_items,
                   .k = k,
                   .top = top,
                   .top_scores = top_scores,
                   .threads = engine->threads};
  int status = TKG_OK;
  bool divided = false;
  for (int p = 0; p < parts && !status; p++) {
    status = add_part(&r, users[p], items[p]);
    divided |= !status && (users[p]->divided || items[p]->divided);
  }
  if (status || (n == 0 && !divided)) return status;
  return divided ? tkg__rank_divided(engine, &r, users, items) : run(engine, &r);
}

int tkg_ranks(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->backend->rank != NULL;
}
