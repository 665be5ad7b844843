#include "ranking_divided.h"

#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/error.h"
#include "collective/collective.h"

enum { PIECE = 4 * TKG_RANKED_ITEMS }; /* items whose rows are fetched at once */

/* What ranks fetch from each other. */
typedef struct fetched {
  tkg_engine *engine;
  tkg_ranking *r;
  int ranks;
  int64_t all;          /* users of all ranks */
  int64_t *users;       /* of each rank */
  int64_t *send, *come; /* bytes, of each rank */
  int32_t *rows;        /* [all]: of users, rank by rank */
  int32_t *own_rows;    /* [n]: 0, 1, ... */
  char *of_users[TKG_RANKED_PARTS], *of_items[TKG_RANKED_PARTS];
  char *packed, *blocks; /* columns on their way: rows of a rank, one rank after the other */
  int64_t bytes;
} fetched;

static int64_t size_of(const tkg_tensor *t) { return t->shape.dtype == TKG_BF16 ? 2 : 4; }

/* Bytes of a row of a tensor, and of the part of it that a rank has. */
static int64_t row_bytes(const tkg_tensor *t) { return tkg__cols(&t->shape) * size_of(t); }
static int64_t own_bytes(const fetched *f, const tkg_tensor *t) {
  return row_bytes(t) / (t->divided ? f->ranks : 1);
}

static int no_memory(void) { return tkg__fail(TKG_E_MEMORY, "rank: no memory for rows of users"); }

/* ---- memory ---- */

static char *take(fetched *f, int64_t bytes) {
  f->bytes += bytes;
  return f->engine->plan_only ? NULL : malloc((size_t)bytes + 1);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Allocates rows of users and of a piece of items, and what is on its way; counts them. */
static int allocate(fetched *f, const tkg_tensor *const *users, const tkg_tensor *const *items) {
  const int64_t n = f->r->n, piece = f->r->items < PIECE ? f->r->items : PIECE;
  int64_t packed = 0, blocks = 0;
  bool lacks = false;
  for (int p = 0; p < f->r->parts; p++) {
    packed = larger(packed, f->all * own_bytes(f, users[p]));
    blocks = larger(blocks, larger(n * row_bytes(users[p]), piece * row_bytes(items[p])));
    lacks |= !(f->of_users[p] = take(f, n * row_bytes(users[p])));
    if (items[p]->divided) lacks |= !(f->of_items[p] = take(f, piece * row_bytes(items[p])));
  }
  lacks |= !(f->packed = take(f, packed)) || !(f->blocks = take(f, blocks));
  lacks |= !(f->own_rows = (int32_t *)take(f, 4 * n));
  lacks |= !(f->r->state = (int32_t *)take(f, 8 * n));
  return lacks && !f->engine->plan_only ? no_memory() : TKG_OK;
}

static void release(fetched *f) {
  for (int p = 0; p < f->r->parts; p++) {
    free(f->of_users[p]);
    free(f->of_items[p]);
  }
  free(f->packed);
  free(f->blocks);
  free(f->own_rows);
  free(f->r->state);
  free(f->rows);
  free(f->users);
}

/* ---- fetching ---- */

/* Tells all ranks which rows of users this one needs. */
static int share_rows(fetched *f) {
  tkg_collective *c = f->engine->collective;
  f->users = calloc(3 * (size_t)f->ranks, sizeof *f->users);
  if (!f->users) return no_memory();
  f->send = f->users + f->ranks;
  f->come = f->send + f->ranks;
  f->all = f->r->n * f->ranks;
  if (f->engine->plan_only) return TKG_OK;
  int status = tkg__all_gather_equal(c, &f->r->n, f->users, sizeof f->r->n);
  f->all = 0;
  for (int r = 0; r < f->ranks && !status; r++) {
    f->all += f->users[r];
    f->send[r] = 4 * f->users[r];
  }
  f->rows = status ? NULL : malloc(4 * (size_t)f->all + 1);
  if (!status && !f->rows) status = no_memory();
  return status ? status : tkg__all_gather(c, f->r->rows, f->rows, f->send);
}

/* Copies blocks, one per rank, of n rows of its columns, to whole rows. */
static void join(const fetched *f, const char *blocks, int64_t n, int64_t own, char *to) {
  for (int r = 0; r < f->ranks; r++)
    for (int64_t i = 0; i < n; i++)
      memcpy(to + (i * f->ranks + r) * own, blocks + (r * n + i) * own, (size_t)own);
}

/* Fetches the rows of this rank's users of one part. */
static int fetch_users(const fetched *f, const tkg_tensor *t, char *to) {
  const int64_t own = own_bytes(f, t), n = f->r->n;
  const char *from = t->data;
  if (!to || !f->packed) return no_memory();
  if (!t->divided) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * own, from + f->r->rows[i] * own, (size_t)own);
    return TKG_OK;
  }
  for (int64_t i = 0; i < f->all; i++)
    memcpy(f->packed + i * own, from + f->rows[i] * own, (size_t)own);
  for (int r = 0; r < f->ranks; r++) {
    f->send[r] = f->users[r] * own;
    f->come[r] = n * own;
  }
  int status = tkg__all_to_all(f->engine->collective, f->packed, f->send, f->blocks, f->come);
  if (!status) join(f, f->blocks, n, own, to);
  return status;
}

