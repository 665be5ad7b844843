/* Packing finds offsets for blocks of memory whose lifetimes are known, so that blocks that are
 * live at the same time do not overlap. The least memory is hard to find (dynamic storage
 * allocation is NP-complete). A few simple orders are tried, each improved a little; the best comes
 * close to the most bytes that are live at once. */
#include "memory_packing.h"

#include <stdlib.h>

#include "base/error.h"

static bool overlap(const tkg_block *a, const tkg_block *b) {
  return a->live_from <= b->live_to && b->live_from <= a->live_to;
}

/* Returns the offset of the smallest gap that b fits in, between the blocks placed so far that are
 * live at the same time; these come in the order of their offsets. */
static int64_t gap_for(const tkg_block *b, tkg_block *const *placed, int n) {
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  for (int i = 0; i < n; i++) {
    if (!overlap(b, placed[i])) continue;
    int64_t gap = placed[i]->offset - end, above = placed[i]->offset + placed[i]->bytes;
    if (gap >= b->bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    if (above > end) end = above;
  }
  return best >= 0 ? best : end;
}

/* Whether two blocks, if they share memory, may do so, as far apart as they have to be. */
static bool get_along(const tkg_block *a, const tkg_block *b) {
  const tkg_block *over = a->over == b ? a : b->over == a ? b : NULL;
  const int64_t between = a->offset - b->offset, apart = between < 0 ? -between : between;
  if (!overlap(a, b) || between >= b->bytes || -between >= a->bytes) return true;
  return over && apart >= over->apart && apart % over->step == 0;
}

/* Returns the least offset of those tried for a block that may lie over others, or under: at the
 * end of each block, or as close to one of those others as it may be. */
static int64_t place_over(tkg_block *b, tkg_block *const *placed, int n) {
  int64_t best = INT64_MAX;
  for (int i = -1; i < n; i++) {
    const tkg_block *p = i < 0 ? NULL : placed[i];
    const bool tied = p && (p == b->over || p == b->under);
    const int64_t apart = p && p == b->over ? b->apart : tied ? p->apart : 0;
    const int64_t at[] = {p ? p->offset + p->bytes : 0, tied ? p->offset + apart : INT64_MAX,
                          tied ? p->offset - apart : INT64_MAX};
    for (int k = 0; k < 3; k++) {
      bool fits = at[k] >= 0 && at[k] < best;
      b->offset = at[k];
      for (int other = 0; fits && other < n; other++) fits = get_along(b, placed[other]);
      if (fits) best = at[k];
    }
  }
  return best;
}

static bool has_tie(const tkg_block *b, tkg_block *const *placed, int n) {
  bool found = false;
  for (int i = 0; (b->over || b->under) && i < n && !found; i++)
    found = placed[i] == b->over || placed[i] == b->under;
  return found;
}

/* Places blocks one after another. Returns the end of the highest. */
static int64_t place_all(tkg_block *const *order, int n, tkg_block **placed) {
  int64_t end = 0;
  for (int i = 0; i < n; i++) {
    tkg_block *b = order[i];
    int at = i;
    b->offset = has_tie(b, placed, i) ? place_over(b, placed, i) : gap_for(b, placed, i);
    if (b->offset + b->bytes > end) end = b->offset + b->bytes;
    for (; at > 0 && placed[at - 1]->offset > b->offset; at--) placed[at] = placed[at - 1];
    placed[at] = b;
  }
  return end;
}

/* ---- orders; the array of blocks is in order of time, so addresses tell the time ---- */

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
  double x = (double)p->bytes * (p->live_to - p->live_from + 1);
  double y = (double)q->bytes * (q->live_to - q->live_from + 1);
  return x != y ? (x < y) - (x > y) : by_time(a, b);
}

/* ---- the search ---- */

typedef struct search {
  tkg_block *blocks, **order, **placed;
  int64_t *offsets, end; /* the best so far */
  int n;
} search;

/* Bytes that a block can share with the one that it may lie over, at a time. */
static int64_t shared(const tkg_block *b, int time) {
  return b->over && b->live_from == time ? b->bytes - b->apart : 0;
}

/* Returns the most bytes that are live at once; that is so where some block begins. */
static int64_t most_live(const tkg_block *blocks, int n) {
  int64_t most = 0;
  for (int i = 0; i < n; i++) {
    int64_t live = 0;
    for (int k = 0; k < n; k++)
      if (blocks[k].live_from <= blocks[i].live_from && blocks[k].live_to >= blocks[i].live_from)
        live += blocks[k].bytes - shared(&blocks[k], blocks[i].live_from);
    if (live > most) most = live;
  }
  return most;
}

static void attempt(search *s) {
  int64_t end = place_all(s->order, s->n, s->placed);
  if (end >= s->end) return;
  s->end = end;
  for (int i = 0; i < s->n; i++) s->offsets[i] = s->blocks[i].offset;
}

/* Moves the block that ended highest to the front of the order. */
static void promote(search *s) {
  int top = 0;
  for (int i = 1; i < s->n; i++)
    if (s->order[i]->offset + s->order[i]->bytes > s->order[top]->offset + s->order[top]->bytes)
      top = i;
  tkg_block *block = s->order[top];
  for (; top > 0; top--) s->order[top] = s->order[top - 1];
  s->order[0] = block;
}

static void look_for_best(search *s) {
  static int (*const orders[])(const void *, const void *) = {by_time, by_bytes, by_area};
  enum { ORDERS = sizeof orders / sizeof *orders, ROUNDS = 16 };
  int64_t bound = most_live(s->blocks, s->n);
  for (int k = 0; k < ORDERS; k++) {
    for (int i = 0; i < s->n; i++) s->order[i] = &s->blocks[i];
    qsort(s->order, (size_t)s->n, sizeof *s->order, orders[k]);
    attempt(s);
    for (int round = 0; round < ROUNDS && s->end > bound; round++) {
      promote(s);
      attempt(s);
    }
    if (s->end == bound) return;
  }
}

int tkg__pack_memory(tkg_block *blocks, int n, int64_t *end) {
  search s = {.blocks = blocks, .n = n, .end = INT64_MAX};
  *end = 0;
  if (n == 0) return TKG_OK;
  s.order = calloc(2 * (size_t)n, sizeof(tkg_block *));
  s.offsets = calloc((size_t)n, sizeof *s.offsets);
  int status = s.order && s.offsets ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    s.placed = s.order + n;
    look_for_best(&s);
    for (int i = 0; i < n; i++) blocks[i].offset = s.offsets[i];
    *end = s.end;
  }
  free(s.order);
  free(s.offsets);
  return status;
}
