/* Adding rows into a table by id: SCATTER_ADD and MIX_SCATTER, deterministic without atomics.
 *
 * Rows may meet in one destination, so units are destinations: a thread looks at all ids, in order
 * of position, and adds those that fall in its own rows. The sums do not depend on the split.
 * (Splitting by columns instead would spare the search and level hub rows, but was slower by 15 to
 * 100 %: half a row costs the memory as much as a whole one.) */
#ifndef TKG_CPU_SCATTER_H
#define TKG_CPU_SCATTER_H

#include <string.h>

#include "ids.h"

/* out[ids[p]] += w[p] g[p / k] for p in 0..count-1; out is [n,d] and begins as base. */
typedef struct scatter {
  float *out;
  const float *base;  /* NULL: zeros; may be out */
  const float *g, *w; /* w is NULL for ones */
  const int32_t *ids;
  int64_t count, k, n, d;
} scatter;

static inline void scatter_begin(const scatter *s, int64_t begin, int64_t end) {
  float *to = s->out + begin * s->d;
  size_t bytes = (size_t)((end - begin) * s->d) * sizeof *to;
  if (!s->base)
    memset(to, 0, bytes);
  else if (s->base != s->out)
    memcpy(to, s->base + begin * s->d, bytes);
}

static inline void scatter_row(float *restrict to, const float *restrict g, const float *w,
                               int64_t d) {
  if (w)
    for (int64_t j = 0; j < d; j++) to[j] += *w * g[j];
  else
    for (int64_t j = 0; j < d; j++) to[j] += g[j];
}

/* Row of g that is added for a position. */
static inline const float *scatter_source(const scatter *s, int64_t position) {
  return s->g + (s->k == 1 ? position : position / s->k) * s->d;
}

/* Adds the positions first + at[0..found). */
static inline void scatter_block(const scatter *s, int64_t first, const int16_t *at, int found) {
  const int32_t *ids = s->ids + first;
  for (int f = 0; f < found; f++) {
    if (f + ROWS_AHEAD < found) {
      int64_t next = at[f + ROWS_AHEAD];
      prefetch_row(s->out + ids[next] * s->d, s->d);
      if (s->k == 1) prefetch_row(scatter_source(s, first + next), s->d);
    }
    int64_t position = first + at[f];
    scatter_row(s->out + ids[at[f]] * s->d, scatter_source(s, position),
                s->w ? s->w + position : NULL, s->d);
  }
}

/* One unit even when the table has no rows, so that ids are checked. */
static inline int64_t scatter_count_units(int64_t n) { return n ? n : 1; }

static inline int scatter_run(const char *op, const scatter *s, int64_t begin, int64_t end) {
  int16_t at[IDS_BLOCK];
  int status = check_ids(op, s->ids, 0, s->count, s->n);
  if (status || s->n == 0 || s->d == 0) return status;
  scatter_begin(s, begin, end);
  for (int64_t i = 0; i < s->count; i += IDS_BLOCK) {
    int count = s->count - i < IDS_BLOCK ? (int)(s->count - i) : IDS_BLOCK;
    scatter_block(s, i, at, select_ids(s->ids + i, count, begin, end, at));
  }
  return TKG_OK;
}

#endif
