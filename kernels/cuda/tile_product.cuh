/* Products and sums over rows of one tile, by the threads of a block.
 *
 * A thread has a piece of 4 x 4 elements of the result in registers. For a product with a weight
 * it reads four columns of four rows and of the weight at a time: 8 loads of 16 bytes for 64
 * multiplications. For a sum over rows, a' b, it reads four columns of a row of both. Where there
 * are fewer pieces than threads, some share a piece: each makes a *slice* of the sum, of every
 * so-manieth row. A slice goes on where the tile before has left it, so its order, like all others
 * here, does not depend on the height of tiles. */
#ifndef TKG_CUDA_TILE_PRODUCT_H
#define TKG_CUDA_TILE_PRODUCT_H

#include "launch.h"
#include "vec4.cuh"
#include "warp.cuh"

enum { PIECE = 4 };

typedef float piece[PIECE][PIECE];

/* Four elements at x, of which `count` exist; the others are 0. */
template <bool FOUR>
static __device__ __forceinline__ void load_four(const float *x, int count, float (&v)[PIECE]) {
  if (FOUR) {
    load_unit(v, x);
  } else {
    TKG_UNROLL
    for (int k = 0; k < PIECE; k++) v[k] = k < count ? x[k] : 0.0F;
  }
}

template <bool FOUR>
static __device__ __forceinline__ void store_four(float *x, int count, const float (&v)[PIECE]) {
  if (FOUR) {
    store_unit(v, x);
  } else {
    TKG_UNROLL
    for (int k = 0; k < PIECE; k++)
      if (k < count) x[k] = v[k];
  }
}

/* ---- x w: rows times a weight ---- */

/* Rows l..l+3 of columns j..j+3 of the weight [k, n], or [n, k] if TB. */
template <bool FOUR, bool TB>
static __device__ __forceinline__ void load_weight(const float *w, int n, int k, int l, int j,
                                                   piece &v) {
  TKG_UNROLL
  for (int a = 0; a < PIECE; a++) {
    float line[PIECE] = {0, 0, 0, 0};
    if (TB && (FOUR || j + a < n)) load_four<FOUR>(w + (int64_t)(j + a) * k + l, k - l, line);
    if (!TB && (FOUR || l + a < k)) load_four<FOUR>(w + (int64_t)(l + a) * n + j, n - j, line);
    TKG_UNROLL
    for (int b = 0; b < PIECE; b++) v[TB ? b : a][TB ? a : b] = line[b];
  }
}

/* FOUR: n and k are multiples of four, and all rows are aligned. */
template <bool FOUR, bool TB>
static __device__ void multiply_rows(int rows, int n, int k, const float *x, const float *w,
                                     float *out) {
  const int across = (n + PIECE - 1) / PIECE, down = (rows + PIECE - 1) / PIECE;
  TKG_ROLLED
  for (int p = tkg_thread(); p < across * down; p += TKG_THREADS) {
    const int r = p / across * PIECE, j = p % across * PIECE;
    piece sum = {};
    TKG_ROLLED
    for (int l = 0; l < k; l += PIECE) {
      piece weight;
      load_weight<FOUR, TB>(w, n, k, l, j, weight);
      TKG_UNROLL
      for (int a = 0; a < PIECE; a++) {
        float v[PIECE];
        load_four<FOUR>(x + (int64_t)(r + a < rows ? r + a : r) * k + l, k - l, v);
        TKG_UNROLL
        for (int b = 0; b < PIECE; b++) {
          TKG_UNROLL
          for (int c = 0; c < PIECE; c++)
            sum[a][c] = tkg_multiply_add(v[b], weight[b][c], sum[a][c]);
        }
      }
    }
    TKG_UNROLL
    for (int a = 0; a < PIECE; a++)
      if (r + a < rows) store_four<FOUR>(out + (int64_t)(r + a) * n + j, n - j, sum[a]);
  }
}

static __device__ void multiply_tile(bool four, bool tb, int rows, int n, int k, const float *x,
                                     const float *w, float *out) {
  if (four && tb)
    multiply_rows<true, true>(rows, n, k, x, w, out);
  else if (four)
    multiply_rows<true, false>(rows, n, k, x, w, out);
  else if (tb)
    multiply_rows<false, true>(rows, n, k, x, w, out);
  else
    multiply_rows<false, false>(rows, n, k, x, w, out);
}

/* ---- a' b, and the sum of b's rows ---- */

