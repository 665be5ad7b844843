/* How the rows of a group of nodes are cut into chunks, each of which makes a part of its sums over
 * rows. It depends on the number of rows alone, and chunks are whole parts of tkg__row_parts, or
 * pieces of them, so that ranks, which have such parts, have whole chunks. */
#ifndef TKG_CHUNKS_H
#define TKG_CHUNKS_H

#include "base/backend.h"
#include "program.h"

/* Chunks to a part of tkg__row_parts, in a group of so many rows: about TKG_MOST_PARTS chunks while
 * they have part_rows, most_parts of them where rows are many. 0: there are no such parts. */
int tkg__finer_of(const tkg_tile_rules *rules, const tkg_row_range *range);

/* The number of chunks. */
int tkg__chunks_of(const tkg_tile_rules *rules, const tkg_row_range *range, int finer);

/* How many partial sums node i of a plan leaves for a part of tkg__row_parts: 0 for a node that
 * runs alone, which leaves one. */
int tkg__finer_parts(const tkg_program *p, int i);

#endif
