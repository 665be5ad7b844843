/* Products of rows that are read and written where they lie, by number: what a library's product
 * needs, rows side by side, takes longer to copy than a narrow product to compute.
 *
 * Sums are fused multiply-adds in the order of the columns, or of the rows, as in the products that
 * libxsmm makes, so the bits are the same; without the instruction there are no such products. */
#ifndef TKG_CPU_INDEXED_GEMM_H
#define TKG_CPU_INDEXED_GEMM_H

#include <string.h>

#include "ids.h"
#include "wide.h"
#if defined(__FMA__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

enum {
  INDEXED_ROWS = 8, /* sums abreast: as many as hide how long one takes */
  OUTER_ROWS = WIDTH >= 16 ? 16 : INDEXED_ROWS, /* sums of an outer product: registers are there */
  INDEXED_MOST = 32,                            /* columns of either side */
};

#if defined(__AVX512F__)
TKG_INLINE wide indexed_fma(float a, wide b, wide c) {
  return (wide)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)c);
}
#elif defined(__FMA__)
TKG_INLINE wide indexed_fma(float a, wide b, wide c) {
  return (wide)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)b, (__m256)c);
}
#else
TKG_INLINE wide indexed_fma(float a, wide b, wide c) { return a * b + c; }
#endif

/* Whether rows of d columns and of k columns are multiplied here. */
static inline bool is_indexed(int64_t d, int64_t k) {
#if defined(__AVX512F__) || defined(__FMA__)
  return d > 0 && k > 0 && d % INDEXED_ROWS == 0 && k % WIDTH == 0 && d <= INDEXED_MOST &&
         k <= INDEXED_MOST;
#else
  return (void)d, (void)k, false;
#endif
}

/* Columns j.. of out[at[i]] = x[at[i]] w for i < rows, at most INDEXED_ROWS; w is [d, k]. */
TKG_INLINE void multiply_indexed(const float *x, const int32_t *at, int rows, const float *w,
                                 int64_t d, int64_t k, int64_t j, float *out) {
  wide sum[INDEXED_ROWS];
  const float *from[INDEXED_ROWS];
  for (int i = 0; i < rows; i++) {
    sum[i] = (wide){0};
    from[i] = x + at[i] * d;
  }
  for (int64_t l = 0; l < d; l++) {
    const wide b = wide_load(w + l * k + j);
    for (int i = 0; i < rows; i++) sum[i] = indexed_fma(from[i][l], b, sum[i]);
  }
  for (int i = 0; i < rows; i++) wide_store(out + at[i] * k + j, sum[i]);
}

#if defined(__AVX512F__)
/* The same for w of 16 x 16, which lies in sixteen registers. */
TKG_INLINE void multiply_indexed_16(const float *x, const int32_t *at, int rows, const wide w[16],
                                    float *out) {
  wide sum[INDEXED_ROWS];
  const float *from[INDEXED_ROWS];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) {
    sum[i] = (wide){0};
    from[i] = x + (int64_t)at[i] * 16;
  }
#pragma GCC unroll 16
  for (int l = 0; l < 16; l++)
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) sum[i] = indexed_fma(from[i][l], w[l], sum[i]);
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) wide_store(out + (int64_t)at[i] * 16, sum[i]);
}

TKG_INLINE void multiply_indexed_rows_16(const float *x, const int32_t *at, int64_t n,
                                         const float *w, float *out) {
  wide of[16];
  int64_t i = 0;
#pragma GCC unroll 16
  for (int l = 0; l < 16; l++) of[l] = wide_load(w + 16 * l);
  for (; i + INDEXED_ROWS <= n; i += INDEXED_ROWS) {
    if (i + 2 * INDEXED_ROWS <= n)
#pragma GCC unroll 8
      for (int a = 0; a < INDEXED_ROWS; a++)
        __builtin_prefetch(x + (int64_t)at[i + INDEXED_ROWS + a] * 16);
    multiply_indexed_16(x, at + i, INDEXED_ROWS, of, out);
  }
  for (; i < n; i++) multiply_indexed_16(x, at + i, 1, of, out);
}
#endif

/* out[at[i]] = x[at[i]] w for all i < n; w is [d, k]. */
TKG_INLINE void multiply_indexed_rows(const float *x, const int32_t *at, int64_t n, const float *w,
                                      int64_t d, int64_t k, float *out) {
  int64_t i = 0;
#if defined(__AVX512F__)
  if (d == 16 && k == 16) {
    multiply_indexed_rows_16(x, at, n, w, out);
    return;
  }
#endif
  for (; i + INDEXED_ROWS <= n; i += INDEXED_ROWS) {
    for (int64_t a = i + INDEXED_ROWS; a < i + 2 * INDEXED_ROWS && a < n; a++)
      prefetch_row(x + at[a] * d, d);
    for (int64_t j = 0; j < k; j += WIDTH)
      multiply_indexed(x, at + i, INDEXED_ROWS, w, d, k, j, out);
  }
  for (; i < n; i++)
    for (int64_t j = 0; j < k; j += WIDTH) multiply_indexed(x, at + i, 1, w, d, k, j, out);
}

/* Rows l.., `rows` of them, and columns j.. of the sum of x[at[i]]^T y[at[i]] over all i < n. */
TKG_INLINE void outer_indexed(const float *x, const float *y, const int32_t *at, int64_t n,
                              int64_t d, int64_t k, int64_t l, int64_t j, int rows, float *out) {
  wide sum[OUTER_ROWS] = {{0}};
  for (int64_t i = 0; i < n; i++) {
    const float *from = x + at[i] * d + l;
    const wide b = wide_load(y + at[i] * k + j);
    if (i + ROWS_AHEAD < n) {
      __builtin_prefetch(x + at[i + ROWS_AHEAD] * d + l);
      __builtin_prefetch(y + at[i + ROWS_AHEAD] * k + j);
    }
    for (int a = 0; a < rows; a++) sum[a] = indexed_fma(from[a], b, sum[a]);
  }
  for (int a = 0; a < rows; a++) wide_store(out + (l + a) * k + j, sum[a]);
}

/* out[d, k] = the sum of x[at[i]]^T y[at[i]] over all i < n. */
TKG_INLINE void outer_indexed_rows(const float *x, const float *y, const int32_t *at, int64_t n,
                                   int64_t d, int64_t k, float *out) {
  const bool all = d % OUTER_ROWS == 0;
  for (int64_t l = 0; l < d; l += all ? OUTER_ROWS : INDEXED_ROWS)
    for (int64_t j = 0; j < k; j += WIDTH)
      if (all)
        outer_indexed(x, y, at, n, d, k, l, j, OUTER_ROWS, out);
      else
        outer_indexed(x, y, at, n, d, k, l, j, INDEXED_ROWS, out);
}

#endif
