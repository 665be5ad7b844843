/* The backend that the engine loads: choice of the device, the table of kernels, errors.
 *
 * A process uses one device and one stream (a rank of a distributed run is a process of its own).
 * A lock lets several engines of a process share them, one run at a time. All work is queued; the
 * host waits only where a value is read, and in `finish` at the end of a run. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "argsort_ids.h"
#include "cuda_graph.h"
#include "device_errors.h"
#include "exchange.h"
#include "family.h"
#include "launch.h"
#include "pool.h"
#include "result_page.h"
#include "row_parts.h"
#include "run_params.h"
#include "spmm.h"
#include "staging.h"
#include "tiles.h"

extern "C" {
#include "base/stamp.h"
#include "tinykg.h"
}

static struct {
  pthread_mutex_t lock;
  int number; /* of the device; -1: none is open */
  int processors;
  cudaStream_t stream;
  char name[32]; /* "cuda:0" */
  const tkg_cuda_op *ops[TKG_OP_COUNT];
  cudaError_t error;        /* the first of a copy or memset since the last `finish` */
  cudaError_t lost;         /* what ended the device's use for this process */
  const char *first, *last; /* names of the first and last op queued since then, for messages */
} device = {PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
            -1,
            1,
            NULL,
            "",
            {NULL},
            cudaSuccess,
            cudaSuccess,
            NULL,
            NULL};

int tkg__processors(void) { return device.processors; }

/* CUDA's current device belongs to a thread, and any thread may use an engine. */
static void lock_device(void) {
  pthread_mutex_lock(&device.lock);
  cudaSetDevice(device.number);
}
static void unlock_device(void) { pthread_mutex_unlock(&device.lock); }

void tkg__use_device(void) { cudaSetDevice(device.number); }

static void keep_error(cudaError_t error) {
  if (error && !device.error) device.error = error;
}

/* ---- memory ---- */

static void *allocate(int64_t bytes) {
  lock_device();
  void *memory = tkg__pool_allocate(bytes);
  if (!memory && tkg__pool_error() && tkg__pool_error() != cudaErrorMemoryAllocation)
    device.lost = tkg__pool_error();
  unlock_device();
  return memory;
}

static void release(void *memory) {
  lock_device();
  tkg__result_page_drop(memory, 1);
  tkg__spmm_forget(memory);
  tkg__pool_release(memory);
  unlock_device();
}

static void write(void *to, const void *from, int64_t bytes) {
  lock_device();
  tkg__result_page_drop(to, bytes);
  tkg__spmm_forget(to);
  keep_error(tkg__upload(to, from, bytes, device.stream));
  unlock_device();
}

/* Also fails for an earlier error: what is read may then be wrong. */
static int read(void *to, const void *from, int64_t bytes) {
  lock_device();
  const int status = tkg__nccl_wait(device.stream);
  if (!status && !tkg__result_page_read(to, from, bytes))
    keep_error(tkg__download(to, from, bytes, device.stream));
  const cudaError_t error = device.error;
  unlock_device();
  if (status || !error) return status;
  return tkg__fail(TKG_E_DEVICE, "reading from %s: %s", device.name, cudaGetErrorString(error));
}

static void copy(void *to, const void *from, int64_t bytes) {
  lock_device();
  tkg__result_page_drop(to, bytes);
  if (bytes > 0)
    keep_error(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice, device.stream));
  unlock_device();
}

static void zero(void *memory, int64_t bytes) {
  lock_device();
  tkg__result_page_drop(memory, bytes);
  if (bytes > 0) keep_error(cudaMemsetAsync(memory, 0, (size_t)bytes, device.stream));
  unlock_device();
}

static void memory(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak) {
  size_t left = 0, all = 0;
  lock_device();
  tkg__pool_figures(bytes, reset_peak);
  cudaMemGetInfo(&left, &all);
  unlock_device();
  bytes[TKG_MEMORY_FREE] = (int64_t)left;
  bytes[TKG_MEMORY_TOTAL] = (int64_t)all;
}

/* ---- ops ---- */

static void join_tables(void) {
#define X(family) tkg__cuda_##family,
  const tkg_cuda_op *const families[] = {TKG_FAMILIES(X)};
#undef X
  for (const tkg_cuda_op *family : families)
    for (const tkg_cuda_op *o = family; o->run; o++) device.ops[o->op] = o;
}

static bool supports(int op) { return op >= 0 && op < TKG_OP_COUNT && device.ops[op]; }

static int64_t scratch_bytes(const tkg_node *node, const tkg_node *const *in) {
  const tkg_cuda_op *o = device.ops[node->op];
  if (!o || !o->scratch_bytes) return 0;
  lock_device(); /* CUB asks CUDA's current device */
  const int64_t bytes = o->scratch_bytes(node, in);
  unlock_device();
  return bytes;
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
  lock_device();
  int status = run_locked(c);
  unlock_device();
  return status;
}

