/* Packing: offsets for blocks of memory whose times are known beforehand, so that those that are
 * there at the same time do not overlap. The least memory is hard to find (it is dynamic storage
 * allocation, NP-complete); the best of three simple orders comes close to what is live at once. */
#include <stdlib.h>

#include "error.h"
#include "plan.h"

static bool meet(const tkg_block *a, const tkg_block *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap between blocks that are placed, in order of their offsets, and there at the same
 * time. */
static int64_t gap_for(const tkg_block *b, tkg_block *const *placed, int n) {
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  for (int i = 0; i < n; i++) {
    if (!meet(b, placed[i])) continue;
    int64_t gap = placed[i]->offset - end, above = placed[i]->offset + placed[i]->bytes;
    if (gap >= b->bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    if (above > end) end = above;
  }
  return best >= 0 ? best : end;
}

/* Places blocks one after the other; returns where the highest ends. */
static int64_t place_all(tkg_block *const *order, int n, tkg_block **placed) {
  int64_t end = 0;
  for (int i = 0; i < n; i++) {
    tkg_block *b = order[i];
    int at = i;
    b->offset = gap_for(b, placed, i);
    if (b->offset + b->bytes > end) end = b->offset + b->bytes;
    for (; at > 0 && placed[at - 1]->offset > b->offset; at--) placed[at] = placed[at - 1];
    placed[at] = b;
  }
  return end;
}

/* ---- orders; blocks of one array, which tells equal ones apart ---- */

static const tkg_block *block_of(const void *element) { return *(tkg_block *const *)element; }

static int by_time(const void *a, const void *b) {
  return block_of(a) < block_of(b) ? -1 : block_of(a) > block_of(b);
}

static int by_bytes(const void *a, const void *b) {
  int64_t x = block_of(a)->bytes, y = block_of(b)->bytes;
  return x != y ? (x < y) - (x > y) : by_time(a, b);
}

static int by_area(const void *a, const void *b) {
  const tkg_block *p = block_of(a), *q = block_of(b);
  double x = (double)p->bytes * (p->last - p->first + 1);
  double y = (double)q->bytes * (q->last - q->first + 1);
  return x != y ? (x < y) - (x > y) : by_time(a, b);
}

int tkg__pack(tkg_block *blocks, int n, int64_t *end) {
  static int (*const orders[])(const void *, const void *) = {by_time, by_bytes, by_area};
  enum { ORDERS = sizeof orders / sizeof *orders };
  tkg_block **order = calloc(2 * (size_t)n + 1, sizeof(tkg_block *)), **placed = order + n;
  if (!order) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  int best = 0;
  for (int k = 0; k <= ORDERS; k++) { /* the last time as it went best */
    for (int i = 0; i < n; i++) order[i] = &blocks[i];
    qsort(order, (size_t)n, sizeof *order, orders[k < ORDERS ? k : best]);
    int64_t now = place_all(order, n, placed);
    if (k > 0 && now >= *end) continue;
    *end = now;
    best = k;
  }
  free(order);
  return TKG_OK;
}
