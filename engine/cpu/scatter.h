/* Adding rows into a table by id: SCATTER_ADD and MIX_SCATTER, deterministic without atomics.
 *
 * Rows may meet in one destination, so the work is split by destination element: the table is cut
 * into strips of 16 columns (a cache line), and unit s n + i is row i of strip s. A thread's units
 * are then some whole strips - of each row that is added it reads its own columns, nothing is read
 * twice, and a hub row burdens all threads alike - or, with more threads than strips, some rows of
 * one. Each looks at all ids in order of position, so the sums do not depend on the split. */
#ifndef TKG_CPU_SCATTER_H
#define TKG_CPU_SCATTER_H

#include <string.h>

#include "ids.h"

enum { STRIP = 16 };

/* out[ids[p]] += w[p] g[p / k] for p in 0..count-1; out is [n,d] and begins as base. */
typedef struct scatter {
  float *out;
  const float *base;  /* NULL: zeros; may be out */
  const float *g, *w; /* w is NULL for ones */
  const int32_t *ids;
  int64_t count, k, n, d;
} scatter;

/* Rows and columns of the table. */
typedef struct scatter_part {
  int64_t row0, row1, col0, col1;
} scatter_part;

/* One even when the table is empty, so that ids are checked. */
static inline int64_t scatter_count_units(int64_t n, int64_t d) {
  int64_t units = n * ((d + STRIP - 1) / STRIP);
  return units ? units : 1;
}

static inline void scatter_begin(const scatter *s, const scatter_part *p) {
  size_t bytes = (size_t)(p->col1 - p->col0) * sizeof(float);
  for (int64_t i = p->row0; i < p->row1; i++) {
    float *to = s->out + i * s->d + p->col0;
    if (!s->base)
      memset(to, 0, bytes);
    else if (s->base != s->out)
      memcpy(to, s->base + i * s->d + p->col0, bytes);
  }
}

static inline void scatter_row(float *restrict to, const float *restrict g, const float *w,
                               int64_t d) {
  if (w)
    for (int64_t j = 0; j < d; j++) to[j] += *w * g[j];
  else
    for (int64_t j = 0; j < d; j++) to[j] += g[j];
}

/* Adds those of a block of ids, the first at position `first`, that `at` tells. */
static inline void scatter_block(const scatter *s, const scatter_part *p, int64_t first,
                                 const int16_t *at, int found) {
  int64_t d = s->d, cols = p->col1 - p->col0;
  float *out = s->out + p->col0;
  const float *g = s->g + p->col0;
  const int32_t *ids = s->ids + first;
  for (int f = 0; f < found; f++) {
    if (f + ROWS_AHEAD < found) {
      int64_t next = at[f + ROWS_AHEAD];
      prefetch_row(out + ids[next] * d, cols);
      prefetch_row(g + (s->k == 1 ? first + next : (first + next) / s->k) * d, cols);
    }
    int64_t position = first + at[f], row = s->k == 1 ? position : position / s->k;
    scatter_row(out + ids[at[f]] * d, g + row * d, s->w ? s->w + position : NULL, cols);
  }
}

static inline void scatter_run_part(const scatter *s, const scatter_part *p) {
  bool every = p->row0 == 0 && p->row1 == s->n;
  int16_t at[IDS_BLOCK];
  if (p->row0 >= p->row1 || p->col0 >= p->col1) return;
  for (int i = 0; i < IDS_BLOCK; i++) at[i] = (int16_t)i;
  scatter_begin(s, p);
  for (int64_t i = 0; i < s->count; i += IDS_BLOCK) {
    int found = s->count - i < IDS_BLOCK ? (int)(s->count - i) : IDS_BLOCK;
    if (!every) found = select_ids(s->ids + i, found, p->row0, p->row1, at);
    scatter_block(s, p, i, at, found);
  }
}

/* Units begin..end-1: the end of a strip, whole strips, the beginning of a strip. */
static inline int scatter_run(const char *op, const scatter *s, int64_t begin, int64_t end) {
  int status = check_ids(op, s->ids, 0, s->count, s->n);
  if (status || s->n == 0 || s->d == 0) return status;
  while (begin < end) {
    int64_t strip = begin / s->n, row = begin % s->n, left = end - begin;
    scatter_part p = {row, s->n, strip * STRIP, (strip + 1) * STRIP};
    if (row == 0 && left >= s->n)
      p.col1 = (strip + left / s->n) * STRIP;
    else if (left < s->n - row)
      p.row1 = row + left;
    begin += (p.row1 - p.row0) * ((p.col1 - p.col0) / STRIP);
    if (p.col1 > s->d) p.col1 = s->d;
    scatter_run_part(s, &p);
  }
  return TKG_OK;
}

#endif
