/* CUDA on a CPU, for tests: lets the C++ compiler build kernel sources and runs them with fibers.
 *
 * One OS thread runs one block at a time. Its CUDA threads are fibers that are switched only where
 * they must wait: __syncthreads, __syncwarp and the *_sync warp collectives. A fiber runs CUDA
 * threads one after the other until one of them waits, so a kernel without a barrier costs one
 * function call per thread. Blocks run in parallel over OpenMP threads.
 *
 * Modelled: 32-lane warps, masks, lanes that left, static and dynamic shared memory, atomics, a
 * report of who waits for what when nobody can go on. Not modelled: weak memory order, bank
 * conflicts, occupancy, textures, tensor cores, cooperative grids, spinning between blocks. */
#ifndef TKG_EMU_H
#define TKG_EMU_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>

#include "runtime.h"

/* ---- language ---- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

/* ---- the running CUDA thread ---- */

/* What kernels see of the block that this OS thread runs. */
struct emu_view {
  dim3 thread, block, block_size, grid_size;
  unsigned running; /* the thread's number in its block */
  char *dynamic_shared;
};

/* Found without a call, which a library that is opened at run time may ask for a few bytes. */
#define EMU_THREAD __thread __attribute__((tls_model("initial-exec")))
extern EMU_THREAD emu_view *emu_at;

#define threadIdx (emu_at->thread)
#define blockIdx (emu_at->block)
#define blockDim (emu_at->block_size)
#define gridDim (emu_at->grid_size)

enum emu_wait { EMU_NONE, EMU_BARRIER, EMU_SYNCWARP, EMU_SHUFFLE, EMU_BALLOT };

void emu_barrier(void);
/* The running block's shared array that is declared at `site`. It is filled with NaN when the block
 * first comes there, and fenced on both sides. */
void *emu_shared(const void *site, size_t bytes);
/* Waits for the lanes of `mask`. Returns, for SHUFFLE, `in` of lane `lane`; for BALLOT the lanes
 * whose `in` is not 0. */
uint64_t emu_collective(enum emu_wait kind, unsigned mask, uint64_t in, unsigned lane);
/* Runs call(closure) once per CUDA thread. Aborts with a report on a deadlock. */
void emu_run(dim3 grid, dim3 block, size_t dynamic_bytes, void (*call)(const void *),
             const void *closure);

template <class F> static void emu_launch(dim3 grid, dim3 block, size_t dynamic_bytes, const F &f) {
  emu_count_launch();
  emu_queue([=] {
    emu_run(
        grid, block, dynamic_bytes, [](const void *p) { (*(const F *)p)(); }, &f);
  });
}

/* ---- barriers and warp collectives ---- */

static inline void __syncthreads(void) { emu_barrier(); }
static inline void __syncwarp(unsigned mask = ~0u) { emu_collective(EMU_SYNCWARP, mask, 0, 0); }

template <class T> static inline uint64_t emu_bits(T value) {
  static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  return bits;
}

static inline int emu_lane(void) { return (int)(emu_at->running % 32); }

/* From lane `from`, or from the lane itself where that is outside its group. */
template <class T> static inline T emu_shuffle(unsigned mask, T value, int from, bool inside) {
  int lane = inside ? from : emu_lane();
  uint64_t bits = emu_collective(EMU_SHUFFLE, mask, emu_bits(value), (unsigned)lane & 31u);
  T out;
  memcpy(&out, &bits, sizeof out);
  return out;
}
static inline int emu_group(int width) { return emu_lane() & ~(width - 1); }

template <class T> static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return emu_shuffle(mask, value, emu_group(width) + (from & (width - 1)), true);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32) {
  int to = emu_lane() ^ with;
  return emu_shuffle(mask, value, to, to < emu_group(width) + width);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  int to = emu_lane() + (int)by;
  return emu_shuffle(mask, value, to, to < emu_group(width) + width);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  int to = emu_lane() - (int)by;
  return emu_shuffle(mask, value, to, to >= emu_group(width));
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return (unsigned)emu_collective(EMU_BALLOT, mask, predicate != 0, 0);
}
static inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
/* ---- atomics: relaxed, as CUDA's are ---- */

template <class T, class F> static inline T emu_modify(T *p, F change) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, change(old), true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T> static inline T atomicAdd(T *p, T value) {
  static_assert(std::is_integral<T>::value, "sums of floats by atomics are not deterministic");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicMin(T *p, T value) {
  return emu_modify(p, [=](T old) { return old < value ? old : value; });
}
template <class T> static inline T atomicExch(T *p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

/* ---- arithmetic ---- */

template <class T> static inline T __ldg(const T *p) { return *p; }
static inline int __ffs(int v) { return __builtin_ffs(v); }

#endif
