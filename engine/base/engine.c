/* Engines: one device and its memory counters. */
#include "engine.h"

#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "error.h"

uint32_t tkg_abi(void) { return TKG_ABI; }
const char *tkg_version(void) { return TKG_VERSION; }

int tkg_engine_create(const char *device, tkg_engine **out) {
  TKG__NEEDS(device && out, TKG_E_ARGUMENT);
  return tkg__engine_create(device, 0, out);
}

int tkg__engine_create(const char *device, int place, tkg_engine **out) {
  *out = NULL;
  tkg_engine *e = calloc(1, sizeof *e);
  if (!e) return tkg__fail(TKG_E_MEMORY, "no memory for an engine");
  int status = tkg__device_open(device, place, &e->backend, e->note);
  if (status) {
    free(e);
    return status;
  }
  e->references = 1;
  e->threads = e->cores = omp_get_num_procs();
  e->ranks = 1;
  e->replays = true;
  *out = e;
  return TKG_OK;
}

tkg_engine *tkg__engine_retain(tkg_engine *engine) {
  engine->references++;
  return engine;
}

void tkg_engine_release(tkg_engine *engine) {
  if (!engine || --engine->references > 0) return;
  engine->backend->release(engine->arena);
  free(engine);
}

const char *tkg_engine_device(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return engine->backend->name;
}
const char *tkg_engine_note(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return engine->note;
}
int tkg_engine_supports(const tkg_engine *engine, int op) {
  TKG__NEEDS(engine, 0);
  return engine->backend->supports(op);
}

void tkg_engine_set_seed(tkg_engine *engine, uint64_t seed) {
  TKG__NEEDS(engine, );
  engine->seed = seed;
}

int tkg_engine_set_threads(tkg_engine *engine, int threads) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  if (threads < 0 || threads > 1024)
    return tkg__fail(TKG_E_ARGUMENT, "threads: %d is not in 0..1024 (0 = one per core)", threads);
  engine->threads = threads ? threads : engine->cores;
  omp_set_num_threads(engine->threads); /* of what has no engine: reading files, ranking */
  return TKG_OK;
}

int tkg_engine_set_tiles(tkg_engine *engine, int tiles) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  if (tiles < 0) return tkg__fail(TKG_E_ARGUMENT, "tiles: %d at a time, expected 0 or more", tiles);
  engine->tiles = tiles;
  return TKG_OK;
}
int tkg_engine_tiles(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->tiles;
}

int tkg_engine_set_precision(tkg_engine *engine, const char *name) {
  TKG__NEEDS(engine && name, TKG_E_ARGUMENT);
  const bool fast = strcmp(name, "fast") == 0, tf32 = fast || strcmp(name, "tf32") == 0;
  if (!tf32 && strcmp(name, "float32") != 0)
    return tkg__fail(TKG_E_ARGUMENT, "precision '%s' is not one of float32, tf32, fast", name);
  engine->tf32 = tf32;
  engine->fast = fast;
  return TKG_OK;
}

const char *tkg_engine_precision(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return engine->fast ? "fast" : engine->tf32 ? "tf32" : "float32";
}

const char *tkg_engine_ways(const tkg_engine *engine) {
  TKG__NEEDS(engine, "");
  return engine->backend->ways ? engine->backend->ways() : "";
}

int tkg_engine_set_ways(tkg_engine *engine, const char *text) {
  TKG__NEEDS(engine && text, TKG_E_ARGUMENT);
  if (!engine->backend->set_ways) return TKG_OK;
  return tkg__keep_backend_message(engine->backend, engine->backend->set_ways(text));
}

void tkg_engine_set_replay(tkg_engine *engine, int on) {
  TKG__NEEDS(engine, );
  engine->replays = on != 0;
}
int tkg_engine_replay(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->replays;
}

int tkg_engine_threads(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->threads;
}

/* ---- memory ---- */

int tkg_memory_kinds(void) { return TKG_KIND_COUNT; }

const char *tkg_memory_kind(int kind) {
  static const char *const names[TKG_KIND_COUNT] = {
      "parameter",      "gradient",  "optimizer", "kept_exact",
      "kept_quantized", "transient", "graph",     "data"};
  return kind >= 0 && kind < TKG_KIND_COUNT ? names[kind] : NULL;
}

