/* Inside an engine: backend, seed, threads, bytes by kind. */
#ifndef TKG_ENGINE_H
#define TKG_ENGINE_H

#include "device.h"
#include "tinykg.h"

enum tkg_kind {
  TKG_KIND_PARAMETER,
  TKG_KIND_GRADIENT,
  TKG_KIND_OPTIMIZER,
  TKG_KIND_KEPT_EXACT,
  TKG_KIND_KEPT_QUANTIZED,
  TKG_KIND_TRANSIENT,
  TKG_KIND_GRAPH,
  TKG_KIND_DATA,
  TKG_KIND_COUNT
};

struct tkg_engine {
  int references; /* its own, and one of each tensor, tape, step and optimizer */
  const tkg_backend *backend;
  char note[TKG_NOTE]; /* why "auto" took the CPU, or empty */
  uint64_t seed;
  int threads;
  bool tf32;    /* matrix products may use it, on devices that have it */
  bool replays; /* runs are played back, on devices that can */
  int64_t live[TKG_KIND_COUNT], peak[TKG_KIND_COUNT], peak_total;
  /* Step values. Results lie in tensors of their own when a run ends, so all steps share it. */
  char *arena;
  int64_t arena_bytes;
  int64_t arena_kinds[TKG_KIND_COUNT]; /* its bytes by kind, counted in `live` */
  bool plan_only; /* steps are counted, not run: the arena stays as before, with */
  int64_t real_bytes, real_kinds[TKG_KIND_COUNT];
};

/* For what belongs to an engine, so that it outlives it: adds a reference, which
 * tkg_engine_release drops. */
tkg_engine *tkg__engine_retain(tkg_engine *engine);

/* Adds bytes (negative: freed) to the count of a kind and updates the peaks. */
void tkg__memory_add(tkg_engine *engine, int kind, int64_t bytes);

/* Grows the arena to at least `bytes`; `kinds` says what fills it at its peak. */
int tkg__arena_reserve(tkg_engine *engine, int64_t bytes, const int64_t kinds[TKG_KIND_COUNT]);

#endif
