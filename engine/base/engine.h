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
  int64_t arena_kinds[TKG_KIND_COUNT]; /* its bytes by kind, in the books above */
  bool dry; /* steps are booked, not run: the arena stays as it was before, which is */
  int64_t real_bytes, real_kinds[TKG_KIND_COUNT];
};

/* For what belongs to an engine, so that it outlives it: adds a reference, which
 * tkg_engine_release drops. */
tkg_engine *tkg__engine_retain(tkg_engine *engine);

/* Counts bytes (negative: given back) and follows the peaks. */
void tkg__memory_add(tkg_engine *engine, int kind, int64_t bytes);

/* Makes the arena at least so large; `kinds` says what fills it at its fullest. */
int tkg__arena_reserve(tkg_engine *engine, int64_t bytes, const int64_t kinds[TKG_KIND_COUNT]);

#endif
