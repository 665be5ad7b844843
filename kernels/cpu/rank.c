/* Ranking by products of rows: for a block of users, the scores of one block of items after the
 * other, which stay in cache until the best of them are taken. Scores of an item lie side by side,
 * a user in each lane: a register of them is compared with what the users' lists ask for, and few
 * are looked at one by one. Blocks begin at fixed places, so a score has the same bits whatever the
 * number of threads. */
#include "rank.h"

#include <string.h>

#include "base/error.h"
#include "cpu/dispatch/gemm.h"
#include "isa.h"
#include "shared/best.h"
#include "wide.h"

/* PANEL: users whose scores are computed and looked at together. ITEMS, so many at a time, divides
 * TKG_RANKED_ITEMS. TILE: items whose scores are compared before any is looked at. */
enum { USERS = TKG_RANKED_USERS, PANEL = 64, LANES = 32, ITEMS = 256, TILE = 16 };

typedef struct block {
  const tkg_ranking *r;
  int64_t first;  /* user */
  int64_t n;      /* users */
  float *users;   /* panel by panel, part by part, [cols, width_of] */
  float *items;   /* [ITEMS, cols] of each part whose items have 16 bits */
  float *scores;  /* [items of a block, width_of] */
  float *bounds;  /* [USERS]: larger scores enter the list of a user */
  int32_t *found; /* [n]: in the list so far */
  int32_t *known; /* [n]: known items that were passed */
} block;

static int64_t all_cols(const tkg_ranking *r) {
  int64_t sum = 0;
  for (int p = 0; p < r->parts; p++) sum += r->part[p].cols;
  return sum;
}

static int64_t half_cols(const tkg_ranking *r) {
  int64_t sum = 0;
  for (int p = 0; p < r->parts; p++) sum += r->part[p].half_items ? r->part[p].cols : 0;
  return sum;
}

static int64_t bytes(const tkg_ranking *r) {
  const int64_t floats = USERS * all_cols(r) + ITEMS * half_cols(r) + PANEL * ITEMS + USERS;
  return 4 * (floats + 2 * USERS);
}

/* Lanes of the panel that begins at user u of the block. At fewer than LANES libxsmm adds up the
 * few items at the end in another order. */
static int64_t width_of(const block *b, int64_t u) {
  return b->n - u < PANEL ? (b->n - u + LANES - 1) / LANES * LANES : PANEL;
}

static tkg_best list_of(const block *b, int64_t u) {
  const tkg_ranking *r = b->r;
  const int64_t at = (b->first + u) * r->k;
  return (tkg_best){r->top_scores + at, r->top + at, r->k, b->found[u]};
}

/* A list that is not full takes every score but -inf. */
static float bound_of(const tkg_best *list) {
  return list->n < list->k ? -INFINITY : list->scores[0];
}

static block block_of(const tkg_ranking *r, int64_t first, void *memory) {
  block b = {.r = r, .first = first, .n = r->n - first < USERS ? r->n - first : USERS};
  b.users = memory;
  b.items = b.users + USERS * all_cols(r);
  b.scores = b.items + ITEMS * half_cols(r);
  b.bounds = b.scores + PANEL * ITEMS;
  b.found = (int32_t *)(b.bounds + USERS);
  b.known = b.found + USERS;
  if (r->state) {
    b.found = r->state + first;
    b.known = b.found + r->n;
  }
  for (int64_t u = 0; u < b.n; u++) {
    if (r->first == 0) b.found[u] = b.known[u] = 0;
    const tkg_best list = list_of(&b, u);
    b.bounds[u] = bound_of(&list);
  }
  for (int64_t u = b.n; u < USERS; u++) b.bounds[u] = INFINITY;
  return b;
}

/* Rows of a panel's users become columns: there are no kernels for a transposed right side. */
static void gather_panel(const block *b, int64_t first, float *to) {
  const int64_t width = width_of(b, first);
  for (int p = 0; p < b->r->parts; p++) {
    const tkg_ranked_part *part = &b->r->part[p];
    memset(to, 0, sizeof *to * (size_t)(part->cols * width));
    for (int64_t u = first; u < b->n && u < first + PANEL; u++) {
      const int64_t from = b->r->rows[b->first + u] * part->cols;
      for (int64_t j = 0; j < part->cols; j++)
        to[j * width + u - first] = wide_element(part->users, from + j, part->half_users);
    }
    to += part->cols * width;
  }
}

/* Makes floats of the rows of n items from `item` on that have 16 bits. */
static void widen_items(const block *b, int64_t item, int64_t n) {
  float *to = b->items;
  for (int p = 0; p < b->r->parts; p++) {
    const tkg_ranked_part *part = &b->r->part[p];
    if (!part->half_items) continue;
    const int64_t from = (item - b->r->first) * part->cols, count = n * part->cols;
    for (int64_t j = 0; j < count; j++) to[j] = wide_element(part->items, from + j, true);
    to += ITEMS * part->cols;
  }
}

/* Computes the scores of n items, or adds to them what a part gives: TKG_NARROW columns at a time,
 * which needs no buffers of the BLAS library and adds up in the order of columns. */
static int multiply(const block *b, const float *items, int64_t n, const float *users, int width,
                    int cols, bool adds) {
  for (int j = 0; j < cols; j += TKG_NARROW) {
    const int some = cols - j < TKG_NARROW ? cols - j : TKG_NARROW;
    const tkg_gemm product = {(int)n, width, some, false, false, cols, width, adds || j > 0};
    int status = tkg__gemm(&product, items + j, users + (int64_t)j * width, b->scores);
    if (status) return status;
  }
  return TKG_OK;
}

