/* An engine: backend, seed, threads, bytes by kind, and the memory that all steps share. */
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

enum { TKG_BLOCK = 1 << 20, TKG_LIBRARY_USES = 64 };

/* A matrix that a library keeps (library_memory.h). */
typedef struct tkg_library_use {
  const tkg_tensor *graph;
  int64_t layout, cols; /* the layout with the orientation */
  bool weighted;
  int64_t bytes;
} tkg_library_use;

typedef struct tkg_collective tkg_collective; /* collective/collective.h */

struct tkg_engine {
  int references; /* the caller's, and one per tensor, tape, step and optimizer */
  const tkg_backend *backend;
  tkg_collective *collective; /* the process's ranks, borrowed; NULL: alone */
  int planned_ranks;          /* tkg_engine_plan_ranks; 0: those that there are */
  char note[TKG_NOTE];        /* why "auto" took the CPU, or empty */
  uint64_t seed;
  int threads;
  int cores;    /* threads by default: those of the machine, shared by its ranks */
  int tiles;    /* at a time, at most; 0: one for each thread */
  bool tf32;    /* matrix products may use it, on devices that have it */
  bool fast;    /* and ops the way that takes the least time */
  bool replays; /* tkg_engine_set_replay */
  int64_t live[TKG_KIND_COUNT], peak[TKG_KIND_COUNT], peak_total;
  int rank, ranks;         /* this process's number, and of how many that train together; 0 of 1 */
  int blocks, peak_blocks; /* tensors of TKG_BLOCK bytes or more */
  tkg_library_use library[TKG_LIBRARY_USES];
  int library_uses;
  int64_t library_peak; /* bytes */
  /* Values of the step that runs. Outputs are in tensors of their own when a run ends, so all steps
   * share this memory. */
  char *arena;
  int64_t arena_bytes;
  int64_t arena_kinds[TKG_KIND_COUNT]; /* its bytes by kind, counted in `live` */
  tkg_profile *profile;                /* of all that runs (run/profile.c), or NULL */
  bool plan_only; /* steps are counted, not run; the arena's real size is kept here: */
  int64_t real_bytes, real_kinds[TKG_KIND_COUNT];
};

/* Creates an engine; of devices without a number it takes that of the place of this process among
 * those of the machine. A status. */
int tkg__engine_create(const char *device, int place, tkg_engine **out);

/* Whether a library may compute the node: it runs by itself then. A plan-only engine plans for a
 * device that has the library. */
static inline bool tkg__for_library(const tkg_engine *engine, const tkg_node *n) {
  const bool has = engine->backend->ways || (engine->plan_only && engine->backend->library_bytes);
  return n->op == TKG_OP_AGGREGATE && engine->fast && has;
}

/* Whether kernels leave out rows that nobody reads (passes/neighborhood.c). */
static inline bool tkg__leaves_out_rows(const tkg_engine *engine) {
  return engine->backend->leaves_out_rows;
}

/* Adds a reference, which tkg_engine_release drops, for an object of the engine. */
tkg_engine *tkg__engine_retain(tkg_engine *engine);

/* Adds bytes (negative: freed) to the count of a kind, and raises the peaks. */
void tkg__memory_add(tkg_engine *engine, int kind, int64_t bytes);

/* The same for a tensor that gets memory (times 1) or gives it back (-1). */
void tkg__memory_count(tkg_engine *engine, int kind, int64_t bytes, int times);

/* Grows the arena to at least `bytes`; `kinds` are its bytes by kind at its fullest. Returns
 * TKG_E_MEMORY without an arena if there is no memory. */
int tkg__arena_reserve(tkg_engine *engine, int64_t bytes, const int64_t kinds[TKG_KIND_COUNT]);

#endif
