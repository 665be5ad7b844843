#ifndef TKG_MEMORY_PLAN_H
#define TKG_MEMORY_PLAN_H

#include "plan.h"

/* Finds offsets in the arena, and in tiles, for the nodes in p->order; needs `time` and `last`. */
int tkg__lay_out(tkg_planner *z);

#endif