/* Computes the scores of n items from `item` on for a panel of users: part by part, added up. */
static int score(const block *b, int64_t u, int64_t item, int64_t n) {
  const int64_t width = width_of(b, u);
  const float *users = b->users + u * all_cols(b->r), *wide_items = b->items;
  for (int p = 0; p < b->r->parts; p++) {
    const tkg_ranked_part *part = &b->r->part[p];
    const float *items = (const float *)part->items + (item - b->r->first) * part->cols;
    if (part->half_items) {
      items = wide_items;
      wide_items += ITEMS * part->cols;
    }
    int status = multiply(b, items, n, users, (int)width, (int)part->cols, p > 0);
    if (status) return status;
    users += part->cols * width;
  }
  return TKG_OK;
}

static int nan_at(const block *b, int64_t u, int64_t item) {
  const int64_t row = b->first + u;
  return tkg__fail(TKG_E_ARGUMENT, "topk: score at row %lld (user %d), column %lld is NaN",
                   (long long)row, b->r->users[row], (long long)item);
}

/* Overwrites with -inf the scores, `width` apart, of the known items of user u among the n from
 * `item` on. */
static int mask(const block *b, int64_t u, int64_t item, int64_t n, float *scores, int64_t width) {
  const tkg_ranking *r = b->r;
  if (!r->known_offsets) return TKG_OK;
  const int32_t *of_user = r->known_offsets + r->users[b->first + u];
  for (int32_t *at = &b->known[u]; of_user[0] + *at < of_user[1]; ++*at) {
    const int64_t place = r->known_items[of_user[0] + *at] - item;
    if (place >= n) break;
    if (place < 0)
      return tkg__fail(TKG_E_RANGE, "topk: known items of user %d must ascend from 0 on",
                       r->users[b->first + u]);
    if (isnan(scores[place * width])) return nan_at(b, u, item + place);
    scores[place * width] = -INFINITY;
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

/* Offers user u n scores, `width` apart, of items from `item` on. */
static int offer(const block *b, int64_t u, int64_t item, int64_t n, const float *scores,
                 int64_t width) {
  tkg_best list = list_of(b, u);
  for (int64_t i = 0; i < n; i++) {
    const float x = scores[i * width];
    if (x <= b->bounds[u]) continue;
    if (isnan(x)) return nan_at(b, u, item + i);
    tkg__best_enter(&list, x, (int32_t)(item + i));
    b->bounds[u] = bound_of(&list);
  }
  b->found[u] = list.n;
  return TKG_OK;
}

/* Finds in which lanes one of n scores is larger than the bound, or is NaN. */
static void compare(const float *scores, int64_t n, int64_t width, const float *bounds,
                    int32_t larger[WIDTH]) {
  const wide bound = wide_load(bounds);
  wide_bits any = {0};
  for (int64_t i = 0; i < n; i++) any |= ~(wide_bits)(wide_load(scores + i * width) <= bound);
  memcpy(larger, &any, sizeof any);
}

/* Takes the best of n items from `item` on for the users from u on whose scores fill a register. */
static int take_lanes(const block *b, int64_t u, int64_t item, int64_t n, const float *scores,
                      int64_t width) {
  const int64_t lanes = b->n - u < WIDTH ? b->n - u : WIDTH;
  for (int64_t i = 0; i < n; i += TILE) {
    const int64_t some = n - i < TILE ? n - i : TILE;
    int32_t larger[WIDTH];
    compare(scores + i * width, some, width, b->bounds + u, larger);
    for (int64_t j = 0; j < lanes; j++)
      if (larger[j]) {
        int status = offer(b, u + j, item + i, some, scores + i * width + j, width);
        if (status) return status;
      }
  }
  return TKG_OK;
}

/* Ranks n items from `item` on for the panel of users that begins at `first` of the block. */
static int rank_panel(const block *b, int64_t first, int64_t item, int64_t n) {
  const int64_t width = width_of(b, first), end = b->n - first < width ? b->n : first + width;
  int status = score(b, first, item, n);
  for (int64_t u = first; u < end && !status; u++)
    status = mask(b, u, item, n, b->scores + u - first, width);
  for (int64_t u = first; u < end && !status; u += WIDTH)
    status = take_lanes(b, u, item, n, b->scores + u - first, width);
  return status;
}

static int rank_block(const tkg_ranking *r, int64_t first, void *memory) {
  const block b = block_of(r, first, memory);
  int status = TKG_OK;
  for (int64_t u = 0; u < b.n; u += PANEL) gather_panel(&b, u, b.users + u * all_cols(r));
  const int64_t end = r->first + r->count;
  for (int64_t item = r->first; item < end && !status; item += ITEMS) {
    const int64_t n = end - item < ITEMS ? end - item : ITEMS;
    widen_items(&b, item, n);
    for (int64_t u = 0; u < b.n && !status; u += PANEL) status = rank_panel(&b, u, item, n);
  }
  for (int64_t u = 0; u < b.n && end == r->items && !status; u++) {
    tkg_best list = list_of(&b, u);
    tkg__best_sort(&list);
    status = check_known(&b, u);
  }
  return status;
}

const tkg__rank_kernel TKG_ISA_NAME(tkg__cpu_rank) = {bytes, rank_block};
