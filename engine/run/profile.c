#include "profile.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "passes/traffic.h"

enum { MOST_EVENTS = 1 << 17, WHERE = 48 };

/* What took time: an op, a group of ops that runs in tiles, or a whole run. */
typedef struct event {
  double at, seconds;
  int op;         /* TKG_PROFILE_GROUP, TKG_PROFILE_RUN, or the op's number */
  uint32_t count; /* of a group: its ops; of a run: its number */
  int64_t rows, cols;
  tkg_traffic traffic;
  double moved; /* bytes through memory */
  char where[WHERE];
} event;

struct tkg_profile {
  tkg_engine *engine;
  double began, ended; /* ended 0: it goes on */
  double runs, in_runs, dropped;
  tkg_profile_op ops[TKG_OP_COUNT];
  int events;
  event event[MOST_EVENTS];
};

double tkg__profile_clock(void) { return omp_get_wtime(); }

int tkg_profile_begin(tkg_engine *engine, tkg_profile **out) {
  TKG__NEEDS(engine && out, TKG_E_ARGUMENT);
  if (engine->profile) return tkg__fail(TKG_E_ARGUMENT, "profile: one is going on already");
  tkg_profile *p = *out = calloc(1, sizeof *p);
  if (!p) return tkg__fail(TKG_E_MEMORY, "no memory for a profile");
  p->engine = tkg__engine_retain(engine);
  engine->profile = p;
  p->began = tkg__profile_clock();
  return TKG_OK;
}

void tkg_profile_end(tkg_profile *p) {
  TKG__NEEDS(p, );
  if (p->engine->profile != p) return;
  p->ended = tkg__profile_clock();
  p->engine->profile = NULL;
}

void tkg_profile_release(tkg_profile *p) {
  if (!p) return;
  tkg_profile_end(p);
  tkg_engine_release(p->engine);
  free(p);
}

/* ---- noting ---- */

static void add_event(tkg_profile *p, const event *e, const char *where) {
  if (p->events == MOST_EVENTS) {
    p->dropped++;
    return;
  }
  event *to = &p->event[p->events++];
  *to = *e;
  to->at -= p->began;
  if (!where) return;
  const size_t length = strlen(where), from = length < WHERE ? 0 : length - WHERE + 1;
  memcpy(to->where, where + from, length - from + 1);
}

/* The share of its rows that the op computed, of those that leave out rows (input `where`). */
static double share_of_rows(const tkg_profile *p, const tkg_call *c) {
  enum { WHERE_AT = 2 };
  const tkg_node *n = c->node;
  if (n->inputs <= WHERE_AT || (n->op != TKG_OP_MATMUL && n->op != TKG_OP_AGGREGATE_WHERE))
    return 1;
  const int64_t rows = tkg__count(c->in[WHERE_AT]);
  int32_t *where = malloc((size_t)rows * sizeof *where + 1);
  int64_t kept = 0;
  if (!where) return 1;
  const bool known =
      !p->engine->backend->read(where, c->data[WHERE_AT], tkg__bytes(c->in[WHERE_AT]));
  for (int64_t i = 0; i < rows && known; i++) kept += where[i] >= 0;
  free(where);
  return known && rows > 0 ? (double)kept / (double)rows : 1;
}

/* Notes one op; values that live in a tile do not go through memory. */
static void note(tkg_profile *p, const tkg_call *c, uint32_t in_tile, bool out_in_tile, double at,
                 double seconds) {
  const tkg_node *n = c->node;
  const double share = share_of_rows(p, c);
  event e = {.at = at, .seconds = seconds, .op = n->op};
  e.rows = tkg__rows(n);
  e.cols = tkg__cols(n);
  e.traffic = tkg__traffic(n, c->in);
  e.traffic.flops *= share;
  e.traffic.cached -= (1 - share) * (e.traffic.cached - e.traffic.written);
  e.moved = out_in_tile ? 0 : e.traffic.written;
  for (int k = 0; k < n->inputs; k++)
    if (!(in_tile >> k & 1)) e.moved += share * e.traffic.read[k];
  tkg_profile_op *sum = &p->ops[n->op];
  sum->calls++;
  sum->seconds += seconds;
  sum->bytes += e.moved;
  sum->cached += e.traffic.cached;
  sum->flops += e.traffic.flops;
  add_event(p, &e, c->where);
}

/* Devices that queue work have done it when something is read. */
static void wait_for(const tkg_engine *engine, const tkg_call *c) {
  float word = 0;
  const int64_t bytes = tkg__bytes(c->node);
  if (engine->backend->begin && bytes > 0)
    (void)engine->backend->read(&word, c->out, bytes < 4 ? bytes : 4); /* `finish` tells failures */
}

int tkg__profile_call(tkg_engine *engine, const tkg_call *call) {
  const double began = tkg__profile_clock();
  int status = engine->backend->run(call);
  if (!status) wait_for(engine, call);
  note(engine->profile, call, 0, false, began, tkg__profile_clock() - began);
  return status;
}

/* ---- groups ---- */

/* What share of a group's time each of its ops has: of the times that the backend took, added up
 * over threads; where it took none, of the bytes that pass through the cache. In place. */
