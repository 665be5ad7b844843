/* Messages of several ranks at once, and waiting for them. Waiting gives way to other processes, so
 * that more ranks than cores do not stall, and looks for ranks that have failed. */
#define _GNU_SOURCE // nanosleep, sched_yield; NOLINT(bugprone-reserved-identifier)
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "state.h"

/* Looks at messages before it yields; seconds from which on it sleeps between two, for another rank
 * computes; looks between two at the lines. */
enum { SPINS = 200, LOOKS = 64, SLEEP_NS = 20000 };
static const double YIELD_SECONDS = 0.02;

struct tkg_exchange {
  tkg_collective *c;
  int n, left;
  bool *done;
  tkg_message messages[];
};

static int pieces(const tkg_transport *t, int64_t bytes) {
  return (int)((bytes + t->most - 1) / t->most);
}

/* Begins the messages of one direction of a part. */
static int begin_all(tkg_exchange *e, const tkg_part *part, bool sends) {
  const tkg_transport *t = e->c->transport;
  int64_t bytes = sends ? part->send_bytes : part->receive_bytes;
  for (int64_t at = 0; at < bytes; at += t->most) {
    int64_t size = bytes - at < t->most ? bytes - at : t->most;
    tkg_message *m = &e->messages[e->n];
    int status = sends ? t->send((const char *)part->send + at, size, part->rank, m)
                       : t->receive((char *)part->receive + at, size, part->rank, m);
    if (status) return status;
    e->n++;
    e->left++;
  }
  return TKG_OK;
}

int tkg__exchange_begin(tkg_collective *c, enum tkg_collective_kind kind, const tkg_part *parts,
                        int n, tkg_exchange **out) {
  int most = 0, status = TKG_OK;
  *out = NULL;
  for (int i = 0; i < n; i++)
    most +=
        pieces(c->transport, parts[i].send_bytes) + pieces(c->transport, parts[i].receive_bytes);
  tkg_exchange *e = calloc(1, sizeof *e + (size_t)most * (sizeof *e->messages + sizeof *e->done));
  if (!e) return tkg__fail(TKG_E_MEMORY, "no memory for %d messages between ranks", most);
  e->c = c;
  e->done = (bool *)(e->messages + most);
  for (int i = 0; i < n && !status; i++) status = begin_all(e, &parts[i], false);
  for (int i = 0; i < n && !status; i++) {
    status = begin_all(e, &parts[i], true);
    c->bytes[kind] += parts[i].send_bytes;
  }
  if (status)
    free(e); /* the ranks end: what has begun stays with the transport */
  else
    *out = e;
  return status;
}

int tkg__exchange_push(tkg_exchange *e) {
  for (int i = 0; e && i < e->n; i++) {
    if (e->done[i]) continue;
    int status = e->c->transport->test(&e->messages[i], &e->done[i]);
    if (status) return status;
    e->left -= e->done[i];
  }
  return TKG_OK;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Large messages need the processors of both sides until they are through. */
static void rest(int64_t looks, double began) {
  if (looks < SPINS) return;
  if (now() - began < YIELD_SECONDS)
    sched_yield();
  else
    nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

int tkg__exchange_end(tkg_exchange *e) {
  if (!e) return TKG_OK;
  int status = tkg__exchange_push(e);
  const double began = e->left > 0 ? now() : 0;
  for (int64_t looks = 0; e->left > 0 && !status; looks++) {
    rest(looks, began);
    status = tkg__exchange_push(e);
    if (!status && e->left > 0 && looks % LOOKS == LOOKS - 1) {
      tkg_interrupted(0); /* whoever sent SIGTERM is answered: the flag is looked at later */
      status = tkg__hear(e->c, 0);
    }
  }
  free(e);
  return status;
}

int tkg__exchange(tkg_collective *c, enum tkg_collective_kind kind, const tkg_part *parts, int n) {
  tkg_exchange *e;
  int status = tkg__exchange_begin(c, kind, parts, n, &e);
  return status ? status : tkg__exchange_end(e);
}
