/* What the plan pass is at: shared by its two halves, order (plan.c) and memory (memory_plan.c). */
#ifndef TKG_PLAN_H
#define TKG_PLAN_H

#include "program.h"

typedef struct tkg_block {
  int64_t offset, bytes;
  int first, last; /* positions of its maker and its last reader */
  int kind;
  bool over; /* its last reader has run */
} tkg_block;

typedef struct tkg_planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *time, *last; /* of a place in the order; of a storage's last reader */
  int64_t *key;
  tkg_block *arena, *tile; /* what is laid out so far; offsets come when all is */
  int arena_count, tile_count;
  int64_t in_use[TKG_KIND_COUNT], fullest;
} tkg_planner;

/* Offsets for blocks, and the bytes that they take together (memory_packing.c). */
int tkg__pack_memory(tkg_block *blocks, int n, int64_t *end);

/* Offsets in the arena, and in tiles, for the nodes in p->order; needs times and last readers. */
int tkg__lay_out(tkg_planner *z);

#endif
