/* Rows of a matrix that an op reads in any order: rows of floats, or of packed codes
 * (shared/codec.h has the format), which are decoded when they are read. So a sum over the edges of
 * a graph reads a few bytes per edge, and the decoded matrix never exists. Each number is the one
 * that DECODE gives, bit for bit. */
#ifndef TKG_CPU_CODED_ROWS_H
#define TKG_CPU_CODED_ROWS_H

#include "codec.h"
#include "edges.h"
#include "ids.h"

enum {
  CODED_FLOATS = TKG_MOST_CODED_COLS, /* that are decoded at a time */
  CODED_ROWS = 64,                    /* at most as many rows */
};

typedef struct coded_rows {
  int64_t cols;
  const float *x; /* rows of floats; NULL: codes, as all that follows */
  tkg_codec codec;
  int64_t rows, row_bytes;
  int64_t stride; /* floats of a decoded row: cols rounded up */
  const uint8_t *packed, *pairs;
  const uint8_t *signs;                /* NULL: there are none */
  uint32_t column_noise[CODED_FLOATS]; /* pairwise noise of the columns, times 2^16 */
  float decoded[CODED_FLOATS];
  const int32_t *ids; /* the row of each edge, for coded_edge */
  int64_t begin, end; /* edges whose rows are in `decoded` */
} coded_rows;

/* Prepares to read input k of a call, a matrix, by number or by edge; `ids` has the row of each
 * edge, if there are any. */
void TKG_ISA_NAME(tkg__coded_open)(coded_rows *s, const tkg_call *c, int k, const int32_t *ids);

/* Decodes `count` rows by number to `decoded`, `stride` floats each: at most CODED_ROWS rows and
 * CODED_FLOATS floats. */
void TKG_ISA_NAME(tkg__coded_read)(coded_rows *s, const int32_t *rows, int count);

/* A row by number; valid until another is read. */
static inline const float *coded_row(coded_rows *s, int64_t row) {
  const int32_t one = (int32_t)row;
  if (s->x) return s->x + row * s->cols;
  TKG_ISA_NAME(tkg__coded_read)(s, &one, 1);
  return s->decoded;
}

/* Decodes the rows of edge p and of the next edges, but of none from edge `limit` on. */
void TKG_ISA_NAME(tkg__coded_window)(coded_rows *s, int64_t p, int64_t limit);

/* The row of edge p. Callers read edges in order, and come to no edge from `limit` on before they
 * have begun anew. */
static inline const float *coded_edge(coded_rows *s, int64_t p, int64_t limit) {
  if (s->x) {
    if (p + EDGES_AHEAD < limit) prefetch_row(s->x + s->ids[p + EDGES_AHEAD] * s->cols, s->cols);
    return s->x + s->ids[p] * s->cols;
  }
  if (p < s->begin || p >= s->end) TKG_ISA_NAME(tkg__coded_window)(s, p, limit);
  return s->decoded + (p - s->begin) * s->stride;
}

#endif
