/* Launching, and the few shapes of grid that all families use.
 *
 * Grids are sized to fill the device a few times over, and kernels stride through what is left:
 * sizes beyond 2^31 need no thought, and a thread has several loads to overlap. */
#ifndef TKG_CUDA_LAUNCH_H
#define TKG_CUDA_LAUNCH_H

#include "cuda.h"

enum { TKG_WARP = 32, TKG_THREADS = 256 };
#define TKG_ALL_LANES 0xffffffffu

/* Multiprocessors of the device in use. */
int tkg__processors(void);

typedef struct tkg_shape {
  dim3 grid, block;
  size_t shared;
} tkg_shape;

/* The one way to start a kernel. A grid of no blocks is no launch. */
template <class... P, class... A>
static inline void tkg_launch(void (*kernel)(P...), tkg_shape s, cudaStream_t stream,
                              A... arguments) {
  if (s.grid.x == 0 || s.grid.y == 0) return;
  tkg_launch_raw(kernel, s.grid, s.block, s.shared, stream, arguments...);
}

static inline int64_t tkg_ceil(int64_t n, int64_t by) { return (n + by - 1) / by; }
static inline int64_t tkg_between(int64_t n, int64_t least, int64_t most) {
  return n < least ? least : n < most ? n : most;
}

/* Blocks for so many pieces of work, a piece a block, with at most 32 blocks a processor. */
static inline unsigned tkg_blocks(int64_t pieces) {
  const int64_t most = 32 * (int64_t)tkg__processors();
  return (unsigned)(pieces < most ? pieces : most);
}

/* One thread an element. */
static inline tkg_shape tkg_flat(int64_t n) {
  return {dim3(tkg_blocks(tkg_ceil(n, TKG_THREADS))), dim3(TKG_THREADS), 0};
}

/* Smallest power of two that is not below n, `most` at most (itself a power of two). */
static inline int tkg_power(int64_t n, int most) {
  int power = 1;
  while (power < n && power < most) power *= 2;
  return power;
}

/* Rows of `cols` elements: x runs over columns, y over the rows of a block. */
static inline tkg_shape tkg_tile(int64_t rows, int64_t cols) {
  const int x = tkg_power(cols, TKG_WARP), y = TKG_THREADS / x;
  if (rows == 0 || cols == 0) return {dim3(0), dim3(1), 0};
  return {dim3(tkg_blocks(tkg_ceil(rows, y))), dim3((unsigned)x, (unsigned)y), 0};
}

/* Whether an array can be read as four elements at a time: its start, and where its rows start. */
static inline bool tkg_vec4_aligned(const void *start, int64_t row_length) {
  return reinterpret_cast<uintptr_t>(start) % 16 == 0 && row_length % 4 == 0;
}

/* ---- in kernels: where a thread stands in a grid of one dimension, and how far it strides ---- */

static __device__ __forceinline__ int64_t tkg_first(void) {
  return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ int64_t tkg_stride(void) {
  return (int64_t)gridDim.x * blockDim.x;
}
/* The same for the rows of a tile. */
static __device__ __forceinline__ int64_t tkg_first_row(void) {
  return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}
static __device__ __forceinline__ int64_t tkg_row_stride(void) {
  return (int64_t)gridDim.x * blockDim.y;
}

#endif
