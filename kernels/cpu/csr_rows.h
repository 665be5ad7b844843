/* Rows of sparse tables that users give as CSR: offsets of each row, and entries in ascending order
 * within a row. Unlike a packed graph they are checked where they are read. */
#ifndef TKG_CPU_CSR_ROWS_H
#define TKG_CPU_CSR_ROWS_H

#include <inttypes.h>
#include <stdint.h>

#include "base/error.h"

/* Where a row lies in a table of `entries`. */
typedef struct span {
  int64_t first, count;
} span;

/* Of a row that the offsets have, or TKG_E_RANGE where it would lie outside the table. */
static inline int find_span(const char *op, const int32_t *offsets, int64_t row, int64_t entries,
                            span *s) {
  *s = (span){offsets[row], (int64_t)offsets[row + 1] - offsets[row]};
  if (s->first >= 0 && s->count >= 0 && s->first + s->count <= entries) return TKG_OK;
  return tkg__fail(TKG_E_RANGE,
                   "%s: row %" PRId64 " is entries %" PRId32 "..%" PRId32 " of a table of %" PRId64,
                   op, row, offsets[row], offsets[row + 1], entries);
}

/* How many of `count` entries are less than `value`: its place, if it is there. */
static inline int64_t place_in_span(const int32_t *entries, int64_t count, int32_t value) {
  int64_t low = 0, high = count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (entries[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

#endif
