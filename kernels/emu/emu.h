/* CUDA on a CPU, for tests: lets g++ compile kernel sources and run them with fibers.
 *
 * One block runs at a time on one OS thread; its CUDA threads are fibers that are switched only
 * where they must wait: __syncthreads, __syncwarp and the *_sync warp collectives. A fiber runs
 * CUDA threads one after the other until one of them waits, so a kernel without a barrier costs a
 * function call a thread. Blocks run in parallel over OpenMP threads.
 *
 * Modelled: 32-lane warps, masks, lanes that left, static and dynamic shared memory, atomics, a
 * report of who waits for what when nobody can go on. Not modelled: weak memory order, bank
 * conflicts, occupancy, textures, tensor cores, cooperative grids, spinning between blocks. */
#ifndef TKG_EMU_H
#define TKG_EMU_H

#include <functional>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>

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
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
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

extern __thread emu_view *emu_at;

#define threadIdx (emu_at->thread)
#define blockIdx (emu_at->block)
#define blockDim (emu_at->block_size)
#define gridDim (emu_at->grid_size)
#define warpSize 32

enum emu_wait { EMU_NONE, EMU_BARRIER, EMU_SYNCWARP, EMU_SHUFFLE, EMU_BALLOT, EMU_MATCH };

void emu_barrier(void);
/* The running block's shared memory of the array that is declared at `site`: filled with NaN when
 * the block first comes there, and fenced on both sides. */
void *emu_shared(const void *site, size_t bytes);
/* Waits for the lanes of `mask`. SHUFFLE: `in` of lane `lane`; BALLOT: lanes whose `in` is not 0;
 * MATCH: lanes with the same `in`. */
uint64_t emu_collective(enum emu_wait kind, unsigned mask, uint64_t in, unsigned lane);
/* Runs call(closure) once a CUDA thread. Aborts with a report on a deadlock. */
void emu_run(dim3 grid, dim3 block, size_t dynamic_bytes, void (*call)(const void *),
             const void *closure);

/* Work goes through here, host code that stands for a library's kernels too: done at once, or noted
 * while a stream is captured. */
bool emu_capturing(void);
void emu_note(std::function<void()> work);

template <class F> static void emu_queue(const F &work) {
  if (emu_capturing())
    emu_note(work);
  else
    work();
}

template <class F> static void emu_launch(dim3 grid, dim3 block, size_t dynamic_bytes, const F &f) {
  emu_queue([=] {
    emu_run(
        grid, block, dynamic_bytes, [](const void *p) { (*(const F *)p)(); }, &f);
  });
}

/* ---- barriers and warp collectives ---- */

static inline void __syncthreads(void) { emu_barrier(); }
static inline void __syncwarp(unsigned mask = ~0u) { emu_collective(EMU_SYNCWARP, mask, 0, 0); }
static inline void __threadfence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

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
template <class T> static inline unsigned __match_any_sync(unsigned mask, T value) {
  return (unsigned)emu_collective(EMU_MATCH, mask, emu_bits(value), 0);
}

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
template <class T> static inline T atomicMax(T *p, T value) {
  return emu_modify(p, [=](T old) { return old > value ? old : value; });
}
template <class T> static inline T atomicOr(T *p, T value) {
  return __atomic_fetch_or(p, value, __ATOMIC_RELAXED);
}
template <class T> static inline T atomicExch(T *p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

/* ---- arithmetic ---- */

template <class T> static inline T __ldg(const T *p) { return *p; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline float __uint_as_float(unsigned v) {
  float f;
  memcpy(&f, &v, 4);
  return f;
}
static inline unsigned __float_as_uint(float f) {
  unsigned v;
  memcpy(&v, &f, 4);
  return v;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }

/* ---- the little of the runtime API that host code uses; all of it synchronous ---- */

typedef struct emu_stream *cudaStream_t;
typedef struct emu_event *cudaEvent_t;
typedef struct emu_graph *cudaGraph_t, *cudaGraphExec_t;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
struct cudaDeviceProp {
  char name[256];
  int multiProcessorCount, major, minor;
  size_t totalGlobalMem;
};

/* Exactly so many bytes, filled with NaN: a sanitizer sees the end, a test an unwritten value. */
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);
const char *cudaGetErrorString(cudaError_t error);

static inline cudaError_t cudaGetDeviceCount(int *n) { return *n = 1, cudaSuccess; }
static inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  return *stream = NULL, cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  return *event = NULL, cudaSuccess;
}
static inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t event);
static inline cudaError_t cudaGetLastError(void) { return cudaSuccess; }

/* Between begin and end nothing runs, and what a device refuses then - allocating, freeing,
 * waiting, copies from or to the host - is refused here too and spoils the graph. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

/* Bytes that are allocated but not the caller's: AddressSanitizer then reports who touches them. */
void emu_fence(void *memory, size_t bytes);
void emu_unfence(void *memory, size_t bytes);

#endif
