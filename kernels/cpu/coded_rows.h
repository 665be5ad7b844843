/* Rows of a matrix that an op reads in any order: rows of floats, or of packed codes
 * (shared/codec.h has the format), which are decoded when they are read. So a sum over the edges of
 * a graph reads a few bytes per edge, and the decoded matrix never exists. Each number is the one
 * that DECODE gives, bit for bit. */
#ifndef TKG_CPU_CODED_ROWS_H
#define TKG_CPU_CODED_ROWS_H

#include "code_lanes.h"
#include "codec.h"
#include "edges.h"
#include "ids.h"
#include "philox_fill.h"

enum {
  CODED_FLOATS = TKG_MOST_CODED_COLS, /* that are decoded at a time */
  CODED_ROWS = 64,                    /* at most as many rows */
};

typedef struct coded_rows {
  int64_t cols;
  const float *x; /* rows of floats; NULL: codes, as all that follows */
  tkg_codec codec;
  tkg__philox_keys keys;
  int64_t rows, row_bytes;
  int64_t stride; /* floats of a decoded row: cols rounded up to groups */
  const uint8_t *packed, *pairs;
  const uint8_t *signs; /* NULL: there are none */
  uint32_t half;        /* code_levels */

  /* Rows begin..end-1 of a list `ids`, such as the tails of edges: where their codes are, what they
   * stand for, and the words of their affine noise, in the low halves. Those and the numbers of
   * columns are 0 where decoding needs no noise. */
  const int32_t *ids;
  int64_t begin, end;
  const uint8_t *codes[CODED_ROWS];
  float zero[CODED_ROWS], unit[CODED_ROWS];
  uint64_t noise[CODED_ROWS];
  int64_t first_sign[CODED_ROWS]; /* below zero: all elements keep their value */

  _Alignas(64) uint32_t column_noise[CODED_FLOATS]; /* times 2^16 */
  _Alignas(64) float decoded[CODED_FLOATS];
} coded_rows;

/* Prepares to read rows of input k of a call, a matrix, by number or by place in the list `ids`,
 * which may be NULL. */
void TKG_ISA_NAME(tkg__coded_open)(coded_rows *s, const tkg_call *c, int k, const int32_t *ids);

/* Opens the window of at most `most` rows, no more than CODED_ROWS, from place p on, but of none
 * from place `limit` on. */
void TKG_ISA_NAME(tkg__coded_window)(coded_rows *s, int64_t p, int64_t limit, int most);

/* Whether noise is drawn per element: rows can then be read as a whole alone. */
static inline bool coded_apart(const coded_rows *s) {
  return s->codec.rounding == TKG_ROUND_DITHER_INDEPENDENT;
}

/* Decode to `decoded`: one row by number; or as many as there is room for, from place p on, which
 * become the window. */
void TKG_ISA_NAME(tkg__coded_read)(coded_rows *s, int64_t row);
void TKG_ISA_NAME(tkg__coded_decode)(coded_rows *s, int64_t p, int64_t limit);

/* Row `row` of those that are read in turn up to row `limit`, several of which are decoded at a
 * time; valid until the next is read. For codes alone. */
const float *TKG_ISA_NAME(tkg__coded_in_turn)(coded_rows *s, int64_t row, int64_t limit);

/* Decodes columns first..first+count-1 of rows begin..end-1 to `to`, row after row: `first` begins
 * a group, and so do the columns behind them, or there are none. For codes whose noise is not drawn
 * apart. */
void TKG_ISA_NAME(tkg__coded_columns)(coded_rows *s, int64_t begin, int64_t end, int64_t first,
                                      int64_t count, float *to);

/* A row by number; valid until another is read. */
static inline const float *coded_row(coded_rows *s, int64_t row) {
  if (s->x) return s->x + row * s->cols;
  TKG_ISA_NAME(tkg__coded_read)(s, row);
  return s->decoded;
}

/* The row at place p of the list. Callers go through the list in order, up to `limit`. */
static inline const float *coded_at(coded_rows *s, int64_t p, int64_t limit) {
  if (s->x) {
    if (p + EDGES_AHEAD < limit)
      prefetch_far(s->x + s->ids[p + EDGES_AHEAD] * s->cols, 4 * s->cols);
    return s->x + s->ids[p] * s->cols;
  }
  if (p < s->begin || p >= s->end) TKG_ISA_NAME(tkg__coded_decode)(s, p, limit);
  return s->decoded + (p - s->begin) * s->stride;
}

/* The bits of `signs` for columns c..c+count-1, 16 or 1 of them, of window entry i; what bits above
 * them are is not said. */
static inline uint32_t coded_signs(const coded_rows *s, int i, int64_t c, int count) {
  if (s->first_sign[i] < 0) return UINT32_MAX;
  const int64_t bit = s->first_sign[i] + c;
  const uint8_t *at = s->signs + bit / 8;
  const int shift = (int)(bit % 8);
  if (count == 1) return at[0] >> shift;
  uint16_t word;
  memcpy(&word, at, sizeof word);
  return shift ? ((uint32_t)word | (uint32_t)at[2] << 16) >> shift : word;
}

#endif
