/* A stand-in for NCCL on the emulated GPU, whose memory is the host's: the functions that
 * kernels/cuda/nccl.h names, among processes of one machine, over Unix sockets. Like a communicator
 * that does not block, it moves on while it is asked for errors. TKG_NCCL names the library.
 *
 * NCCL_FAULT="RANK GROUP KIND" plants a fault in a rank's so-manieth group: `dies` (kill -9),
 * `error` (an asynchronous error), `short` (it sends half of what the others expect), `stops` (the
 * group makes no progress). NCCL_LOG=FILE gets a line per communicator when it ends: its groups and
 * the bytes sent. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <deque>
#include <string>
#include <vector>

#include "cuda/nccl.h"

static const int SYSTEM_ERROR = 2, INVALID_USAGE = 5, REMOTE_ERROR = 6;

/* Bytes on their way, behind a header that has their number. */
struct message {
  char *at;
  uint64_t bytes, header, done; /* done: of header and bytes together */
};

struct peer {
  int socket = -1;
  bool named = false; /* it knows which rank this is */
  std::deque<message> out, in;
};

struct communicator {
  int rank, size, listener, error = NCCL_OK;
  long groups = 0;
  int64_t sent = 0;
  bool stopped = false;
  std::string folder;
  std::vector<peer> peers;
};

static thread_local std::vector<communicator *> grouped;
static thread_local int depth;
static char last[256];

static int fail(communicator *c, int code, const char *text, int rank) {
  snprintf(last, sizeof last, text, rank);
  return c->error = code;
}

/* ---- connections: each rank calls those before it, and says who it is ---- */

static sockaddr_un address_of(const communicator *c, int rank) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  snprintf(a.sun_path, sizeof a.sun_path, "%.80s/%d", c->folder.c_str(), rank);
  return a;
}

static void do_not_block(int socket) {
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
}

static void call_rank(communicator *c, int rank) {
  const sockaddr_un a = address_of(c, rank);
  const int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(s, (const sockaddr *)&a, sizeof a) || write(s, &c->rank, sizeof c->rank) < 0) {
    close(s);
    return;
  }
  do_not_block(s);
  c->peers[rank].socket = s;
}

static void answer(communicator *c) {
  int who = -1;
  const int s = accept(c->listener, NULL, NULL);
  if (s < 0) return;
  if (read(s, &who, sizeof who) == sizeof who && who > c->rank && who < c->size) {
    do_not_block(s);
    c->peers[who].socket = s;
  }
}

static bool connected(communicator *c) {
  bool all = true;
  answer(c);
  for (int r = 0; r < c->size; r++) {
    if (r < c->rank && c->peers[r].socket < 0) call_rank(c, r);
    all = all && (r == c->rank || c->peers[r].socket >= 0);
  }
  return all;
}

/* ---- messages ---- */

