/* What the plan pass is at: shared by its two halves, order (plan.c) and memory (arena.c). */
#ifndef TKG_PLAN_H
#define TKG_PLAN_H

#include "program.h"

typedef struct tkg_block {
  int64_t offset, bytes;
  int last; /* time of the last reader */
  int kind;
} tkg_block;

/* Memory being laid out: the arena, or a tile's. Blocks lie in order of their offsets. */
typedef struct tkg_space {
  tkg_block *live;
  int count;
  int64_t end; /* bytes needed so far */
} tkg_space;

typedef struct tkg_planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *time, *last; /* of a place in the order; of a storage's last reader */
  int64_t *key;
  tkg_space arena, tile;
  int64_t in_use[TKG_KIND_COUNT], fullest;
} tkg_planner;

/* Offsets in the arena, and in tiles, for the nodes in p->order; needs times and last readers. */
void tkg__lay_out(tkg_planner *z);

#endif
