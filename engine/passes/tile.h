/* Tiles: nodes that run a block of rows at a time, and what such a block holds. */
#ifndef TKG_TILE_H
#define TKG_TILE_H

#include "program.h"

/* Sorts the nodes of p->order (no updates among them, in order of recording) into groups:
 * p->group_of, p->groups. */
int tkg__tile(tkg_program *p);

/* How a node can run in a group. */
enum tkg_part {
  TKG_PART_NONE,
  TKG_PART_ROWS,   /* row r of it needs row r of its aligned inputs, and others as a whole */
  TKG_PART_REDUCES /* it sums over the rows of its inputs; complete when the group is done */
};
enum tkg_part tkg__part(const tkg_tape *tape, const tkg_node *n);

/* Whether the node makes a list of numbers, or one, from such or from rows: rows of one column.
 * What it costs on a device whose tiles have memory of their own is that it runs by itself. */
bool tkg__is_list(const tkg_tape *tape, const tkg_node *n);

/* Columns of a value in a tile: a list of numbers has one. */
static inline int64_t tkg__tile_cols(const tkg_node *n) { return n->rank < 2 ? 1 : tkg__cols(n); }

/* Whether node i of a plan runs in a small group; whether its group makes parts of its sum. */
bool tkg__in_small_group(const tkg_program *p, int i);
bool tkg__makes_parts(const tkg_program *p, int i);

/* Whether such a node reads its input k row by row. */
bool tkg__aligned(const tkg_tape *tape, const tkg_node *n, int k);

#endif