/* Moves the first message of a queue on. -1: the other side is gone. */
static int move(int socket, std::deque<message> &queue, bool sends) {
  message &m = queue.front();
  const uint64_t own = sizeof m.header;
  while (m.done < own + m.bytes) {
    char *at = m.done < own ? (char *)&m.header + m.done : m.at + (m.done - own);
    const size_t left = m.done < own ? own - m.done : own + m.bytes - m.done;
    const ssize_t n = sends ? send(socket, at, left, MSG_NOSIGNAL) : recv(socket, at, left, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return -1;
    m.done += (uint64_t)n;
    if (!sends && m.done == own && m.header != m.bytes) return -2;
  }
  queue.pop_front();
  return 1;
}

static int move_all(communicator *c, int r) {
  peer &p = c->peers[r];
  int moved = 1;
  while (moved == 1 && !p.out.empty()) moved = move(p.socket, p.out, true);
  if (moved >= 0) moved = 1;
  while (moved == 1 && !p.in.empty()) moved = move(p.socket, p.in, false);
  if (moved == -1) return fail(c, REMOTE_ERROR, "connection to rank %d is closed", r);
  if (moved == -2) return fail(c, INVALID_USAGE, "rank %d sends another number of bytes", r);
  return NCCL_OK;
}

static int progress(communicator *c) {
  if (c->error) return c->error;
  if (c->stopped || !connected(c)) return NCCL_IN_PROGRESS;
  bool all = true;
  for (int r = 0; r < c->size; r++) {
    if (r == c->rank) continue;
    const int code = move_all(c, r);
    if (code) return code;
    all = all && c->peers[r].out.empty() && c->peers[r].in.empty();
  }
  return all ? NCCL_OK : NCCL_IN_PROGRESS;
}

/* ---- planted faults ---- */

static void plant(communicator *c) {
  int rank;
  long group;
  char kind[16];
  const char *fault = getenv("NCCL_FAULT");
  if (!fault || sscanf(fault, "%d %ld %15s", &rank, &group, kind) != 3) return;
  if (rank != c->rank || group != c->groups) return;
  if (strcmp(kind, "dies") == 0) raise(SIGKILL);
  if (strcmp(kind, "error") == 0) fail(c, SYSTEM_ERROR, "planted in rank %d", rank);
  if (strcmp(kind, "stops") == 0) c->stopped = true;
  for (peer &p : c->peers)
    if (strcmp(kind, "short") == 0 && !p.out.empty())
      p.out.back().bytes = p.out.back().header = p.out.back().bytes / 2;
}

/* ---- NCCL's functions ---- */

static void end(communicator *c) {
  const char *path = getenv("NCCL_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (file) {
    fprintf(file, "rank %d groups %ld bytes %lld\n", c->rank, c->groups, (long long)c->sent);
    fclose(file);
  }
  for (peer &p : c->peers)
    if (p.socket >= 0) close(p.socket);
  close(c->listener);
  unlink(address_of(c, c->rank).sun_path);
  rmdir(c->folder.c_str());
  delete c;
}

extern "C" {

int ncclGetVersion(int *out) { return *out = 22809, NCCL_OK; }

int ncclGetUniqueId(tkg_nccl_id *out) {
  memset(out, 0, sizeof *out);
  strcpy(out->bytes, "/tmp/nccl-stand-in-XXXXXX");
  return mkdtemp(out->bytes) ? (int)NCCL_OK : SYSTEM_ERROR;
}

int ncclCommInitRankConfig(void **out, int size, tkg_nccl_id id, int rank,
                           tkg_nccl_config *config) {
  if (config->magic != 0xcafebeef || config->version < 21700 || config->blocking != 0)
    return INVALID_USAGE;
  communicator *c = new communicator;
  c->rank = rank;
  c->size = size;
  c->folder = id.bytes;
  c->peers.resize((size_t)size);
  c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const sockaddr_un a = address_of(c, rank);
  *out = c;
  if (bind(c->listener, (const sockaddr *)&a, sizeof a) || listen(c->listener, size))
    return SYSTEM_ERROR;
  return NCCL_IN_PROGRESS;
}

int ncclCommGetAsyncError(void *comm, int *out) {
  *out = progress((communicator *)comm);
  return NCCL_OK;
}

int ncclGroupStart(void) { return depth++, NCCL_OK; }

int ncclGroupEnd(void) {
  if (--depth > 0) return NCCL_OK;
  for (communicator *c : grouped) {
    c->groups++;
    plant(c);
  }
  const bool any = !grouped.empty();
  grouped.clear();
  return any ? NCCL_IN_PROGRESS : NCCL_OK;
}

static int add(communicator *c, const void *at, size_t bytes, int type, int rank, bool sends) {
  if (depth == 0 || type != NCCL_BYTES || rank == c->rank || rank < 0 || rank >= c->size)
    return INVALID_USAGE;
  if (grouped.empty()) grouped.push_back(c);
  const message m = {(char *)at, bytes, sends ? bytes : 0, 0};
  (sends ? c->peers[rank].out : c->peers[rank].in).push_back(m);
  if (sends) c->sent += (int64_t)bytes;
  return NCCL_OK;
}

int ncclSend(const void *from, size_t count, int type, int to, void *comm, void *) {
  return add((communicator *)comm, from, count, type, to, true);
}
int ncclRecv(void *at, size_t count, int type, int from, void *comm, void *) {
  return add((communicator *)comm, at, count, type, from, false);
}

int ncclCommFinalize(void *) { return NCCL_OK; }
int ncclCommDestroy(void *comm) { return end((communicator *)comm), NCCL_OK; }
int ncclCommAbort(void *comm) { return end((communicator *)comm), NCCL_OK; }

const char *ncclGetErrorString(int code) {
  return code == REMOTE_ERROR    ? "remote process exited or there was a network error"
         : code == INVALID_USAGE ? "invalid usage"
         : code == SYSTEM_ERROR  ? "unhandled system error"
                                 : "no error";
}
const char *ncclGetLastError(void *) { return last; }
}