static int run_tiles(const tkg_tile_call *calls, int n, const tkg_tiling *tiling) {
  lock_device();
  if (!device.first) device.first = "tiles";
  device.last = "tiles";
  int status = tkg__run_tiles(calls, n, tiling, device.stream);
  const cudaError_t error = cudaGetLastError();
  if (!status && error)
    status = tkg__fail(TKG_E_DEVICE, "tiles: %s: %s", device.name, cudaGetErrorString(error));
  unlock_device();
  return status;
}

static int add_parts(const tkg_call *c, const void *all, int parts, bool tiled) {
  lock_device();
  tkg__add_row_parts(c, all, parts, tiled, device.stream);
  const cudaError_t error = cudaGetLastError();
  unlock_device();
  return tkg_cuda_status(error);
}

static void interleave(void *blocks, void *rows, int64_t count, int64_t bytes, int ranks,
                       bool joins) {
  lock_device();
  tkg__interleave(blocks, rows, count, bytes, ranks, joins, device.stream);
  keep_error(cudaGetLastError());
  unlock_device();
}

/* ---- counting ---- */

static struct {
  int64_t pieces;
  bool only; /* nothing is queued */
} count;

bool tkg__queues(void) {
  count.pieces++;
  return !count.only;
}

static int64_t launches(const tkg_tile_call *calls, int n, const tkg_tiling *tiling) {
  lock_device();
  count.pieces = 0;
  count.only = true;
  if (tiling)
    (void)tkg__run_tiles(calls, n, tiling, device.stream);
  else
    (void)device.ops[calls->call.node->op]->run(&calls->call, device.stream);
  count.only = false;
  tkg__error_slots_clear();
  unlock_device();
  return count.pieces;
}

/* ---- a run: the lock is held from `begin` to `finish` ---- */

static const char *lost(void) { return device.lost ? cudaGetErrorString(device.lost) : NULL; }

static int begin(const tkg_run_context *context) {
  lock_device();
  tkg__result_page_clear();
  const int status = device.lost ? tkg__fail(TKG_E_DEVICE, "an earlier error: %s", lost())
                                 : tkg__run_params_upload(context, device.stream);
  if (status) unlock_device();
  return status;
}

static void result(const void *from, int64_t bytes) {
  keep_error(tkg__result_page_add(from, bytes, device.stream));
}

static bool capture_begin(void) { return tkg__capture_begin(device.stream); }
static tkg_capture *capture_end(void) { return tkg__capture_end(device.stream); }

static int replay(tkg_capture *capture) {
  tkg__nccl_replayed();
  const cudaError_t error = tkg__capture_launch(capture, device.stream);
  device.first = device.last = "a captured run";
  if (!error) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "%s: a captured run: %s", device.name, cudaGetErrorString(error));
}

#ifdef __CUDACC__
static const char *ways(void) {
  lock_device();
  const char *text = tkg__spmm_ways();
  unlock_device();
  return text;
}

static int set_ways(const char *text) {
  lock_device();
  const int status = tkg__spmm_set_ways(text);
  unlock_device();
  return status;
}
#endif

static void capture_free(tkg_capture *capture) {
  lock_device();
  tkg__capture_free(capture);
  unlock_device();
}

/* The device reports an error after the call that caused it; only the range of ops is known. */
static int late_error(cudaError_t error) {
  return tkg__fail(TKG_E_DEVICE,
                   "%s: %s, while it ran ops from '%s' to '%s' (CUDA_LAUNCH_BLOCKING=1 in the "
                   "environment names the one)",
                   device.name, cudaGetErrorString(error), device.first ? device.first : "-",
                   device.last ? device.last : "-");
}

static int finish_locked(void) {
  const int lonely = tkg__nccl_wait(device.stream);
  cudaError_t error = tkg__device_errors_fetch(device.stream);
  const cudaError_t late = cudaStreamSynchronize(device.stream);
  if (!error) error = late ? late : device.error;
  if (late) device.lost = late; /* of a kernel: CUDA gives this process nothing more */
  int status = tkg__device_errors_report(device.stream); /* in any case: it frees the slots */
  if (error) status = late_error(error);
  if (lonely) status = lonely;
  device.error = cudaSuccess;
  device.first = device.last = NULL;
  return status;
}

static int finish(char *message, int size) {
  const int status = finish_locked();
  if (status && size > 0) snprintf(message, (size_t)size, "%s", tkg_error());
  unlock_device();
  return status;
}

static tkg_link exchanges;

/* What is not named here is NULL: what this backend cannot do. */
static tkg_backend table(void) {
  tkg_backend b = {};
  b.name = device.name;
  b.error = tkg_error;
  b.allocate = allocate;
  b.release = release;
  b.write = write;
  b.read = read;
  b.copy = copy;
  b.zero = zero;
  b.supports = supports;
  b.scratch_bytes = scratch_bytes;
  b.slice_bytes = tkg__slice_bytes;
  b.ids_order = tkg__ids_order;
  b.run = run;
  b.run_tiles = run_tiles;
  b.launches = launches;
  b.deals_rows = true;
  b.part_bytes = tkg__part_bytes;
  b.add_parts = add_parts;
  b.interleave = interleave;
  b.link = &exchanges;
  b.lost = lost;
  b.begin = begin;
  b.result = result;
  b.finish = finish;
  b.capture_begin = capture_begin;
  b.capture_end = capture_end;
  b.replay = replay;
  b.capture_free = capture_free;
  b.prepared = tkg__spmm_prepared;
#ifdef __CUDACC__
  b.ways = ways;
  b.set_ways = set_ways;
#endif
  b.library_bytes = tkg__spmm_bytes;
  b.memory = memory;
  return b;
}

