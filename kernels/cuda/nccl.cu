/* The link among devices of ranks, by NCCL. Everything is grouped sends and receives of bytes:
 * chunks of ranks differ in length, and sums are made of parts in a fixed order, not by NCCL.
 *
 * Exchanges run on a stream of their own. An event before lets them wait for what was queued, an
 * event behind lets the other stream wait for them; both belong to a capture as well, so that a
 * captured step has its exchanges within. The communicator does not block: whoever waits here looks
 * for NCCL's errors and, by `check`, for other ranks, and aborts the communicator when there is
 * one, which ends its kernels. */
#include "nccl.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#include <vector>

#include "exchange.h"

enum { NCCL_REMOTE = 6 }; /* ncclRemoteError: another rank, which knows better, is the cause */

/* Blocks of threads, and so channels and their buffers, that NCCL may use for one peer. */
enum { MOST_BLOCKS = 8 };
/* Bytes of a channel's buffers for what comes from a peer, of the three protocols (DEFAULT_BUFFSIZE
 * and its like in NCCL's src/init.cc, 2.28). */
static const int64_t CHANNEL_BYTES = (512 << 10) + 640 * 120 * 8 * 8 + (4 << 20);

static struct {
  tkg_nccl call;
  bool looked_for;
  const char *missing; /* why there is no library */
  int device;
  cudaStream_t stream, main;
  cudaEvent_t ready[TKG_LINK_SLOTS], done[TKG_LINK_SLOTS];
  void *comm;     /* NULL: not joined, or ended */
  int ended;      /* the status with which it was */
  bool under_way; /* exchanges were queued since the last wait */
  int (*check)(void *of);
  void *of;
} nccl;

/* ---- errors ---- */

static int abandon(int status) {
  if (nccl.comm) nccl.call.abort(nccl.comm);
  nccl.comm = NULL;
  return nccl.ended = status;
}

/* Ends the communicator after an error of NCCL; if another rank is the cause, says so. */
static int failed(const char *what, int code) {
  const int other = nccl.check ? nccl.check(nccl.of) : TKG_OK;
  if (other) return abandon(other);
  const char *more = nccl.comm ? nccl.call.last_error(nccl.comm) : NULL;
  const int kind = code == NCCL_REMOTE ? TKG_E_RANKS : TKG_E_DEVICE;
  return abandon(tkg__fail(kind, "NCCL: %s: %s%s%.200s", what, nccl.call.error_text(code),
                           more && *more ? ": " : "", more ? more : ""));
}

static void rest(int looks) {
  if (looks < 100) return;
  const struct timespec pause = {0, looks < 2000 ? 2000 : 50000};
  nanosleep(&pause, NULL);
}

enum { LOOKS = 64 }; /* at the device between two at other ranks */

/* Waits until a call that returned `code` is through. */
static int settle(const char *what, int code) {
  for (int looks = 1; code == NCCL_IN_PROGRESS; looks++) {
    const int status = looks % LOOKS ? TKG_OK : nccl.check(nccl.of);
    int now = NCCL_OK;
    if (status) return abandon(status);
    rest(looks);
    const int asked = nccl.call.async_error(nccl.comm, &now);
    code = asked ? asked : now;
  }
  return code ? failed(what, code) : TKG_OK;
}

void tkg__nccl_replayed(void) { nccl.under_way = nccl.comm != NULL; }

int tkg__nccl_wait(cudaStream_t stream) {
  cudaError_t state = cudaSuccess;
  for (int looks = 1; nccl.under_way; looks++) {
    int code = NCCL_OK, status = TKG_OK;
    state = cudaStreamQuery(stream);
    if (state != cudaErrorNotReady) break;
    if (nccl.comm && nccl.call.async_error(nccl.comm, &code) == NCCL_OK && code &&
        code != NCCL_IN_PROGRESS)
      status = failed("an exchange", code);
    if (!status && looks % LOOKS == 0 && (status = nccl.check(nccl.of))) abandon(status);
    if (status) break;
    rest(looks);
  }
  nccl.under_way = false;
  return nccl.ended;
}

/* ---- joining ---- */

