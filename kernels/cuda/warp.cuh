/* Reductions over the lanes that share a row.
 *
 * A row is worked on by a *group*: `width` neighbouring lanes of a warp (a power of two), so that
 * a warp takes 32 / width short rows at once. A butterfly of shuffles leaves the result in every
 * lane, always added in the same order: results do not depend on timing. */
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

/* Sum over all threads of a block, in every thread; blockDim.x is a multiple of 32. */
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

/* Groups of `width` lanes, one a row; all lanes of a warp go through the same number of rounds, so
 * that shuffles may name all of them. */
static inline tkg_shape tkg_groups(int64_t rows, int width) {
  return {dim3(tkg_blocks(tkg_ceil(rows, TKG_THREADS / width))), dim3(TKG_THREADS), 0};
}

struct tkg_group {
  int64_t row, stride; /* this group's first row, and rows between its rounds */
  int64_t rounds;      /* the same for all groups of the grid */
  int lane, width;
};

static __device__ __forceinline__ tkg_group tkg_group_of(int64_t rows, int width) {
  tkg_group g;
  g.row = tkg_first() / width;
  g.stride = tkg_stride() / width;
  g.rounds = (rows + g.stride - 1) / g.stride;
  g.lane = (int)(threadIdx.x % (unsigned)width);
  g.width = width;
  return g;
}

#endif
