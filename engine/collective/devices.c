/* The devices of ranks: which rank has which, and whether values go from one to the other without
 * the host (base/link.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/error.h"
#include "state.h"

/* What ranks tell each other of theirs. */
typedef struct entry {
  tkg_machine machine;
  char backend[32]; /* "cuda:0" */
  char library[TKG_LINK_NAME];
  char missing[160]; /* why there is no library */
  tkg_link_device device;
} entry;

static void describe(const tkg_backend *backend, entry *own) {
  memset(own, 0, sizeof *own);
  tkg__machine_describe(&own->machine);
  snprintf(own->backend, sizeof own->backend, "%s", backend->name);
  if (!backend->link) return;
  if (tkg__keep_backend_message(backend, backend->link->describe(own->library, &own->device)))
    snprintf(own->missing, sizeof own->missing, "%s", tkg_error());
}

static bool same_device(const entry *a, const entry *b) {
  return strncmp(a->machine.name, b->machine.name, sizeof a->machine.name) == 0 &&
         strncmp(a->device.bus, b->device.bus, sizeof a->device.bus) == 0;
}

/* Writes why ranks cannot join their devices; "" if they can. */
static void find_reason(const entry *all, int size, char *why, size_t length) {
  why[0] = 0;
  for (int r = 0; r < size && !*why; r++) {
    if (!all[r].library[0])
      snprintf(why, length, "%s on rank %d", all[r].missing[0] ? all[r].missing : "no NCCL", r);
    else if (strcmp(all[r].library, all[0].library) != 0)
      snprintf(why, length, "rank 0 has %s and rank %d %s", all[0].library, r, all[r].library);
    for (int q = 0; q < r && !*why; q++)
      if (same_device(&all[q], &all[r])) snprintf(why, length, "ranks %d and %d share a GPU", q, r);
  }
}

/* ---- joining ---- */

static int check(void *collective) { return tkg__hear(collective, 0); }

/* Joins all devices. A rank that cannot fails, and with it the others. */
static int join(tkg_collective *c, const tkg_backend *backend) {
  char id[TKG_LINK_ID] = "";
  const int rank = c->transport->rank;
  int status = rank == 0 ? backend->link->create_id(id) : TKG_OK;
  if (status) return tkg__keep_backend_message(backend, status);
  status = tkg__broadcast(c, id, sizeof id, 0);
  if (status) return status;
  status = backend->link->join(id, rank, c->transport->size, check, c);
  c->link = backend->link; /* also if it failed: it is left at the end */
  return tkg__link_status(c, backend, status);
}

static void add_note(tkg_collective *c, const char *format, const char *what) {
  snprintf(c->note + c->base_note, sizeof c->note - c->base_note, format, what);
}

/* A line per rank: its machine and its device. */
static int list(tkg_collective *c, const entry *all) {
  const int size = c->transport->size;
  size_t at = 0, most = (size_t)size * 256;
  char *text = realloc(c->devices, most);
  if (!text) return tkg__fail(TKG_E_MEMORY, "no memory to list %d devices", size);
  c->devices = text;
  text[0] = 0;
  for (int r = 0; r < size; r++) {
    const int host = (int)strcspn(all[r].machine.name, " ");
    const char *name = all[r].device.name, *bus = all[r].device.bus;
    const int n =
        snprintf(text + at, most - at, "rank %d  %.*s  %s%s%s%s%s\n", r, host, all[r].machine.name,
                 all[r].backend, *name ? ", " : "", name, *bus ? ", " : "", bus);
    at += n > 0 ? (size_t)n : 0;
    if (at >= most) at = most - 1;
  }
  return TKG_OK;
}

static int look_at(tkg_collective *c, const tkg_backend *backend, entry *all) {
  entry own;
  char why[256] = "";
  const int size = c->transport->size;
  describe(backend, &own);
  int status = tkg__all_gather_equal(c, &own, all, sizeof own);
  if (!status) status = list(c, all);
  if (status) return status;
  find_reason(all, size, why, sizeof why);
  c->note[c->base_note] = 0;
  if (!backend->link) return TKG_OK;
  if (*why) {
    add_note(c, "; values go between GPUs through the host: %s", why);
    return TKG_OK;
  }
  status = join(c, backend);
  if (!status) add_note(c, "; values go between GPUs by %s", own.library);
  return status;
}

int tkg__collective_devices(tkg_collective *c, const tkg_backend *backend) {
  if (!c || c->backend == backend) return TKG_OK;
  entry *all = malloc((size_t)c->transport->size * sizeof *all);
  if (!all) return tkg__fail(TKG_E_MEMORY, "no memory to look at %d ranks", c->transport->size);
  c->backend = backend;
  const int status = look_at(c, backend, all);
  free(all);
  return status;
}

const char *tkg__collective_device_list(const tkg_collective *c) {
  return c && c->devices ? c->devices : "";
}

/* ---- using them ---- */

/* What the rank that is the cause says comes a moment after NCCL's error. */
enum { NEWS_MS = 2000 };

const tkg_link *tkg__collective_link(const tkg_collective *c, const tkg_backend *backend) {
  return c && c->link && c->link == backend->link ? c->link : NULL;
}

int tkg__link_status(tkg_collective *c, const tkg_backend *backend, int status) {
  if (!status) return TKG_OK;
  const int other = tkg__hear(c, status == TKG_E_RANKS ? NEWS_MS : 0);
  return other ? other : tkg__keep_backend_message(backend, status);
}
