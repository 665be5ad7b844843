#include "cuda_graph.h"

#include <stdlib.h>

#include "device_errors.h"

struct tkg_capture {
  cudaGraphExec_t graph;
  tkg_error_slots *slots;
};

/* CUDA_LAUNCH_BLOCKING is set to learn which op fails; a graph would hide it. */
static bool blocking(void) {
  const char *set = getenv("CUDA_LAUNCH_BLOCKING");
  return set && strcmp(set, "0") != 0;
}

bool tkg__capture_begin(cudaStream_t stream) {
  if (blocking()) return false;
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) return true;
  cudaGetLastError();
  return false;
}

static cudaGraphExec_t end_capture(cudaStream_t stream) {
  cudaGraph_t graph = NULL;
  cudaGraphExec_t ready = NULL;
  cudaError_t error = cudaStreamEndCapture(stream, &graph);
  if (!error) error = cudaGraphInstantiate(&ready, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  if (error)
    cudaGetLastError(); /* the run goes on without a graph: later calls must not see the error */
  return error ? NULL : ready;
}

tkg_capture *tkg__capture_end(cudaStream_t stream) {
  cudaGraphExec_t graph = end_capture(stream);
  tkg_error_slots *slots = tkg__error_slots_save();
  tkg_capture *capture = static_cast<tkg_capture *>(malloc(sizeof *capture));
  if (graph && slots && capture) {
    capture->graph = graph;
    capture->slots = slots;
    return capture;
  }
  if (graph) cudaGraphExecDestroy(graph);
  free(slots);
  free(capture);
  return NULL;
}

cudaError_t tkg__capture_launch(tkg_capture *capture, cudaStream_t stream) {
  tkg__error_slots_restore(capture->slots);
  return cudaGraphLaunch(capture->graph, stream);
}

void tkg__capture_free(tkg_capture *capture) {
  cudaGraphExecDestroy(capture->graph);
  free(capture->slots);
  free(capture);
}
