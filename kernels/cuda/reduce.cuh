/* Sums of short rows, whose terms lie together, and dot products of two: of the rows that a span
 * gives to a group of lanes, of whole values (reduce.cu) or of tiles (tiles.cu). */
#ifndef TKG_CUDA_REDUCE_H
#define TKG_CUDA_REDUCE_H

#include "vec4.cuh"
#include "warp.cuh"

/* ---- units: V neighbouring elements, which are one access (vec4.cuh) ---- */

/* The sum of a unit, or of the products of two. */
static __device__ __forceinline__ float unit_sum(const float (&v)[1]) { return v[0]; }
static __device__ __forceinline__ float unit_sum(const float (&v)[4]) {
  return (v[0] + v[2]) + (v[1] + v[3]);
}

template <bool PRODUCT, int V>
static __device__ __forceinline__ float read_unit(const float *a, const float *b, int64_t unit) {
  float v[V], w[V];
  load_unit(v, a + unit * V);
  if (PRODUCT) {
    load_unit(w, b + unit * V);
    TKG_UNROLL
    for (int k = 0; k < V; k++) v[k] *= w[k];
  }
  return unit_sum(v);
}

/* ---- sums of rows whose terms lie together, and dot products of rows ---- */

/* Adds units lane, lane + lanes, ... below `units`, four loads at a time, in S: float for short
 * rows. */
template <class S, bool PRODUCT, int V>
static __device__ __forceinline__ S lane_sum(const float *a, const float *b, int64_t units,
                                             int lane, int lanes) {
  S sum = 0;
  for (int64_t u = lane; u < units; u += 4 * lanes) {
    float part[4];
    TKG_UNROLL
    for (int k = 0; k < 4; k++) {
      const int64_t at = u + k * lanes;
      part[k] = at < units ? read_unit<PRODUCT, V>(a, b, at) : 0.0F;
    }
    sum += (S)((part[0] + part[2]) + (part[1] + part[3]));
  }
  return sum;
}

/* One group per row. */
template <bool PRODUCT, int V>
static __device__ __forceinline__ void row_sums(tkg_span s, int64_t rows, int64_t units, int width,
                                                const float *a, const float *b, float *out) {
  const tkg_group g = tkg_group_of(width, s);
  for (int64_t r = g.row; tkg_any_row(r, rows); r += g.stride) {
    const int64_t at = r < rows ? r * units * V : 0;
    float sum = lane_sum<float, PRODUCT, V>(a + at, PRODUCT ? b + at : b, r < rows ? units : 0,
                                            g.lane, width);
    sum = tkg_group_sum(sum, width);
    if (r < rows && g.lane == 0) out[r] = sum;
  }
}

/* Host: elements of the longest row that lanes of one warp take, and lanes for rows of so many
 * units of V elements: 16 bytes per lane. */
enum { SHORT_ROW = 1024 };

template <int V> static inline int short_row_width(int64_t units) {
  return tkg_group_width(V == 4 ? units : tkg_ceil(units, 4));
}

#endif
