/* Ranking by products of rows: for a block of users, the scores of one block of items after the
 * other, which stay in cache until the best of them are taken. Blocks begin at fixed places, so a
 * score has the same bits whatever the number of threads. */
#include "rank.h"

#include "base/error.h"
#include "cpu/dispatch/gemm.h"
#include "isa.h"
#include "shared/best.h"
#include "wide.h"

enum { USERS = TKG_RANKED_USERS, ITEMS = TKG_RANKED_ITEMS };

typedef struct block {
  const tkg_ranking *r;
  int64_t first;  /* user */
  int64_t n;      /* users */
  float *users;   /* part by part, [n, cols] */
  float *items;   /* [ITEMS, cols] of a part whose items have 16 bits */
  float *scores;  /* [n, items of a block] */
  int32_t *found; /* [n]: in the list so far */
  int32_t *known; /* [n]: known items that were passed */
} block;

static int64_t most_cols(const tkg_ranking *r) {
  int64_t most = 0;
  for (int p = 0; p < r->parts; p++)
    if (r->part[p].cols > most) most = r->part[p].cols;
  return most;
}

static int64_t all_cols(const tkg_ranking *r) {
  int64_t sum = 0;
  for (int p = 0; p < r->parts; p++) sum += r->part[p].cols;
  return sum;
}

static int64_t bytes(const tkg_ranking *r) {
  const int64_t floats = USERS * all_cols(r) + ITEMS * most_cols(r) + USERS * ITEMS;
  return 4 * (floats + 2 * USERS);
}

static block block_of(const tkg_ranking *r, int64_t first, void *memory) {
  block b = {.r = r, .first = first, .n = r->n - first < USERS ? r->n - first : USERS};
  b.users = memory;
  b.items = b.users + USERS * all_cols(r);
  b.scores = b.items + ITEMS * most_cols(r);
  b.found = (int32_t *)(b.scores + USERS * ITEMS);
  b.known = b.found + USERS;
  if (r->state) {
    b.found = r->state + first;
    b.known = b.found + r->n;
  }
  for (int64_t u = 0; u < b.n && r->first == 0; u++) b.found[u] = b.known[u] = 0;
  return b;
}

/* Copies rows of floats, or of numbers of 16 bits. */
static void copy_row(const void *from, bool half, int64_t row, int64_t cols, float *to) {
  if (half)
    for (int64_t j = 0; j < cols; j++) to[j] = wide_element(from, row * cols + j, true);
  else
    for (int64_t j = 0; j < cols; j++) to[j] = wide_element(from, row * cols + j, false);
}

static void gather_users(const block *b) {
  float *to = b->users;
  for (int p = 0; p < b->r->parts; p++) {
    const tkg_ranked_part *part = &b->r->part[p];
    for (int64_t u = 0; u < b->n; u++, to += part->cols)
      copy_row(part->users, part->half_users, b->r->rows[b->first + u], part->cols, to);
  }
}

/* Rows of items from `item` on, as floats. */
static const float *items_of(const block *b, const tkg_ranked_part *part, int64_t item, int64_t n) {
  item -= b->r->first;
  if (!part->half_items) return (const float *)part->items + item * part->cols;
  for (int64_t i = 0; i < n; i++)
    copy_row(part->items, true, item + i, part->cols, b->items + i * part->cols);
  return b->items;
}

/* Products of so few columns need no buffers of the BLAS library, which are large. */
static int multiply(const block *b, int cols, const float *users, const float *items, int64_t n,
                    bool adds) {
  for (int64_t i = 0; i < n; i += TKG_NARROW) {
    const int some = n - i < TKG_NARROW ? (int)(n - i) : TKG_NARROW;
    const tkg_gemm product = {(int)b->n, some, cols, false, true, cols, cols, adds};
    const int status = tkg__gemm_columns(&product, users, items + i * cols, b->scores + i, (int)n);
    if (status) return status;
  }
  return TKG_OK;
}

/* Computes the scores of n items from `item` on: part by part, added up. */
static int score(const block *b, int64_t item, int64_t n) {
  const float *users = b->users;
  for (int p = 0; p < b->r->parts; p++) {
    const tkg_ranked_part *part = &b->r->part[p];
    const int cols = (int)part->cols;
    int status = multiply(b, cols, users, items_of(b, part, item, n), n, p > 0);
    if (status) return status;
    users += b->n * cols;
  }
  return TKG_OK;
}

static int nan_at(const block *b, int64_t u, int64_t item) {
  const int64_t row = b->first + u;
  return tkg__fail(TKG_E_ARGUMENT, "topk: score at row %lld (user %d), column %lld is NaN",
                   (long long)row, b->r->users[row], (long long)item);
}

/* Overwrites with -inf the scores of the known items of user u among the n from `item` on. */
static int mask(const block *b, int64_t u, int64_t item, int64_t n, float *scores) {
  const tkg_ranking *r = b->r;
  if (!r->known_offsets) return TKG_OK;
  const int32_t *of_user = r->known_offsets + r->users[b->first + u];
  for (int32_t *at = &b->known[u]; of_user[0] + *at < of_user[1]; ++*at) {
    const int64_t place = r->known_items[of_user[0] + *at] - item;
    if (place >= n) break;
    if (place < 0)
      return tkg__fail(TKG_E_RANGE, "topk: known items of user %d must ascend from 0 on",
                       r->users[b->first + u]);
    if (isnan(scores[place])) return nan_at(b, u, item + place);
    scores[place] = -INFINITY;
  }
  return TKG_OK;
}

/* Whether all known items of user u were passed: none lies behind the last item. */
static int check_known(const block *b, int64_t u) {
  const tkg_ranking *r = b->r;
  const int32_t user = r->users[b->first + u];
  if (!r->known_offsets || b->known[u] >= r->known_offsets[user + 1] - r->known_offsets[user])
    return TKG_OK;
  return tkg__fail(TKG_E_RANGE, "topk: known item %d of user %d is out of range: %lld items",
                   r->known_items[r->known_offsets[user] + b->known[u]], user, (long long)r->items);
}

static tkg_best list_of(const block *b, int64_t u) {
  const tkg_ranking *r = b->r;
  const int64_t at = (b->first + u) * r->k;
  return (tkg_best){r->top_scores + at, r->top + at, r->k, b->found[u]};
}

static int take_best(const block *b, int64_t item, int64_t n) {
  for (int64_t u = 0; u < b->n; u++) {
    float *scores = b->scores + u * n;
    int status = mask(b, u, item, n, scores);
    if (status) return status;
    tkg_best list = list_of(b, u);
    int64_t nan = tkg__best_offer(&list, scores, n, (int32_t)item);
    if (nan >= 0) return nan_at(b, u, item + nan);
    b->found[u] = list.n;
  }
  return TKG_OK;
}

static int rank_block(const tkg_ranking *r, int64_t first, void *memory) {
  const block b = block_of(r, first, memory);
  int status = TKG_OK;
  gather_users(&b);
  const int64_t end = r->first + r->count;
  for (int64_t item = r->first; item < end && !status; item += ITEMS) {
    const int64_t n = end - item < ITEMS ? end - item : ITEMS;
    status = score(&b, item, n);
    if (!status) status = take_best(&b, item, n);
  }
  for (int64_t u = 0; u < b.n && end == r->items && !status; u++) {
    tkg_best list = list_of(&b, u);
    tkg__best_sort(&list);
    status = check_known(&b, u);
  }
  return status;
}

const tkg__rank_kernel TKG_ISA_NAME(tkg__cpu_rank) = {bytes, rank_block};
