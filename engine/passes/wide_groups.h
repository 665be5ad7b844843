/* Groups of nodes on rows that are too wide for a tile of them, element by element. */
#ifndef TKG_WIDE_GROUPS_H
#define TKG_WIDE_GROUPS_H

#include "program.h"

/* Sorts the nodes of p->order that are in no group, and can be in a wide one, into groups with
 * wide > 0; of the others some move before such a group, or behind it. Errors: no memory. */
int tkg__group_wide(tkg_program *p);

/* Whether node i of a plan runs in a wide group; whether it also has a value for each element of
 * the group's rows, and so may exist in tiles only. */
bool tkg__in_wide_group(const tkg_program *p, int i);
bool tkg__is_wide_value(const tkg_program *p, int i);

#endif