enum { MOST_SLICES = 4 }; /* tiles begin at multiples of so many rows of a chunk */

static inline __host__ __device__ int pieces_of(int64_t n) {
  return (int)((n + PIECE - 1) / PIECE);
}

/* Slices of a sum with so many pieces. */
static inline __host__ __device__ int slices_of(int64_t pieces) {
  int slices = 1;
  while (slices < MOST_SLICES && 2 * slices * pieces <= TKG_THREADS) slices *= 2;
  return slices;
}

/* Adds every so-manieth row to a piece. ONES: in place of a; m is then 1. */
template <bool FOUR, bool ONES>
static __device__ __forceinline__ void add_rows(int rows, int m, int n, int i, int j, int slice,
                                                int slices, const float *a, const float *b,
                                                piece &sum) {
  TKG_ROLLED
  for (int r = slice; r < rows; r += slices) {
    float v[PIECE] = {1, 0, 0, 0}, w[PIECE];
    if (!ONES) load_four<FOUR>(a + (int64_t)r * m + i, m - i, v);
    load_four<FOUR>(b + (int64_t)r * n + j, n - j, w);
    TKG_UNROLL
    for (int x = 0; x < (ONES ? 1 : PIECE); x++) {
      TKG_UNROLL
      for (int y = 0; y < PIECE; y++) sum[x][y] = tkg_multiply_add(v[x], w[y], sum[x][y]);
    }
  }
}

/* Adds the rows to `part`, slices of [m, n], or begins it. */
template <bool FOUR, bool ONES>
static __device__ void sum_products(int rows, int m, int n, const float *a, const float *b,
                                    bool begins, float *part) {
  const int across = pieces_of(n), pieces = pieces_of(m) * across, slices = slices_of(pieces);
  TKG_ROLLED
  for (int q = tkg_thread(); q < pieces * slices; q += TKG_THREADS) {
    const int slice = q / pieces, p = q - slice * pieces;
    const int i = p / across * PIECE, j = p % across * PIECE;
    float *to = part + ((int64_t)slice * m + i) * n + j;
    piece sum = {};
    TKG_UNROLL
    for (int x = 0; x < (ONES ? 1 : PIECE); x++)
      if (!begins && i + x < m) load_four<FOUR>(to + (int64_t)x * n, n - j, sum[x]);
    add_rows<FOUR, ONES>(rows, m, n, i, j, slice, slices, a, b, sum);
    TKG_UNROLL
    for (int x = 0; x < (ONES ? 1 : PIECE); x++)
      if (i + x < m) store_four<FOUR>(to + (int64_t)x * n, n - j, sum[x]);
  }
}

/* ---- the sum of all elements ---- */

enum { GRANULE = 16, MOST_GRANULES = 8 }; /* rows of the lowest tile; in the tallest */

/* Adds the sum of all elements of the rows to `part`, or begins it. A warp adds up GRANULE rows,
 * one thread these sums, in order: so it does not depend on the height of tiles. */
static __device__ void sum_all(int rows, int cols, const float *x, bool begins, float *part) {
  TKG_SHARED(double, granule, [MOST_GRANULES]);
  const int thread = tkg_thread(), lane = thread % TKG_WARP, number = thread / TKG_WARP;
  const int granules = (rows + GRANULE - 1) / GRANULE;
  const int first = number * GRANULE * cols, end = (number + 1) * GRANULE * cols;
  double sum = 0;
  for (int i = first + lane; i < end && i < rows * cols; i += TKG_WARP) sum += (double)x[i];
  sum = tkg_group_sum(sum, TKG_WARP);
  if (lane == 0) granule[number] = sum;
  __syncthreads();
  if (thread != 0) return;
  sum = begins ? 0 : (double)*part;
  for (int k = 0; k < granules; k++) sum += granule[k];
  *part = (float)sum;
}

/* ---- either ---- */

/* a: NULL for ones. */
static __device__ void sum_tile(bool four, int rows, int m, int n, const float *a, const float *b,
                                bool begins, float *part) {
  if (four && a)
    sum_products<true, false>(rows, m, n, a, b, begins, part);
  else if (four)
    sum_products<true, true>(rows, m, n, a, b, begins, part);
  else if (a)
    sum_products<false, false>(rows, m, n, a, b, begins, part);
  else
    sum_products<false, true>(rows, m, n, a, b, begins, part);
}

#endif
