/* The one header in which real CUDA and its emulation (kernels/emu/emu.h, for machines without a
 * GPU) differ. Kernel sources include this and no header of CUDA.
 *
 * It also includes what kernels share with the CPU: the headers of kernels/shared and packed
 * graphs. They are plain C; `inline` is redefined around them, so that their functions are compiled
 * for the device as well. One definition of each formula makes both backends draw the same noise
 * and write the same codes. */
#ifndef TKG_CUDA_H
#define TKG_CUDA_H

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define TKG_UNROLL _Pragma("unroll")
#define TKG_UNROLL_4 _Pragma("unroll 4") /* where a full unroll takes too many registers */
#define TKG_ROLLED _Pragma("unroll 1")   /* where any does */

/* TKG_SHARED(float, tile, [32][33]) declares an array in shared memory; TKG_DYNAMIC_SHARED(T, name)
 * names a launch's dynamic shared memory as an array of T. */
#define TKG_SHARED(T, name, extent) __shared__ T name extent
#define TKG_DYNAMIC_SHARED(T, name)                                                                \
  extern __shared__ __align__(16) unsigned char tkg_dynamic_shared[];                              \
  T *name = reinterpret_cast<T *>(tkg_dynamic_shared)

/* A parameter of a kernel that is read where it lies; x y + z, rounded once. */
#define TKG_CONSTANT(T) const __grid_constant__ T
/* i, of which the compiler knows nothing: what is read with it is read where it is used. */
static __device__ __forceinline__ int tkg_opaque(int i) {
  asm volatile("" : "+r"(i));
  return i;
}
static __device__ __forceinline__ float tkg_multiply_add(float x, float y, float z) {
  return __fmaf_rn(x, y, z);
}

template <class... P, class... A>
static inline void tkg_launch_raw(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                  cudaStream_t stream, A... arguments) {
  kernel<<<grid, block, shared, stream>>>(arguments...);
}

/* Memory of the pool that is free; only the emulation can report an access to it. */
static inline void tkg_fence(void *, size_t) {}
static inline void tkg_unfence(void *, size_t) {}

#else

#include "emu/emu.h"

#define TKG_UNROLL
#define TKG_UNROLL_4
#define TKG_ROLLED

#define TKG_SHARED(T, name, extent)                                                                \
  static const char name##_site = 0;                                                               \
  typedef T name##_type extent;                                                                    \
  name##_type &name =                                                                              \
      *reinterpret_cast<name##_type *>(emu_shared(&name##_site, sizeof(name##_type)))
#define TKG_DYNAMIC_SHARED(T, name) T *name = reinterpret_cast<T *>(emu_at->dynamic_shared)

#define TKG_CONSTANT(T) const T &
static inline int tkg_opaque(int i) { return i; }
/* Rounded twice here, as a machine without the instruction would take a call. */
static inline float tkg_multiply_add(float x, float y, float z) { return x * y + z; }

template <class... P, class... A>
static inline void tkg_launch_raw(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared,
                                  cudaStream_t, A... arguments) {
  emu_launch(grid, block, shared, [=] { kernel(arguments...); });
}

static inline void tkg_fence(void *memory, size_t bytes) { emu_fence(memory, bytes); }
static inline void tkg_unfence(void *memory, size_t bytes) { emu_unfence(memory, bytes); }

#endif

extern "C" {
#include "base/backend.h"
#include "base/error.h"
#ifdef __CUDACC__
#define inline __host__ __device__ inline
#endif
#include "data/packed_graph.h"
#include "shared/bf16.h"
#include "shared/codec.h"
#include "shared/formulas.h"
#include "shared/moments.h"
#include "shared/philox.h"
#include "shared/random_numbers.h"
#include "shared/ranks.h"
#include "shared/sample.h"
#include "shared/search.h"
#include "shared/shapes.h"
#undef inline
}

/* A status, with tkg__fail's message. */
static inline int tkg_cuda_status(cudaError_t error) {
  if (error == cudaSuccess) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "cuda: %s", cudaGetErrorString(error));
}

#endif
