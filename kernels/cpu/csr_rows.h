/* Rows of sparse tables that users give as CSR: offsets, and entries in ascending order within a
 * row. Unlike a packed graph they are checked where they are read. */
#ifndef TKG_CPU_CSR_ROWS_H
#define TKG_CPU_CSR_ROWS_H

#include <inttypes.h>
#include <stdint.h>

#include "base/error.h"

typedef struct csr_row {
  int64_t first, count; /* of its entries */
} csr_row;

/* Finds the entries of a row that the offsets have. TKG_E_RANGE where they would lie outside a
 * table of `entries`. */
static inline int find_csr_row(const char *op, const int32_t *offsets, int64_t row, int64_t entries,
                               csr_row *found) {
  *found = (csr_row){offsets[row], (int64_t)offsets[row + 1] - offsets[row]};
  if (found->first >= 0 && found->count >= 0 && found->first + found->count <= entries)
    return TKG_OK;
  return tkg__fail(TKG_E_RANGE,
                   "%s: row %" PRId64 " is entries %" PRId32 "..%" PRId32 " of a table of %" PRId64,
                   op, row, offsets[row], offsets[row + 1], entries);
}

#endif
