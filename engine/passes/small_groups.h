/* Small groups: nodes with small values that one launch runs. */
#ifndef TKG_SMALL_GROUPS_H
#define TKG_SMALL_GROUPS_H

#include "program.h"

/* Adds small groups of nodes that are in no group yet, and moves these behind others. `nodes` and
 * `marks` are memory for as many as the tape has. */
void tkg__group_small(tkg_program *p, int32_t *nodes, bool *marks);

#endif
