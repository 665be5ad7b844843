#include "collective.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "state.h"

/* A broadcast of fewer bytes goes to each rank; of more, each gets a part and passes it on. */
enum { SMALL = 1 << 16 };

int tkg__collective_rank(const tkg_collective *c) { return c ? c->transport->rank : 0; }
int tkg__collective_size(const tkg_collective *c) { return c ? c->transport->size : 1; }
int tkg__collective_local_rank(const tkg_collective *c) { return c ? c->sharing.local_rank : 0; }
int tkg__collective_local_size(const tkg_collective *c) { return c ? c->sharing.local_size : 1; }
int tkg__collective_threads(const tkg_collective *c) { return c ? c->sharing.threads : 0; }
const char *tkg__collective_note(const tkg_collective *c) { return c ? c->note : ""; }

int64_t tkg__collective_bytes(const tkg_collective *c, enum tkg_collective_kind kind) {
  return c ? c->bytes[kind] : 0;
}
int64_t tkg__collective_calls(const tkg_collective *c, enum tkg_collective_kind kind) {
  return c ? c->calls[kind] : 0;
}
void tkg__collective_count(tkg_collective *c, enum tkg_collective_kind kind, int64_t bytes) {
  c->bytes[kind] += bytes;
}
void tkg__collective_reset_counts(tkg_collective *c) {
  if (!c) return;
  memset(c->bytes, 0, sizeof c->bytes);
  memset(c->calls, 0, sizeof c->calls);
}

static void copy(void *to, const void *from, int64_t bytes) {
  if (bytes > 0 && to != from) memcpy(to, from, (size_t)bytes);
}

/* Sets the parts of an all_to_all, next ranks first so that not all send to the same one: the first
 * is this rank's own, which is copied. */
static void set_parts(tkg_collective *c, const char *send, const int64_t *send_bytes, void *receive,
                      const int64_t *receive_bytes) {
  const int rank = c->transport->rank, size = c->transport->size;
  int64_t from = 0, to = 0;
  for (int r = 0; r < size; r++) {
    c->parts[(r - rank + size) % size] =
        (tkg_part){r, send + from, send_bytes[r], (char *)receive + to, receive_bytes[r]};
    from += send_bytes[r];
    to += receive_bytes[r];
  }
  copy(c->parts[0].receive, c->parts[0].send, c->parts[0].send_bytes);
}

int tkg__all_to_all_begin(tkg_collective *c, const void *send, const int64_t *send_bytes,
                          void *receive, const int64_t *receive_bytes, tkg_exchange **out) {
  *out = NULL;
  if (!c) {
    copy(receive, send, send_bytes[0]);
    return TKG_OK;
  }
  c->calls[TKG_ALL_TO_ALL]++;
  set_parts(c, send, send_bytes, receive, receive_bytes);
  return tkg__exchange_begin(c, TKG_ALL_TO_ALL, c->parts + 1, c->transport->size - 1, out);
}

int tkg__all_to_all(tkg_collective *c, const void *send, const int64_t *send_bytes, void *receive,
                    const int64_t *receive_bytes) {
  tkg_exchange *e;
  int status = tkg__all_to_all_begin(c, send, send_bytes, receive, receive_bytes, &e);
  return status ? status : tkg__exchange_end(e);
}

/* all_gather, its bytes counted as those of another kind. */
static int gather(tkg_collective *c, enum tkg_collective_kind kind, const void *mine, void *all,
                  const int64_t *bytes) {
  const int rank = c->transport->rank, size = c->transport->size;
  int64_t at = 0;
  for (int r = 0; r < size; r++) {
    c->parts[(r - rank + size) % size] =
        (tkg_part){r, mine, bytes[rank], (char *)all + at, bytes[r]};
    at += bytes[r];
  }
  copy(c->parts[0].receive, mine, bytes[rank]);
  return tkg__exchange(c, kind, c->parts + 1, size - 1);
}

int tkg__all_gather(tkg_collective *c, const void *mine, void *all, const int64_t *bytes) {
  if (!c) {
    copy(all, mine, bytes[0]);
    return TKG_OK;
  }
  c->calls[TKG_ALL_GATHER]++;
  return gather(c, TKG_ALL_GATHER, mine, all, bytes);
}

int tkg__all_gather_equal(tkg_collective *c, const void *mine, void *all, int64_t bytes) {
  for (int r = 0; c && r < c->transport->size; r++) c->sizes[r] = bytes;
  return tkg__all_gather(c, mine, all, c ? c->sizes : &bytes);
}

/* Copies bytes of `root` to all others at once. */
static int send_whole(tkg_collective *c, void *data, int64_t bytes, int root) {
  const int size = c->transport->size;
  bool sends = c->transport->rank == root;
  c->parts[0] = (tkg_part){root, NULL, 0, data, bytes};
  for (int i = 1; sends && i < size; i++)
    c->parts[i - 1] = (tkg_part){(root + i) % size, data, bytes, NULL, 0};
  return tkg__exchange(c, TKG_BROADCAST, c->parts, sends ? size - 1 : 1);
}

/* Each rank gets a part of root's bytes, then all gather the parts: root sends twice its bytes,
 * not size - 1 times. */
static int send_parts(tkg_collective *c, char *data, int64_t bytes, int root) {
  const int rank = c->transport->rank, size = c->transport->size;
  const int64_t each = (bytes + size - 1) / size;
  int n = 0;
  for (int r = 0; r < size; r++) {
    int64_t left = bytes - r * each;
    c->sizes[r] = left < 0 ? 0 : left < each ? left : each;
    if (rank == root && r != root)
      c->parts[n++] = (tkg_part){r, data + bytes - (left > 0 ? left : 0), c->sizes[r], NULL, 0};
  }
  char *own = data + (c->sizes[rank] ? rank * each : 0);
  if (rank != root) c->parts[n++] = (tkg_part){root, NULL, 0, own, c->sizes[rank]};
  int status = tkg__exchange(c, TKG_BROADCAST, c->parts, n);
  return status ? status : gather(c, TKG_BROADCAST, own, data, c->sizes);
}

int tkg__broadcast(tkg_collective *c, void *data, int64_t bytes, int root) {
  if (!c) return TKG_OK;
  if (root < 0 || root >= c->transport->size)
    return tkg__fail(TKG_E_ARGUMENT, "broadcast from rank %d of %d", root, c->transport->size);
  c->calls[TKG_BROADCAST]++;
  return bytes <= SMALL || c->transport->size == 2 ? send_whole(c, data, bytes, root)
                                                   : send_parts(c, data, bytes, root);
}

int tkg__barrier(tkg_collective *c) {
  char mine = 0;
  if (!c) return TKG_OK;
  int status = tkg__reserve(c, c->transport->size);
  if (status) return status;
  for (int r = 0; r < c->transport->size; r++) c->sizes[r] = 1;
  c->calls[TKG_BARRIER]++;
  return gather(c, TKG_BARRIER, &mine, c->scratch, c->sizes);
}

int tkg__reserve(tkg_collective *c, int64_t bytes) {
  if (bytes <= c->scratch_bytes) return TKG_OK;
  free(c->scratch);
  c->scratch_bytes = 0;
  c->scratch = malloc((size_t)bytes);
  if (!c->scratch) return tkg__fail(TKG_E_MEMORY, "no memory for a sum over ranks");
  c->scratch_bytes = bytes;
  return TKG_OK;
}