/* Fetches rows first..first+n-1 of the items of a part; returns where they are in *out. */
static int fetch_items(const fetched *f, const tkg_tensor *t, int64_t first, int64_t n, char *to,
                       const void **out) {
  const int64_t own = own_bytes(f, t);
  const char *from = (const char *)t->data + first * own;
  *out = t->divided ? to : from;
  if (!t->divided) return TKG_OK;
  int status = tkg__all_gather_equal(f->engine->collective, from, f->blocks, n * own);
  if (!status) join(f, f->blocks, n, own, to);
  return status;
}

/* ---- ranking ---- */

static int rank_piece(const fetched *f, const tkg_tensor *const *items, void *memory) {
  const tkg_backend *backend = f->engine->backend;
  tkg_ranking *r = f->r;
  int status = TKG_OK;
  for (int p = 0; p < r->parts && !status; p++)
    status = fetch_items(f, items[p], r->first, r->count, f->of_items[p], &r->part[p].items);
  if (status || r->n == 0) return status;
  return tkg__keep_backend_message(backend, backend->rank(r, memory));
}

static int rank_all(fetched *f, const tkg_tensor *const *users, const tkg_tensor *const *items,
                    void *memory) {
  tkg_ranking *r = f->r;
  int status = TKG_OK;
  for (int p = 0; p < r->parts && !status; p++) {
    status = fetch_users(f, users[p], f->of_users[p]);
    r->part[p].users = f->of_users[p];
  }
  for (int64_t i = 0; i < r->n; i++) f->own_rows[i] = (int32_t)i;
  r->rows = f->own_rows;
  for (r->first = 0; r->first < r->items && !status; r->first += PIECE) {
    r->count = r->items - r->first < PIECE ? r->items - r->first : PIECE;
    status = rank_piece(f, items, memory);
  }
  return status;
}

int tkg__rank_divided(tkg_engine *engine, tkg_ranking *r, const tkg_tensor *const *users,
                      const tkg_tensor *const *items) {
  const tkg_backend *backend = engine->backend;
  fetched f = {.engine = engine, .r = r, .ranks = engine->ranks};
  if (backend != &tkg__cpu_backend)
    return tkg__fail(TKG_E_UNSUPPORTED, "rank: tables of several ranks, on %s", backend->name);
  int status = share_rows(&f);
  if (!status) status = allocate(&f, users, items);
  const int64_t bytes = backend->rank_bytes(r);
  void *memory = status || engine->plan_only ? NULL : backend->allocate(bytes);
  if (!status && !memory && !engine->plan_only) status = no_memory();
  tkg__memory_add(engine, TKG_KIND_TRANSIENT, bytes + f.bytes);
  for (int64_t i = 0; i < r->n * r->k && engine->plan_only; i++) r->top[i] = -1;
  if (!status && !engine->plan_only) status = rank_all(&f, users, items, memory);
  tkg__memory_add(engine, TKG_KIND_TRANSIENT, -bytes - f.bytes);
  if (memory) backend->release(memory);
  release(&f);
  return status;
}
