#include "cuda_graph.h"

#include <stdlib.h>

#include "device_errors.h"

struct tkg_recording {
  cudaGraphExec_t graph;
  tkg_fault_slots *slots;
};

/* CUDA_LAUNCH_BLOCKING is asked for to learn which op fails: a graph would hide that. */
static bool blocking(void) {
  const char *set = getenv("CUDA_LAUNCH_BLOCKING");
  return set && strcmp(set, "0") != 0;
}

bool tkg__record_begin(cudaStream_t stream) {
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
  if (error) cudaGetLastError(); /* the run goes on without: it is nobody else's error */
  return error ? NULL : ready;
}

tkg_recording *tkg__record_end(cudaStream_t stream) {
  const cudaGraphExec_t graph = end_capture(stream);
  tkg_fault_slots *slots = tkg__faults_take();
  tkg_recording *recording = static_cast<tkg_recording *>(malloc(sizeof *recording));
  if (graph && slots && recording) {
    recording->graph = graph;
    recording->slots = slots;
    return recording;
  }
  if (graph) cudaGraphExecDestroy(graph);
  free(slots);
  free(recording);
  return NULL;
}

cudaError_t tkg__record_launch(tkg_recording *recording, cudaStream_t stream) {
  tkg__faults_put(recording->slots);
  return cudaGraphLaunch(recording->graph, stream);
}

void tkg__record_free(tkg_recording *recording) {
  cudaGraphExecDestroy(recording->graph);
  free(recording->slots);
  free(recording);
}