static tkg_backend backend = table(); /* the rules of tiles depend on the device */

/* ---- opening ---- */

#ifdef __CUDACC__
static const char family_name[] = "cuda";
#else
static const char family_name[] = "emu";
#endif

/* "auto" and "cuda" are device 0, "cuda:N" is N, "cuda@N" that of place N: each of `count` in turn.
 * Returns -1 for any other name. */
static int number_of(const char *name, int count) {
  const size_t length = strlen(family_name);
  if (strcmp(name, "auto") == 0 || strcmp(name, family_name) == 0) return 0;
  if (strncmp(name, family_name, length) != 0 || !strchr(":@", name[length])) return -1;
  char *end;
  const long number = strtol(name + length + 1, &end, 10);
  if (*end || end == name + length + 1 || number < 0 || number > 65535) return -1;
  return (int)(name[length] == '@' && count > 0 ? number % count : number);
}

#ifdef __CUDACC__

static __global__ void probe_kernel(void) {}

/* Finds out before the first op whether the library holds code that the device can run. */
static int check_code(const cudaDeviceProp *p, int number) {
  cudaFuncAttributes unused;
  const cudaError_t error = cudaFuncGetAttributes(&unused, probe_kernel);
  if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorUnsupportedPtxVersion)
    return tkg_cuda_status(error);
  cudaGetLastError();
  return tkg__fail(TKG_E_DEVICE,
                   "%s:%d: libtinykg_cuda.so has no code for compute capability %d.%d: make cuda "
                   "CUDA_ARCHS=%d%d builds it",
                   family_name, number, p->major, p->minor, p->major, p->minor);
}

static int no_device(const char *name, cudaError_t error) {
  if (error == cudaErrorInsufficientDriver)
    return tkg__fail(TKG_E_DEVICE, "device '%s': no NVIDIA driver, or one older than CUDA %d.%d's",
                     name, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  return tkg__fail(TKG_E_DEVICE, "device '%s': %s", name, cudaGetErrorString(error));
}

#else

static int check_code(const cudaDeviceProp *, int) { return TKG_OK; }
static int no_device(const char *name, cudaError_t error) {
  return tkg__fail(TKG_E_DEVICE, "device '%s': %s", name, cudaGetErrorString(error));
}

#endif

static int open_device(int number) {
  cudaDeviceProp properties;
  cudaError_t error = cudaSetDevice(number);
  if (!error) error = cudaGetDeviceProperties(&properties, number);
  if (!error) error = cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking);
  if (error)
    return tkg__fail(TKG_E_DEVICE, "%s:%d: %s", family_name, number, cudaGetErrorString(error));
  const int code = check_code(&properties, number);
  if (code) return code;
  device.processors = properties.multiProcessorCount;
  device.number = number;
  tkg__nccl_link(&exchanges, device.stream, number);
  snprintf(device.name, sizeof device.name, "%s:%d", family_name, number);
  join_tables();
  int status = tkg__device_errors_open(device.stream);
  if (!status) status = tkg__run_params_open();
  if (!status) status = tkg_cuda_status(tkg__result_page_open());
  if (!status) status = tkg__tiles_open(&properties, &backend.tiles);
  if (status) device.number = -1;
  return status;
}

static int open_locked(const char *name) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  const int number = number_of(name, count);
  if (number < 0)
    return tkg__fail(TKG_E_ARGUMENT, "device '%s': '%s' or '%s:N' is expected", name, family_name,
                     family_name);
  if (device.number == number) return TKG_OK;
  if (device.number >= 0)
    return tkg__fail(TKG_E_UNSUPPORTED, "device '%s': this process already uses %s", name,
                     device.name);
  if (error) return no_device(name, error);
  if (number >= count)
    return tkg__fail(TKG_E_DEVICE, "device '%s': this machine has %d", name, count);
  return open_device(number);
}

/* Called by the engine (tkg_backend_stamper and tkg_backend_opener in backend.h). */
extern "C" __attribute__((visibility("default"))) uint64_t tkg_backend_stamp(void) {
  return tkg__interface_stamp();
}

extern "C" __attribute__((visibility("default"))) const tkg_backend *
tkg_backend_open(const char *name, char *message, int size) {
  pthread_mutex_lock(&device.lock);
  const int status = open_locked(name);
  pthread_mutex_unlock(&device.lock);
  if (!status) return &backend;
  if (size > 0) snprintf(message, (size_t)size, "%s", tkg_error());
  return NULL;
}
