/* The state of the plan pass, shared by its parts: order (plan.c), memory (memory_plan.c) and
 * packing (memory_packing.c). */
#ifndef TKG_PLAN_H
#define TKG_PLAN_H

#include "memory_packing.h"
#include "program.h"

enum { TKG_SHARES = 32 };

typedef struct tkg_planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *time, *last; /* time of a place in the order; of the last reader of a storage */
  int64_t *key;
  int parts;       /* into which columns of sums in place are cut; 0: there are none */
  bool *without;   /* by node: it is no sum in place */
  uint8_t *beside; /* by node: of TKG_SHARES shares of its rows, those beside what it reads */
  bool trying;     /* whether sums in place are worth it: not what will run */
  tkg_block *arena, *tile; /* collected so far; offsets are found when all are there */
  int arena_count, tile_count;
  int64_t in_use[TKG_KIND_COUNT], fullest;
} tkg_planner;

/* Finds order, lifetimes and offsets. */
int tkg__plan(tkg_program *p);

#endif
