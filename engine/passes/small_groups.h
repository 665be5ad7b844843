/* Small groups: nodes with small values that one launch runs. */
#ifndef TKG_SMALL_GROUPS_H
#define TKG_SMALL_GROUPS_H

#include "program.h"

/* Whether the op adds in an order of its own in a small group, so that it must run in one alone as
 * well: results do not depend on what else runs. */
bool tkg__adds_up_small(const tkg_node *n);

/* Makes groups of small nodes that are in no group yet, and moves them behind nodes that read none
 * of them. Returns a status. */
int tkg__group_small(tkg_program *p);

#endif
