/* One stream. Its work waits until the host waits for it: what the host changes too early is seen.
 * Captures and graphs; with TKG_CHECK_LOG=FILE a line per capture says what it holds. */
#include <stdio.h>
#include <stdlib.h>

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "runtime.h"

typedef std::function<void()> work;
struct check_graph {
  std::vector<work> all;
  std::map<std::string, int> kinds;
};

static struct {
  std::recursive_mutex lock;
  std::deque<work> waiting;
  uint64_t queued, done;
  check_graph *captured;
  std::map<cudaEvent_t, uint64_t> events; /* what had been queued when each was recorded */
} stream;

static const cudaStream_t THE_STREAM = (cudaStream_t)0x1234;
#define LOCK std::lock_guard<std::recursive_mutex> guard(stream.lock)

bool capturing(void) { return stream.captured != NULL; }

void not_in_capture(const char *call) {
  if (capturing()) check_fault("%s while a stream is captured", call);
}

static void check_stream(cudaStream_t s, const char *what) {
  if (s != THE_STREAM) check_fault("%s on another stream, %p", what, (void *)s);
}

void submit(cudaStream_t s, const char *what, work added) {
  LOCK;
  check_stream(s, what);
  if (stream.captured) {
    stream.captured->all.push_back(added);
    stream.captured->kinds[what]++;
  } else {
    stream.waiting.push_back(added);
    stream.queued++;
  }
}

static void run_until(uint64_t count) {
  LOCK;
  while (stream.done < count && !stream.waiting.empty()) {
    const work next = stream.waiting.front();
    stream.waiting.pop_front();
    stream.done++;
    next();
  }
}

void finish_stream(void) { run_until(UINT64_MAX); }

static void log_capture(const check_graph &graph) {
  const char *path = getenv("TKG_CHECK_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  for (const auto &kind : graph.kinds) fprintf(file, "%s %d\n", kind.first.c_str(), kind.second);
  fprintf(file, "captured %zu\n", graph.all.size());
  fclose(file);
}

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
  if (flags != cudaStreamNonBlocking) check_fault("a stream that waits for the legacy stream");
  *out = THE_STREAM;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  not_in_capture("cudaStreamSynchronize");
  check_stream(s, "cudaStreamSynchronize");
  finish_stream();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
  LOCK;
  static uintptr_t made;
  *out = (cudaEvent_t)(0x5000 + 16 * ++made);
  stream.events[*out] = 0;
  return cudaSuccess;
}

static uint64_t &count_at(cudaEvent_t event) {
  auto found = stream.events.find(event);
  if (found == stream.events.end()) check_fault("%p is no event", (void *)event);
  return found->second;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s) {
  LOCK;
  not_in_capture("cudaEventRecord");
  check_stream(s, "cudaEventRecord");
  count_at(event) = stream.queued;
  return cudaSuccess;
}

/* What ranks that share this device, or are alone, never need beside a call that asks. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event, unsigned) {
  LOCK;
  check_stream(s, "cudaStreamWaitEvent");
  count_at(event);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t s) {
  not_in_capture("cudaStreamQuery");
  check_stream(s, "cudaStreamQuery");
  finish_stream();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  not_in_capture("cudaEventSynchronize");
  run_until(count_at(event));
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  LOCK;
  count_at(event);
  stream.events.erase(event);
  return cudaSuccess;
}

/* A millisecond for each piece of work between them. */
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end) {
  LOCK;
  if (stream.done < count_at(end)) check_fault("cudaEventElapsedTime before the work is done");
  *ms = (float)(count_at(end) - count_at(begin));
  return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status) {
  check_stream(s, "cudaStreamIsCapturing");
  *status = capturing() ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  LOCK;
  check_stream(s, "cudaStreamBeginCapture");
  not_in_capture("cudaStreamBeginCapture");
  stream.captured = new check_graph;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out) {
  LOCK;
  check_stream(s, "cudaStreamEndCapture");
  if (!stream.captured) check_fault("cudaStreamEndCapture without a begin");
  log_capture(*stream.captured);
  *out = (cudaGraph_t)stream.captured;
  stream.captured = NULL;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
  *out = (cudaGraphExec_t) new check_graph(*(check_graph *)graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
  LOCK;
  not_in_capture("cudaGraphLaunch");
  check_stream(s, "cudaGraphLaunch");
  for (const work &each : ((check_graph *)graph)->all) submit(s, "a graph", each);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete (check_graph *)graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  finish_stream(); /* CUDA frees it when its launches are done */
  delete (check_graph *)graph;
  return cudaSuccess;
}
}
