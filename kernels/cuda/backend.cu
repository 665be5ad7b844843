/* The backend that the engine loads: choice of the device, the table of kernels, errors.
 *
 * One device and one stream a process (a rank of a distributed run is a process of its own); a lock
 * lets several engines of a process use it, run by run. Everything is queued: the host waits only
 * where a value is read and in `finish`, at the end of a run. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda_graph.h"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "pool.h"
#include "run_params.h"
#include "staging.h"

extern "C" {
#include "tinykg.h"
}

static struct {
  pthread_mutex_t lock;
  int number; /* of the device; -1: none is open */
  int processors;
  cudaStream_t stream;
  char name[32]; /* "cuda:0" */
  const tkg_cuda_op *ops[TKG_OP_COUNT];
  cudaError_t error;        /* the first that no status could carry: of a copy, of memory */
  const char *first, *last; /* ops queued since the last finish: for messages */
} device = {
    PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP, -1, 1, NULL, "", {NULL}, cudaSuccess, NULL, NULL};

int tkg__processors(void) { return device.processors; }

/* The part of codec.c that the shape functions of op.c need. */
extern "C" int64_t tkg__codec_bytes(int bits, int64_t rows, int64_t cols) {
  return tkg__codec_pair_offset(bits, rows, cols) + 4 * rows;
}

/* A device is chosen a thread, and engines may be used by any thread. */
static void enter(void) {
  pthread_mutex_lock(&device.lock);
  cudaSetDevice(device.number);
}
static void leave(void) { pthread_mutex_unlock(&device.lock); }

static void note(cudaError_t error) {
  if (error && !device.error) device.error = error;
}

/* ---- memory ---- */

static void *allocate(int64_t bytes) {
  enter();
  void *memory = tkg__pool_allocate(bytes);
  leave();
  return memory;
}

static void release(void *memory) {
  enter();
  tkg__pool_release(memory);
  leave();
}

static void write(void *to, const void *from, int64_t bytes) {
  enter();
  note(tkg__upload(to, from, bytes, device.stream));
  leave();
}

/* An error that was noted before spoils what is read now. */
static int read(void *to, const void *from, int64_t bytes) {
  enter();
  note(tkg__download(to, from, bytes, device.stream));
  const cudaError_t error = device.error;
  leave();
  if (!error) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "reading from %s: %s", device.name, cudaGetErrorString(error));
}

static void copy(void *to, const void *from, int64_t bytes) {
  enter();
  if (bytes > 0)
    note(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice, device.stream));
  leave();
}

static void zero(void *memory, int64_t bytes) {
  enter();
  if (bytes > 0) note(cudaMemsetAsync(memory, 0, (size_t)bytes, device.stream));
  leave();
}

static void memory(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak) {
  size_t left = 0, all = 0;
  enter();
  tkg__pool_figures(bytes, reset_peak);
  cudaMemGetInfo(&left, &all);
  leave();
  bytes[TKG_MEMORY_FREE] = (int64_t)left;
  bytes[TKG_MEMORY_TOTAL] = (int64_t)all;
}

/* ---- ops ---- */

static void join_tables(void) {
  const tkg_cuda_op *const families[] = {
      tkg__cuda_elementwise, tkg__cuda_reduce, tkg__cuda_rows,     tkg__cuda_optim,
      tkg__cuda_matmul,      tkg__cuda_layout, tkg__cuda_gather,   tkg__cuda_scatter,
      tkg__cuda_mix,         tkg__cuda_sample, tkg__cuda_kept,     tkg__cuda_aggregate,
      tkg__cuda_edges,       tkg__cuda_pick,   tkg__cuda_relation, tkg__cuda_grouped,
      tkg__cuda_normalize,   tkg__cuda_adam8};
  for (const tkg_cuda_op *family : families)
    for (const tkg_cuda_op *o = family; o->run; o++) device.ops[o->op] = o;
}

static bool supports(int op) { return op >= 0 && op < TKG_OP_COUNT && device.ops[op]; }

static int64_t scratch_bytes(const tkg_node *node, const tkg_node *const *in) {
  const tkg_cuda_op *o = device.ops[node->op];
  return o && o->scratch_bytes ? o->scratch_bytes(node, in) : 0;
}

static int run_locked(const tkg_call *c) {
  const tkg_cuda_op *o = device.ops[c->node->op];
  const char *name = tkg__ops[c->node->op].name;
  if (!o) return tkg__fail(TKG_E_UNSUPPORTED, "%s: no kernel on %s", name, device.name);
  if (!device.first) device.first = name;
  device.last = name;
  int status = o->run(c, device.stream);
  cudaError_t error = cudaGetLastError();
  if (!status && error)
    status = tkg__fail(TKG_E_DEVICE, "%s: %s: %s", name, device.name, cudaGetErrorString(error));
  return status;
}

