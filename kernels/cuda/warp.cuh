/* Reductions over the lanes that share a row.
 *
 * A row is worked on by a group: `width` neighbouring lanes of a warp, a power of two, so that a
 * warp takes 32 / width short rows at once. A butterfly of log2(width) shuffles leaves the result
 * in every lane. It always adds in the same order, so results repeat bit for bit. */
#ifndef TKG_CUDA_WARP_H
#define TKG_CUDA_WARP_H

#include "launch.h"

template <class T> static __device__ __forceinline__ T tkg_group_sum(T value, int width) {
  for (int o = width / 2; o > 0; o /= 2) value += __shfl_xor_sync(TKG_ALL_LANES, value, o, width);
  return value;
}

template <class T> static __device__ __forceinline__ T tkg_group_max(T value, int width) {
  for (int o = width / 2; o > 0; o /= 2) {
    T other = __shfl_xor_sync(TKG_ALL_LANES, value, o, width);
    value = other > value ? other : value;
  }
  return value;
}

template <class T> static __device__ __forceinline__ T tkg_group_min(T value, int width) {
  for (int o = width / 2; o > 0; o /= 2) {
    T other = __shfl_xor_sync(TKG_ALL_LANES, value, o, width);
    value = other < value ? other : value;
  }
  return value;
}

/* The sum over all threads of a block, in every thread. blockDim.x is a multiple of 32. */
template <class T> static __device__ T tkg_block_sum(T value) {
  TKG_SHARED(T, part, [TKG_WARP]);
  value = tkg_group_sum(value, TKG_WARP);
  __syncthreads(); /* an earlier sum may still be read */
  if (threadIdx.x % TKG_WARP == 0) part[threadIdx.x / TKG_WARP] = value;
  __syncthreads();
  value = 0;
  for (unsigned w = 0; w < blockDim.x / TKG_WARP; w++) value += part[w];
  return value;
}

template <class T> static __device__ T tkg_block_max(T value) {
  TKG_SHARED(T, part, [TKG_WARP]);
  value = tkg_group_max(value, TKG_WARP);
  __syncthreads();
  if (threadIdx.x % TKG_WARP == 0) part[threadIdx.x / TKG_WARP] = value;
  __syncthreads();
  value = part[0];
  for (unsigned w = 1; w < blockDim.x / TKG_WARP; w++) value = part[w] > value ? part[w] : value;
  return value;
}

/* ---- groups in a grid ---- */

/* One group of `width` lanes per row. */
static inline tkg_shape tkg_groups(int64_t rows, int width) {
  return {dim3(tkg_blocks(tkg_ceil(rows, TKG_THREADS / width))), dim3(TKG_THREADS), 0};
}

/* Lanes for rows of so many pieces of work. */
static inline int tkg_group_width(int64_t pieces) { return tkg_power(pieces, TKG_WARP); }

/* A thread's group, which takes the rows row, row + stride, ... below `rows`. Shuffles name all
 * lanes of a warp, so all groups of a warp go on while one of them has a row:
 *
 *   for (int64_t r = g.row; tkg_any_row(r, rows); r += g.stride)
 */
struct tkg_group {
  int64_t row, stride;
  int lane, width;
};

static __device__ __forceinline__ tkg_group tkg_group_of(int width, tkg_span s) {
  const int shift = __ffs(width) - 1;
  return {s.first >> shift, s.stride >> shift, (int)s.first & (width - 1), width};
}
static __device__ __forceinline__ tkg_group tkg_group_of(int width) {
  return tkg_group_of(width, tkg_in_grid());
}

static __device__ __forceinline__ bool tkg_any_row(int64_t row, int64_t rows) {
  return __any_sync(TKG_ALL_LANES, row < rows);
}

#endif
