/* The ranks of an engine: the public functions. */
#include <string.h>

#include "base/error.h"
#include "collective.h"
#include "launcher.h"
#include "transport.h"

enum { TKG_MOST_PLANNED = 65536 };

/* Gives an engine the ranks that this process has joined. */
static int take_ranks(tkg_engine *engine, tkg_collective *c) {
  engine->collective = c;
  int status = tkg__collective_devices(c, engine->backend);
  if (status) return status;
  if (engine->collective) engine->cores = tkg__collective_threads(engine->collective);
  engine->rank = tkg__collective_rank(engine->collective);
  engine->ranks = tkg__collective_size(engine->collective);
  return tkg_engine_set_threads(engine, 0);
}

int tkg_engine_join(tkg_engine *engine, const char *how) {
  TKG__NEEDS(engine && how, TKG_E_ARGUMENT);
  tkg_collective *c;
  int status = tkg__collective_join(how, &c);
  return status ? status : take_ranks(engine, c);
}

int tkg_engine_create_rank(const char *device, const char *how, tkg_engine **out) {
  TKG__NEEDS(device && how && out, TKG_E_ARGUMENT);
  tkg_collective *c;
  *out = NULL;
  int status = tkg__collective_join(how, &c);
  if (!status) status = tkg__engine_create(device, tkg__collective_local_rank(c), out);
  if (!status) status = take_ranks(*out, c);
  if (status) {
    tkg_engine_release(*out);
    *out = NULL;
  }
  return status;
}

const char *tkg_engine_rank_devices(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return tkg__collective_device_list(engine->collective);
}

double tkg_engine_link_bytes(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  const tkg_link *link = engine->backend->link;
  const bool by_host =
      engine->collective && !tkg__collective_link(engine->collective, engine->backend);
  return link && engine->ranks > 1 && !by_host ? (double)link->bytes(engine->ranks) : 0;
}

const char *tkg_engine_link_library(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  static char library[TKG_LINK_NAME];
  const tkg_backend *backend = engine->backend;
  tkg_link_device device;
  library[0] = 0;
  int status = backend->link ? backend->link->describe(library, &device)
                             : tkg__fail(TKG_E_UNSUPPORTED, "%s has no such", backend->name);
  if (backend->link) status = tkg__keep_backend_message(backend, status);
  return status ? "" : library;
}

int tkg_engine_rank(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return tkg__collective_rank(engine->collective);
}
int tkg_engine_ranks(const tkg_engine *engine) {
  TKG__NEEDS(engine, 1);
  return tkg__collective_size(engine->collective);
}
int tkg_engine_local_ranks(const tkg_engine *engine) {
  TKG__NEEDS(engine, 1);
  return tkg__collective_local_size(engine->collective);
}
const char *tkg_engine_ranks_note(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return tkg__collective_note(engine->collective);
}

int tkg_engine_plan_ranks(tkg_engine *engine, int ranks) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  if (ranks < 0 || ranks > TKG_MOST_PLANNED)
    return tkg__fail(TKG_E_ARGUMENT, "ranks: %d planned for, expected 0 to %d", ranks,
                     TKG_MOST_PLANNED);
  if (ranks > 0 && engine->collective)
    return tkg__fail(TKG_E_ARGUMENT, "ranks: this process is one of %d already", engine->ranks);
  engine->planned_ranks = ranks;
  if (!engine->collective) engine->ranks = ranks > 0 ? ranks : 1;
  return TKG_OK;
}

int tkg_engine_planned_ranks(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->planned_ranks;
}

const char *tkg_mpi_library(void) {
  static char name[TKG_TRANSPORT_NAME];
  return tkg__mpi_describe(name) ? "" : name;
}

const char *tkg_launcher_name(void) { return tkg__launcher().name; }
int tkg_launcher_rank(void) { return tkg__launcher().rank; }
int tkg_launcher_ranks(void) { return tkg__launcher().size; }

/* ---- operations ---- */

int tkg_collective_broadcast(tkg_engine *engine, void *data, int64_t bytes, int root) {
  TKG__NEEDS(engine && (data || bytes == 0), TKG_E_ARGUMENT);
  return tkg__broadcast(engine->collective, data, bytes, root);
}

/* Whether there are bytes to or from any rank. */
static bool any_bytes(const tkg_engine *engine, const int64_t *bytes) {
  for (int r = 0; r < tkg_engine_ranks(engine); r++)
    if (bytes[r] > 0) return true;
  return false;
}

int tkg_collective_gather(tkg_engine *engine, const void *mine, void *all, const int64_t *bytes) {
  TKG__NEEDS(engine && bytes, TKG_E_ARGUMENT);
  TKG__NEEDS(mine || bytes[tkg_engine_rank(engine)] <= 0, TKG_E_ARGUMENT);
  TKG__NEEDS(all || !any_bytes(engine, bytes), TKG_E_ARGUMENT);
  return tkg__all_gather(engine->collective, mine, all, bytes);
}

int tkg_collective_all_to_all(tkg_engine *engine, const void *send, const int64_t *send_bytes,
                              void *receive, const int64_t *receive_bytes) {
  TKG__NEEDS(engine && send_bytes && receive_bytes, TKG_E_ARGUMENT);
  TKG__NEEDS(send || !any_bytes(engine, send_bytes), TKG_E_ARGUMENT);
  TKG__NEEDS(receive || !any_bytes(engine, receive_bytes), TKG_E_ARGUMENT);
  return tkg__all_to_all(engine->collective, send, send_bytes, receive, receive_bytes);
}

int tkg_collective_reduce(tkg_engine *engine, const char *how, void *values, int64_t n) {
  TKG__NEEDS(engine && how && (values || n == 0), TKG_E_ARGUMENT);
  static const char *const names[] = {"sum f32", "max f32", "sum f64", "sum i64", "max i64"};
  for (int k = 0; k < (int)(sizeof names / sizeof *names); k++)
    if (strcmp(names[k], how) == 0)
      return tkg__all_reduce(engine->collective, (enum tkg_reduction)k, values, n);
  return tkg__fail(TKG_E_ARGUMENT,
                   "reduce '%s': one of sum f32, max f32, sum f64, sum i64, max i64", how);
}

int tkg_collective_barrier(tkg_engine *engine) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  return tkg__barrier(engine->collective);
}
int tkg_collective_check(tkg_engine *engine) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  return tkg__collective_check(engine->collective);
}
int tkg_collective_leave(tkg_engine *engine, int code, const char *message) {
  TKG__NEEDS(engine && message, TKG_E_ARGUMENT);
  return tkg__collective_leave(engine->collective, code, message);
}

/* ---- counts ---- */

static int kind_of(const char *name) {
  static const char *const names[TKG_COLLECTIVE_KINDS] = {"all_to_all", "all_gather", "all_reduce",
                                                          "broadcast", "barrier"};
  for (int k = 0; k < TKG_COLLECTIVE_KINDS; k++)
    if (strcmp(names[k], name) == 0) return k;
  return -1;
}

double tkg_collective_bytes(const tkg_engine *engine, const char *kind) {
  TKG__NEEDS(engine && kind, -1);
  int k = kind_of(kind);
  return k < 0 ? -1 : (double)tkg__collective_bytes(engine->collective, k);
}
double tkg_collective_calls(const tkg_engine *engine, const char *kind) {
  TKG__NEEDS(engine && kind, -1);
  int k = kind_of(kind);
  return k < 0 ? -1 : (double)tkg__collective_calls(engine->collective, k);
}
void tkg_collective_reset(tkg_engine *engine) {
  TKG__NEEDS(engine, );
  tkg__collective_reset_counts(engine->collective);
}
