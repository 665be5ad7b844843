/* Messages of several ranks at once, and waiting for them. Waiting gives way to other processes, so
 * that more ranks than cores do not stall, and looks for ranks that have failed. */
#define _GNU_SOURCE // nanosleep, sched_yield; NOLINT(bugprone-reserved-identifier)
#include <sched.h>
#include <stdio.h>
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

/* ---- what belongs together ---- */

/* Tags have the number of an exchange, modulo NUMBERS, and a hash of what it is: of its kind and of
 * the message's bytes. MPI has tags of 15 bits at least. */
enum { NUMBERS = 1 << 6, HASHES = 1 << 9 };

static int tag_of(const tkg_collective *c, enum tkg_collective_kind kind, int64_t bytes) {
  const uint64_t hash = ((uint64_t)bytes * TKG_COLLECTIVE_KINDS + kind) * 0x9E3779B97F4A7C15U;
  return (int)(c->exchanges % NUMBERS) * HASHES + (int)(hash >> 40) % HASHES;
}

/* Notes what failed, so that no later exchange moves on messages whose memory is gone. */
static int note_failed(tkg_collective *c, int status) {
  tkg_line_event *f = &c->failed;
  *f = (tkg_line_event){.kind = TKG_LINE_FAILED, .rank = c->transport->rank, .code = 1};
  snprintf(f->text, sizeof f->text, "%s", tkg_error());
  return status;
}

static int fail_other(tkg_collective *c, int rank) {
  const int status = tkg__fail(
      TKG_E_ARGUMENT,
      "rank %d does something else at this point: all ranks run the same steps, and read or save "
      "together what is dealt to them",
      rank);
  return note_failed(c, status);
}

/* Whether the exchange of a tag has begun here: one rank may be ahead of another. */
static bool has_begun(const tkg_collective *c, int tag) {
  return (uint64_t)(c->exchanges - 1 - tag / HASHES) % NUMBERS < NUMBERS / 2;
}

/* Fails if a rank has sent a message of an exchange that has begun here, and that receives none
 * such: it is another one there. */
static int check_same(tkg_exchange *e) {
  for (int i = 0; i < e->n; i++) {
    const tkg_message *m = &e->messages[i];
    if (e->done[i] || !m->is_received) continue;
    const int tag = e->c->transport->waiting(m->rank);
    if (tag < 0 || !has_begun(e->c, tag)) continue;
    const int status = tkg__exchange_push(e); /* it may have come with the one that is awaited */
    if (status || e->done[i]) return status;
    return fail_other(e->c, m->rank);
  }
  return TKG_OK;
}

/* ---- messages ---- */

/* Begins the messages of one direction of a part. */
static int begin_all(tkg_exchange *e, enum tkg_collective_kind kind, const tkg_part *part,
                     bool sends) {
  const tkg_transport *t = e->c->transport;
  int64_t bytes = sends ? part->send_bytes : part->receive_bytes;
  for (int64_t at = 0; at < bytes; at += t->most) {
    int64_t size = bytes - at < t->most ? bytes - at : t->most;
    tkg_message *m = &e->messages[e->n];
    *m = (tkg_message){.rank = part->rank, .bytes = size, .is_received = !sends};
    m->tag = tag_of(e->c, kind, size);
    int status = sends ? t->send((const char *)part->send + at, m)
                       : t->receive((char *)part->receive + at, m);
    if (status) return status;
    e->n++;
    e->left++;
  }
  return TKG_OK;
}

int tkg__exchange_begin(tkg_collective *c, enum tkg_collective_kind kind, const tkg_part *parts,
                        int n, tkg_exchange **out) {
  int most = 0, status = c->failed.kind ? tkg__hear(c, 0) : TKG_OK;
  *out = NULL;
  if (status) return status;
  for (int i = 0; i < n; i++)
    most +=
        pieces(c->transport, parts[i].send_bytes) + pieces(c->transport, parts[i].receive_bytes);
  tkg_exchange *e = calloc(1, sizeof *e + (size_t)most * (sizeof *e->messages + sizeof *e->done));
  if (!e) return tkg__fail(TKG_E_MEMORY, "no memory for %d messages between ranks", most);
  e->c = c;
  e->done = (bool *)(e->messages + most);
  for (int i = 0; i < n && !status; i++) status = begin_all(e, kind, &parts[i], false);
  for (int i = 0; i < n && !status; i++) {
    status = begin_all(e, kind, &parts[i], true);
    c->bytes[kind] += parts[i].send_bytes;
  }
  c->exchanges++;
  *out = status ? NULL : e;
  if (!status) return TKG_OK;
  free(e); /* the ranks end: what has begun stays with the transport */
  return note_failed(c, status);
}

int tkg__exchange_push(tkg_exchange *e) {
  for (int i = 0; e && i < e->n; i++) {
    if (e->done[i]) continue;
    tkg_message *m = &e->messages[i];
    int status = e->c->transport->test(m, &e->done[i]);
    if (status) return note_failed(e->c, status);
    if (m->is_other) return fail_other(e->c, m->rank);
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
      status = check_same(e);
      if (!status) status = tkg__hear(e->c, 0);
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
