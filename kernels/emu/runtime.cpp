#include "runtime.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utility>
#include <vector>

/* ---- graphs ---- */

struct emu_graph {
  std::vector<std::function<void()>> work;
  int kernels;
  bool spoilt;
};

static emu_graph *capturing;

bool emu_capturing(void) { return capturing != nullptr; }
void emu_count_launch(void) {
  if (capturing) capturing->kernels++;
}
void emu_add_work(std::function<void()> work) { capturing->work.push_back(std::move(work)); }

/* Whether the device refuses a call because it captures; the capture is then spoilt. */
static bool refused(void) {
  if (capturing) capturing->spoilt = true;
  return capturing != nullptr;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (refused()) return cudaErrorStreamCaptureUnsupported;
  capturing = new emu_graph();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *out) {
  emu_graph *graph = capturing;
  *out = capturing = nullptr;
  if (!graph) return cudaErrorInvalidValue;
  if (!graph->spoilt) return *out = graph, cudaSuccess;
  delete graph;
  return cudaErrorStreamCaptureInvalidated;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
  *out = new emu_graph(*graph);
  if (getenv("EMU_COUNT"))
    fprintf(stderr, "emu: a graph of %d kernels and %d others\n", graph->kernels,
            (int)graph->work.size() - graph->kernels);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  for (const auto &work : graph->work) work();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return delete graph, cudaSuccess; }

/* ---- memory and the device ---- */

static bool lost(void) { return getenv("EMU_LOST") != nullptr; }

cudaError_t cudaMalloc(void **out, size_t bytes) {
  *out = nullptr;
  if (refused()) return cudaErrorStreamCaptureUnsupported;
  if (lost()) return cudaErrorIllegalAddress;
  if (posix_memalign(out, 256, bytes ? bytes : 1)) return cudaErrorMemoryAllocation;
  memset(*out, 0xff, bytes);
  return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
  if (refused()) return cudaErrorStreamCaptureUnsupported;
  free(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) { return cudaMalloc(out, bytes); }

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  if (refused()) return cudaErrorStreamCaptureUnsupported;
  return lost() ? cudaErrorIllegalAddress : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaStreamSynchronize(nullptr); }

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  if (kind != cudaMemcpyDeviceToDevice && refused()) return cudaErrorStreamCaptureUnsupported;
  emu_queue([=] {
    if (bytes) memmove(to, from, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t) {
  emu_queue([=] {
    if (bytes) memset(memory, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int) {
  memset(out, 0, sizeof *out);
  strcpy(out->name, "CUDA on a CPU");
  out->multiProcessorCount = 4; /* few, so that grids wrap around in tests too */
  out->major = 9;               /* of an H200, like its shared memory: */
  out->sharedMemPerBlockOptin = 227 << 10;
  out->sharedMemPerMultiprocessor = 228 << 10;
  out->reservedSharedMemPerBlock = 1 << 10;
  return cudaMemGetInfo(&out->totalGlobalMem, &out->totalGlobalMem);
}

cudaError_t cudaGetDeviceCount(int *n) {
  const char *set = getenv("EMU_DEVICES");
  *n = set ? atoi(set) : 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int device) {
  const char *set = getenv("EMU_BUS");
  if (set)
    snprintf(out, (size_t)size, "%s", set);
  else
    snprintf(out, (size_t)size, "%d.%d", (int)getpid(), device);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
  *total = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
  *left = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
  return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation           ? "out of memory"
         : error == cudaErrorStreamCaptureUnsupported ? "operation not permitted while capturing"
         : error == cudaErrorStreamCaptureInvalidated ? "operation failed due to an earlier capture"
         : error == cudaErrorIllegalAddress           ? "an illegal memory access was encountered"
         : error                                      ? "invalid value"
                                                      : "no error";
}
