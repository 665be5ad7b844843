/* The part of CUDA's runtime API that host code uses, on a CPU. All calls are synchronous. */
#ifndef TKG_EMU_RUNTIME_H
#define TKG_EMU_RUNTIME_H

#include <stddef.h>

#include <functional>

/* ---- streams as functions that run ---- */

/* Runs work at once, or adds it to the graph while a stream is captured. All work of a stream goes
 * through here, also host code that stands for a library's kernels. */
bool emu_capturing(void);
void emu_add_work(std::function<void()> work);

template <class F> static void emu_queue(const F &work) {
  if (emu_capturing())
    emu_add_work(work);
  else
    work();
}

/* Counts a kernel of a graph. With EMU_COUNT in the environment each graph that is made is
 * reported: its kernels, and the rest: copies, memsets, work of libraries. */
void emu_count_launch(void);

/* ---- the API ---- */

typedef struct emu_stream *cudaStream_t;
typedef struct emu_event *cudaEvent_t;
typedef struct emu_graph *cudaGraph_t, *cudaGraphExec_t;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
struct cudaDeviceProp {
  char name[256];
  int multiProcessorCount, major, minor;
  size_t totalGlobalMem, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  size_t reservedSharedMemPerBlock;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

/* With EMU_LOST in the environment, from then on the device answers to an allocation and a wait as
 * one on which a kernel used a bad address. */

/* Allocates exactly so many bytes and fills them with NaN: a sanitizer sees the end, a test an
 * unwritten value. */
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);
const char *cudaGetErrorString(cudaError_t error);

/* EMU_DEVICES in the environment, else one. */
cudaError_t cudaGetDeviceCount(int *n);
static inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
  return *stream = NULL, cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  return *event = NULL, cudaSuccess;
}
static inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return cudaSuccess;
}
static inline cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
/* Each process has devices of its own, unless EMU_BUS in the environment names one for all. */
cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int device);
static inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t event);
template <class F> static cudaError_t cudaFuncSetAttribute(F *, cudaFuncAttribute, int) {
  return cudaSuccess;
}
static inline cudaError_t cudaGetLastError(void) { return cudaSuccess; }

/* Between begin and end nothing runs. What a device refuses then (allocating, freeing, waiting,
 * copies from or to the host) is refused here too and spoils the graph. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

/* Marks allocated bytes as free, and back: AddressSanitizer reports accesses to free ones. */
void emu_fence(void *memory, size_t bytes);
void emu_unfence(void *memory, size_t bytes);

#endif
