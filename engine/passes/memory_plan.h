#ifndef TKG_MEMORY_PLAN_H
#define TKG_MEMORY_PLAN_H

#include "plan.h"

/* Returns the whole value whose memory node i, at place o of the order, may take over when it is
 * written: it is read there for the last time, and has as many bytes. -1 if there is none. */
int tkg__replaced(const tkg_planner *z, int i, int o);

/* Finds offsets in the arena, and in tiles, for the nodes in p->order; needs `time` and `last`. */
int tkg__lay_out(tkg_planner *z);

/* Bytes of scratch memory of node i of a plan: alone, or all parts of its group. */
int64_t tkg__scratch_bytes(const tkg_program *p, int i);

#endif