static int64_t total(const tkg_engine *engine) {
  int64_t sum = 0;
  for (int k = 0; k < TKG_KIND_COUNT; k++) sum += engine->live[k];
  return sum;
}

void tkg__memory_add(tkg_engine *engine, int kind, int64_t bytes) {
  engine->live[kind] += bytes;
  if (engine->live[kind] > engine->peak[kind]) engine->peak[kind] = engine->live[kind];
  int64_t sum = total(engine);
  if (sum > engine->peak_total) engine->peak_total = sum;
}

void tkg__memory_count(tkg_engine *engine, int kind, int64_t bytes, int times) {
  tkg__memory_add(engine, kind, times * bytes);
  if (bytes >= TKG_BLOCK) engine->blocks += times;
  if (engine->blocks > engine->peak_blocks) engine->peak_blocks = engine->blocks;
}

/* Counts the arena's bytes by kind; gaps between values count as transient. */
static void count_arena(tkg_engine *engine, int64_t bytes, const int64_t *kinds) {
  int64_t sum = 0;
  engine->arena_bytes = bytes;
  for (int k = 0; k < TKG_KIND_COUNT; k++) {
    tkg__memory_add(engine, k, -engine->arena_kinds[k]);
    engine->arena_kinds[k] = kinds ? kinds[k] : 0;
    sum += engine->arena_kinds[k];
  }
  engine->arena_kinds[TKG_KIND_TRANSIENT] += bytes - sum;
  for (int k = 0; k < TKG_KIND_COUNT; k++) tkg__memory_add(engine, k, engine->arena_kinds[k]);
}

int tkg__arena_reserve(tkg_engine *engine, int64_t bytes, const int64_t kinds[TKG_KIND_COUNT]) {
  if (bytes <= engine->arena_bytes) return TKG_OK;
  tkg_engine_trim(engine);
  if (!engine->plan_only) engine->arena = engine->backend->allocate(bytes);
  if (!engine->plan_only && !engine->arena)
    return tkg__no_memory_or_lost(
        engine->backend,
        tkg__fail(TKG_E_MEMORY, "no memory for a step: it takes %" PRId64 " bytes", bytes));
  count_arena(engine, bytes, kinds);
  return TKG_OK;
}

void tkg_engine_trim(tkg_engine *engine) {
  TKG__NEEDS(engine, );
  if (!engine->plan_only) {
    engine->backend->release(engine->arena);
    engine->arena = NULL;
  }
  count_arena(engine, 0, NULL);
}

void tkg_engine_set_plan_only(tkg_engine *engine, int on) {
  TKG__NEEDS(engine, );
  if (!engine->plan_only) {
    engine->real_bytes = engine->arena_bytes;
    memcpy(engine->real_kinds, engine->arena_kinds, sizeof engine->real_kinds);
  }
  engine->plan_only = on != 0;
  count_arena(engine, engine->real_bytes, engine->real_kinds);
}

double tkg_memory_live(const tkg_engine *engine, int kind) {
  TKG__NEEDS(engine, 0);
  return (double)(kind < 0 ? total(engine) : kind < TKG_KIND_COUNT ? engine->live[kind] : 0);
}

double tkg_memory_peak(const tkg_engine *engine, int kind) {
  TKG__NEEDS(engine, 0);
  return (double)(kind < 0 ? engine->peak_total : kind < TKG_KIND_COUNT ? engine->peak[kind] : 0);
}

double tkg_memory_blocks(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return engine->peak_blocks + 1;
}

double tkg_memory_device(const tkg_engine *engine, const char *what) {
  TKG__NEEDS(engine && what, -1);
  static const char *const names[TKG_MEMORY_COUNT] = {"held", "used", "peak", "free", "total"};
  int64_t bytes[TKG_MEMORY_COUNT];
  if (!engine->backend->memory) return -1;
  engine->backend->memory(bytes, false);
  for (int k = 0; k < TKG_MEMORY_COUNT; k++)
    if (strcmp(names[k], what) == 0) return (double)bytes[k];
  return -1;
}

void tkg_memory_reset_peak(tkg_engine *engine) {
  TKG__NEEDS(engine, );
  int64_t bytes[TKG_MEMORY_COUNT];
  if (engine->backend->memory) engine->backend->memory(bytes, true);
  memcpy(engine->peak, engine->live, sizeof engine->peak);
  engine->peak_total = total(engine);
  engine->peak_blocks = engine->blocks;
}