static void make_shares(double *seconds, int memories, const tkg_tile_call *calls, int n) {
  double sum = 0;
  for (int m = 1; m < memories; m++)
    for (int i = 0; i < n; i++) seconds[i] += seconds[m * n + i];
  for (int i = 0; i < n; i++) sum += seconds[i];
  for (int i = 0; i < n && sum == 0; i++)
    seconds[i] = tkg__traffic(calls[i].call.node, calls[i].call.in).cached;
  for (int i = 0; i < n && sum == 0; i++) sum += seconds[i];
  for (int i = 0; i < n; i++) seconds[i] /= sum > 0 ? sum : 1;
}

/* Tiles and ops take turns; of the time line each op of a group gets one piece, as long as all that
 * it took. */
static void note_group(tkg_profile *p, const tkg_tile_call *calls, int n, const tkg_tiling *t,
                       double began) {
  const double all = tkg__profile_clock() - began;
  event e = {.at = began, .seconds = all, .op = TKG_PROFILE_GROUP, .count = (uint32_t)n};
  e.rows = t->rows;
  add_event(p, &e, NULL);
  for (int i = 0; i < n; i++) {
    const double seconds = t->seconds ? t->seconds[i] * all : all / n;
    note(p, &calls[i].call, calls[i].in_tile, calls[i].out_in_tile, began, seconds);
    began += seconds;
  }
}

int tkg__profile_tiles(tkg_engine *engine, const tkg_tile_call *calls, int n,
                       const tkg_tiling *tiling) {
  tkg_tiling t = *tiling;
  const size_t lists = t.memories > 0 ? (size_t)t.memories : 1; /* a GPU's tiles lie elsewhere */
  t.seconds = calloc(lists * (size_t)n, sizeof *t.seconds);
  const double began = tkg__profile_clock();
  int status = engine->backend->run_tiles(calls, n, &t);
  for (int i = 0; i < n && !status; i++)
    if (!calls[i].out_in_tile) wait_for(engine, &calls[i].call);
  if (t.seconds) make_shares(t.seconds, t.memories, calls, n);
  note_group(engine->profile, calls, n, &t, began);
  free(t.seconds);
  return status;
}

void tkg__profile_run(tkg_engine *engine, double began, uint32_t number) {
  tkg_profile *p = engine->profile;
  event e = {.at = began, .op = TKG_PROFILE_RUN, .count = number};
  e.seconds = tkg__profile_clock() - began;
  p->runs++;
  p->in_runs += e.seconds;
  add_event(p, &e, NULL);
}

/* ---- asking ---- */

double tkg_profile_figure(const tkg_profile *p, const char *name) {
  TKG__NEEDS(p && name, -1);
  const double now = p->ended > 0 ? p->ended : tkg__profile_clock();
  const struct {
    const char *name;
    double value;
  } figures[] = {{"seconds", now - p->began},
                 {"runs", p->runs},
                 {"in_runs", p->in_runs},
                 {"events", p->events},
                 {"dropped", p->dropped}};
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
    if (strcmp(figures[i].name, name) == 0) return figures[i].value;
  return -1;
}

int tkg_profile_of(const tkg_profile *p, int op, tkg_profile_op *out) {
  TKG__NEEDS(p && out, TKG_E_ARGUMENT);
  if (op < 0 || op >= TKG_OP_COUNT)
    return tkg__fail(TKG_E_RANGE, "op %d of a profile: there is none", op);
  *out = p->ops[op];
  return TKG_OK;
}

int tkg_profile_event_at(const tkg_profile *p, int index, tkg_profile_event *out) {
  TKG__NEEDS(p && out, TKG_E_ARGUMENT);
  if (index < 0 || index >= p->events)
    return tkg__fail(TKG_E_RANGE, "event %d of a profile: it has %d", index, p->events);
  const event *e = &p->event[index];
  *out =
      (tkg_profile_event){e->at,    e->seconds,       e->op,   (double)e->count, e->rows, e->cols,
                          e->moved, e->traffic.flops, e->where};
  return TKG_OK;
}

/* Bytes a second of copying on a device, read and written: the best of a few tries; 0 without
 * memory. */
static double device_copy_rate(const tkg_backend *b) {
  enum { TRIES = 4, TIMES = 4 };
  const int64_t bytes = (int64_t)128 << 20; /* more than a GPU's cache */
  void *from = b->allocate(bytes), *to = from ? b->allocate(bytes) : NULL;
  float word = 0;
  double best = 0;
  if (to) b->zero(from, bytes);
  for (int i = 0; to && i < TRIES; i++) {
    if (b->read(&word, from, sizeof word)) break; /* waits for what is queued */
    const double began = tkg__profile_clock();
    for (int k = 0; k < TIMES; k++) b->copy(to, from, bytes);
    if (b->read(&word, to, sizeof word)) break;
    const double rate = 2.0 * TIMES * (double)bytes / (tkg__profile_clock() - began);
    if (i > 0 && rate > best) best = rate;
  }
  b->release(to);
  b->release(from);
  return best;
}

int tkg_peaks(tkg_engine *engine, double *copy, double *flops) {
  TKG__NEEDS(engine && copy && flops, TKG_E_ARGUMENT);
  *copy = *flops = 0;
  if (engine->backend->peaks)
    engine->backend->peaks(engine->threads, copy, flops);
  else
    *copy = device_copy_rate(engine->backend);
  return TKG_OK;
}
