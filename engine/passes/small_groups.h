/* Small groups: nodes with small values that one launch runs. */
#ifndef TKG_SMALL_GROUPS_H
#define TKG_SMALL_GROUPS_H

#include "program.h"

/* Makes groups of small nodes that are in no group yet and follow each other in the order. */
void tkg__group_small(tkg_program *p);

#endif
