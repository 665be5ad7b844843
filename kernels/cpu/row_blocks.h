/* Blocks of whole rows that stay in the first cache, for ops on the rows of a matrix view. */
#ifndef TKG_CPU_ROW_BLOCKS_H
#define TKG_CPU_ROW_BLOCKS_H

#include "kernel.h"

enum { ROW_BLOCK = 2048 }; /* elements; a wider row is a block of its own */

/* Rows of the output, none if they have no elements. A scalar is one row of one. */
static inline int64_t row_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__cols(node) > 0 ? tkg__rows(node) : 0;
}

static inline int64_t rows_per_block(int64_t cols) {
  return cols < ROW_BLOCK ? ROW_BLOCK / (cols ? cols : 1) : 1;
}

#endif