static int version_text(char out[TKG_LINK_NAME]) {
  int v = 0;
  const int code = nccl.call.version(&v);
  if (code) return failed("ncclGetVersion", code);
  snprintf(out, TKG_LINK_NAME, "NCCL %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
  return TKG_OK;
}

static int describe(char library[TKG_LINK_NAME], tkg_link_device *device) {
  cudaDeviceProp properties;
  cudaError_t error = cudaSetDevice(nccl.device);
  if (!error) error = cudaGetDeviceProperties(&properties, nccl.device);
  if (!error) error = cudaDeviceGetPCIBusId(device->bus, sizeof device->bus, nccl.device);
  if (error) return tkg_cuda_status(error);
  snprintf(device->name, sizeof device->name, "%.60s", properties.name);
  if (!nccl.looked_for) nccl.missing = tkg__nccl_open(&nccl.call);
  nccl.looked_for = true;
  library[0] = 0;
  return nccl.missing ? tkg__fail(TKG_E_UNSUPPORTED, "%s", nccl.missing) : version_text(library);
}

static int create_id(char id[TKG_LINK_ID]) {
  tkg_nccl_id made;
  const int code = nccl.call.unique_id(&made);
  if (code) return failed("ncclGetUniqueId", code);
  memcpy(id, made.bytes, sizeof made.bytes);
  return TKG_OK;
}

static cudaError_t open_stream(void) {
  cudaError_t error = cudaStreamCreateWithFlags(&nccl.stream, cudaStreamNonBlocking);
  for (int k = 0; k < TKG_LINK_SLOTS && !error; k++) {
    error = cudaEventCreateWithFlags(&nccl.ready[k], cudaEventDisableTiming);
    if (!error) error = cudaEventCreateWithFlags(&nccl.done[k], cudaEventDisableTiming);
  }
  return error;
}

static int join(const char id[TKG_LINK_ID], int rank, int size, int (*check)(void *of), void *of) {
  tkg_nccl_id made;
  tkg_nccl_config config = {};
  cudaError_t error = cudaSetDevice(nccl.device);
  if (!error) error = open_stream();
  if (error) return tkg_cuda_status(error);
  memcpy(made.bytes, id, sizeof made.bytes);
  config.size = sizeof config;
  config.magic = 0xcafebeef;
  config.version = NCCL_CONFIG_VERSION;
  config.cluster = config.least_blocks = INT_MIN;
  config.most_blocks = MOST_BLOCKS;
  nccl.check = check;
  nccl.of = of;
  nccl.ended = TKG_OK;
  return settle("ncclCommInitRankConfig", nccl.call.init(&nccl.comm, size, made, rank, &config));
}

/* ---- exchanges ---- */

static int add_parts(const tkg_part *parts, int n) {
  int code = nccl.call.group_start();
  for (int i = 0; i < n && !code; i++) {
    const tkg_part *p = &parts[i];
    if (p->receive_bytes > 0)
      code = nccl.call.receive(p->receive, (size_t)p->receive_bytes, NCCL_BYTES, p->rank, nccl.comm,
                               nccl.stream);
    if (!code && p->send_bytes > 0)
      code = nccl.call.send(p->send, (size_t)p->send_bytes, NCCL_BYTES, p->rank, nccl.comm,
                            nccl.stream);
  }
  const int ended = nccl.call.group_end();
  return code ? code : ended;
}

/* Queues the parts on NCCL's stream. */
static int queue_parts(const tkg_part *parts, int n) {
  if (!nccl.comm) return nccl.ended ? nccl.ended : tkg__fail(TKG_E_DEVICE, "NCCL: not joined");
  return settle("an exchange", add_parts(parts, n));
}

#ifdef __CUDACC__

static int queue(const tkg_part *parts, int n) { return queue_parts(parts, n); }

#else

/* What a library would add to a capture the emulation has to be told. */
static int queue(const tkg_part *parts, int n) {
  const std::vector<tkg_part> kept(parts, parts + n);
  int status = TKG_OK;
  if (emu_capturing())
    emu_queue([=] { queue_parts(kept.data(), n); });
  else
    status = queue_parts(parts, n);
  return status;
}

#endif

static int begin(int slot, const tkg_part *parts, int n) {
  cudaError_t error = cudaEventRecord(nccl.ready[slot], nccl.main);
  if (!error) error = cudaStreamWaitEvent(nccl.stream, nccl.ready[slot], 0);
  if (error) return tkg_cuda_status(error);
  nccl.under_way = true;
  const int status = queue(parts, n);
  if (status) return status;
  return tkg_cuda_status(cudaEventRecord(nccl.done[slot], nccl.stream));
}

static int end(int slot) {
  return tkg_cuda_status(cudaStreamWaitEvent(nccl.main, nccl.done[slot], 0));
}

static void leave(bool at_once) {
  if (!nccl.comm) return;
  cudaSetDevice(nccl.device);
  if (at_once || settle("ncclCommFinalize", nccl.call.finalize(nccl.comm))) {
    abandon(TKG_E_RANKS);
    return;
  }
  nccl.call.destroy(nccl.comm);
  nccl.comm = NULL;
}

static int64_t bytes(int size) { return (size - 1) * MOST_BLOCKS * CHANNEL_BYTES; }

void tkg__nccl_link(tkg_link *out, cudaStream_t stream, int device) {
  nccl.main = stream;
  nccl.device = device;
  *out = {describe, create_id, join, begin, end, leave, bytes};
}
