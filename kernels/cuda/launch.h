/* Launching kernels, and the shapes of grid that all families share.
 *
 * A grid fills the device a few times over, and each thread strides through what is left: sizes
 * beyond 2^31 need no special case, and a thread has several loads under way at once. */
#ifndef TKG_CUDA_LAUNCH_H
#define TKG_CUDA_LAUNCH_H

#include "cuda.h"

enum { TKG_WARP = 32, TKG_THREADS = 256 };
enum { TKG_MOST_GRID_Y = 65535 }; /* blocks of a grid along y, and along z */
#define TKG_ALL_LANES 0xffffffffu

/* The number of multiprocessors of the device in use. */
int tkg__processors(void);

typedef struct tkg_shape {
  dim3 grid, block;
  size_t shared;
} tkg_shape;

/* Counts a piece of work. Returns whether it is to be queued: not while it is only counted
 * (backend.cu). */
bool tkg__queues(void);

/* The only ways to start a kernel, a memset and a copy within the device. A grid without blocks
 * launches nothing. */
template <class... P, class... A>
static inline void tkg_launch(void (*kernel)(P...), tkg_shape s, cudaStream_t stream,
                              A... arguments) {
  if (s.grid.x == 0 || s.grid.y == 0 || !tkg__queues()) return;
  tkg_launch_raw(kernel, s.grid, s.block, s.shared, stream, arguments...);
}
static inline void tkg_set_bytes(void *to, int byte, int64_t count, cudaStream_t stream) {
  if (count > 0 && tkg__queues()) cudaMemsetAsync(to, byte, (size_t)count, stream);
}
static inline void tkg_copy_bytes(void *to, const void *from, int64_t count, cudaStream_t stream) {
  if (count > 0 && tkg__queues())
    cudaMemcpyAsync(to, from, (size_t)count, cudaMemcpyDeviceToDevice, stream);
}

static inline int64_t tkg_ceil(int64_t n, int64_t by) { return (n + by - 1) / by; }
static inline int64_t tkg_between(int64_t n, int64_t least, int64_t most) {
  return n < least ? least : n < most ? n : most;
}

/* One block per piece of work, at most 32 blocks per multiprocessor. */
static inline unsigned tkg_blocks(int64_t pieces) {
  const int64_t most = 32 * (int64_t)tkg__processors();
  return (unsigned)(pieces < most ? pieces : most);
}

/* One thread per element. */
static inline tkg_shape tkg_flat(int64_t n) {
  return {dim3(tkg_blocks(tkg_ceil(n, TKG_THREADS))), dim3(TKG_THREADS), 0};
}

/* The smallest power of two that is n or more, but at most `most`, itself a power of two. */
static inline int tkg_power(int64_t n, int most) {
  int power = 1;
  while (power < n && power < most) power *= 2;
  return power;
}

/* Rows of `cols` elements: threadIdx.x runs over columns, threadIdx.y over the rows of a block. */
static inline tkg_shape tkg_tile(int64_t rows, int64_t cols) {
  const int x = tkg_power(cols, TKG_WARP), y = TKG_THREADS / x;
  if (rows == 0 || cols == 0) return {dim3(0), dim3(1), 0};
  return {dim3(tkg_blocks(tkg_ceil(rows, y))), dim3((unsigned)x, (unsigned)y), 0};
}

/* `units` of a row that one thread takes each: where its columns are dealt to ranks, those of the
 * whole row. Blocks whose threads share a sum have the shape for these on each rank. */
static inline int64_t tkg_whole_units(int64_t units, int64_t whole_cols) {
  return whole_cols == 0 ? units : whole_cols % 4 == 0 ? whole_cols / 4 : whole_cols;
}

/* Whether rows of four-byte elements can be read four at a time: each starts at 16 bytes. A
 * row_length of 0 asks for the array alone. */
static inline bool tkg_vec4_aligned(const void *start, int64_t row_length) {
  return reinterpret_cast<uintptr_t>(start) % 16 == 0 && row_length % 4 == 0;
}

/* ---- in kernels: the first element of a thread in a flat grid, and its stride ---- */

static __device__ __forceinline__ int64_t tkg_first(void) {
  return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ int64_t tkg_stride(void) {
  return (int64_t)gridDim.x * blockDim.x;
}

/* The thread's number in a block of one dimension, of which the compiler knows nothing: an
 * interpreter's code computes with it anew in each op, and keeps nothing in registers for all. */
static __device__ __forceinline__ int tkg_thread(void) { return tkg_opaque((int)threadIdx.x); }

/* What a thread takes of the elements of an op: first, first + stride, ... A grid shares them out,
 * or a block of TKG_THREADS that runs an op on a tile of rows (tiles.cu). */
typedef struct tkg_span {
  int64_t first, stride;
} tkg_span;

static __device__ __forceinline__ tkg_span tkg_in_grid(void) { return {tkg_first(), tkg_stride()}; }
static __device__ __forceinline__ tkg_span tkg_in_block(void) {
  return {tkg_thread(), TKG_THREADS};
}

/* The row and the unit of a row that a thread takes, one after the other, of rows of `units` units:
 * places first, first + stride, ... One division per thread, none per place. */
struct tkg_place {
  uint32_t row, unit, rows_on, units_on, units;
  __device__ __forceinline__ tkg_place(tkg_span s, uint32_t of) {
    row = (uint32_t)s.first / of;
    unit = (uint32_t)s.first - row * of;
    rows_on = (uint32_t)s.stride / of;
    units_on = (uint32_t)s.stride - rows_on * of;
    units = of;
  }
  __device__ __forceinline__ void go_on(void) {
    row += rows_on;
    unit += units_on;
    if (unit < units) return;
    unit -= units;
    row++;
  }
};

/* The same for the rows of a tkg_tile grid. */
static __device__ __forceinline__ int64_t tkg_first_row(void) {
  return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}
static __device__ __forceinline__ int64_t tkg_row_stride(void) {
  return (int64_t)gridDim.x * blockDim.y;
}

#endif
