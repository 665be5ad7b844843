/* Rows of sparse tables that users give as CSR: unlike a packed graph they are checked where they
 * are read. */
#ifndef TKG_CUDA_CSR_ROWS_H
#define TKG_CUDA_CSR_ROWS_H

#include "device_errors.h"
#include "family.h"

/* Entries are in ascending order within a row. */
typedef struct table {
  const int32_t *offsets, *entries;
  int64_t rows, count;
} table;

/* Where a row lies; false, and noted, if that is not inside the table. */
static __device__ __forceinline__ bool find_csr_row(const table &t, int32_t row, int64_t position,
                                                    tkg_error_slot error, int64_t *first,
                                                    int64_t *count) {
  *first = t.offsets[row];
  *count = (int64_t)t.offsets[row + 1] - *first;
  if (*first >= 0 && *count >= 0 && *first + *count <= t.count) return true;
  tkg_report_error(error, position, row);
  return false;
}

/* How many of `count` entries are less than `value`: its place, if it is there. */
static __device__ __forceinline__ int64_t lower_bound(const int32_t *entries, int64_t count,
                                                      int32_t value) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (entries[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Of an op whose inputs begin with offsets and entries. */
static inline table csr_table_of(const tkg_call *c) {
  return {tkg_in<int32_t>(c, 0), tkg_in<int32_t>(c, 1), tkg__count(c->in[0]) - 1,
          tkg__count(c->in[1])};
}

#endif