static int run(const tkg_call *c) {
  enter();
  int status = run_locked(c);
  leave();
  return status;
}

/* ---- a run: the lock is held from `begin` to `finish` ---- */

static int begin(const tkg_run_context *context) {
  enter();
  const int status = tkg__values_begin(context, device.stream);
  if (status) leave();
  return status;
}

static bool record(void) { return tkg__record_begin(device.stream); }
static tkg_recording *recorded(void) { return tkg__record_end(device.stream); }

static int replay(tkg_recording *recording) {
  const cudaError_t error = tkg__record_launch(recording, device.stream);
  device.first = device.last = "a recorded run";
  if (!error) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "%s: a recorded run: %s", device.name, cudaGetErrorString(error));
}

static void forget(tkg_recording *recording) {
  enter();
  tkg__record_free(recording);
  leave();
}

/* An error of the device shows up late: all that is known is what was queued since the last look.
 */
static int late_error(cudaError_t error) {
  return tkg__fail(TKG_E_DEVICE,
                   "%s: %s, while it ran ops from '%s' to '%s' (CUDA_LAUNCH_BLOCKING=1 in the "
                   "environment names the one)",
                   device.name, cudaGetErrorString(error), device.first ? device.first : "-",
                   device.last ? device.last : "-");
}

static int finish_locked(void) {
  cudaError_t error = tkg__faults_fetch(device.stream);
  const cudaError_t late = cudaStreamSynchronize(device.stream);
  if (!error) error = late ? late : device.error;
  int status = tkg__faults_report(device.stream); /* in any case: it forgets them */
  if (error) status = late_error(error);
  device.error = cudaSuccess;
  device.first = device.last = NULL;
  return status;
}

static int finish(char *message, int size) {
  const int status = finish_locked();
  if (status && size > 0) snprintf(message, (size_t)size, "%s", tkg_error());
  leave();
  return status;
}

static const tkg_backend backend = {
    device.name, allocate, release, write,  read,   copy,     zero,   supports, scratch_bytes, run,
    tkg_error,   NULL,     begin,   finish, record, recorded, replay, forget,   memory};

/* ---- opening ---- */

#ifdef __CUDACC__
static const char family_name[] = "cuda";
#else
static const char family_name[] = "emu";
#endif

/* "auto" and "cuda" are device 0, "cuda:N" is N; -1: something else. */
static int number_of(const char *name) {
  const size_t length = strlen(family_name);
  if (strcmp(name, "auto") == 0 || strcmp(name, family_name) == 0) return 0;
  if (strncmp(name, family_name, length) != 0 || name[length] != ':') return -1;
  char *end;
  const long number = strtol(name + length + 1, &end, 10);
  return *end || end == name + length + 1 || number < 0 || number > 1023 ? -1 : (int)number;
}

static int open_device(int number) {
  cudaDeviceProp properties;
  cudaError_t error = cudaSetDevice(number);
  if (!error) error = cudaGetDeviceProperties(&properties, number);
  if (!error) error = cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking);
  if (error)
    return tkg__fail(TKG_E_DEVICE, "%s:%d: %s", family_name, number, cudaGetErrorString(error));
  device.processors = properties.multiProcessorCount;
  device.number = number;
  snprintf(device.name, sizeof device.name, "%s:%d", family_name, number);
  join_tables();
  int status = tkg__faults_open(device.stream);
  if (!status) status = tkg__values_open();
  if (status) device.number = -1;
  return status;
}

static int open_locked(const char *name) {
  int count = 0;
  const int number = number_of(name);
  if (number < 0)
    return tkg__fail(TKG_E_ARGUMENT, "device '%s': '%s' or '%s:N' is expected", name, family_name,
                     family_name);
  if (device.number == number) return TKG_OK;
  if (device.number >= 0)
    return tkg__fail(TKG_E_UNSUPPORTED, "device '%s': this process already uses %s", name,
                     device.name);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error) return tkg__fail(TKG_E_DEVICE, "device '%s': %s", name, cudaGetErrorString(error));
  if (number >= count)
    return tkg__fail(TKG_E_DEVICE, "device '%s': this machine has %d", name, count);
  return open_device(number);
}

/* For the engine: the table, or NULL and one line that says why there is none. */
extern "C" __attribute__((visibility("default"))) const tkg_backend *
tkg_backend_open(const char *name, char *message, int size) {
  pthread_mutex_lock(&device.lock);
  const int status = open_locked(name);
  pthread_mutex_unlock(&device.lock);
  if (!status) return &backend;
  if (size > 0) snprintf(message, (size_t)size, "%s", tkg_error());
  return NULL;
}
