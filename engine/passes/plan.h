/* The state of the plan pass, shared by its parts: order (plan.c), memory (memory_plan.c) and
 * packing (memory_packing.c). */
#ifndef TKG_PLAN_H
#define TKG_PLAN_H

#include "program.h"

typedef struct tkg_block {
  int64_t offset, bytes;
  int live_from, live_to; /* places in the order: of the node that writes it, of its last reader */
  int kind;
  bool dead; /* its last reader has run */
} tkg_block;

typedef struct tkg_planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *time, *last; /* time of a place in the order; of the last reader of a storage */
  int64_t *key;
  tkg_block *arena, *tile; /* collected so far; offsets are found when all are there */
  int arena_count, tile_count;
  int64_t in_use[TKG_KIND_COUNT], fullest;
} tkg_planner;

/* Finds the offset of each block, and the bytes that all take together. TKG_E_MEMORY or TKG_OK. */
int tkg__pack_memory(tkg_block *blocks, int n, int64_t *end);

/* Finds offsets in the arena, and in tiles, for the nodes in p->order; needs `time` and `last`. */
int tkg__lay_out(tkg_planner *z);

#endif
