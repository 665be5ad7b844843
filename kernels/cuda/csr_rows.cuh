/* Rows of sparse tables that users give as CSR. Unlike a packed graph they are checked where they
 * are read. */
#ifndef TKG_CUDA_CSR_ROWS_H
#define TKG_CUDA_CSR_ROWS_H

#include "device_errors.h"
#include "family.h"

/* Entries are in ascending order within a row. */
typedef struct csr_table {
  const int32_t *offsets, *entries;
  int64_t rows, count;
  tkg_error_slot bad_id, bad_row; /* an id that no row has; a row outside of the entries */
} csr_table;

/* Host: the table of an op whose inputs begin with offsets and entries. Claims its two slots. */
static inline csr_table csr_table_of(const tkg_call *c) {
  csr_table t = {tkg_in<int32_t>(c, 0),
                 tkg_in<int32_t>(c, 1),
                 tkg__count(c->in[0]) - 1,
                 tkg__count(c->in[1]),
                 {},
                 {}};
  t.bad_id = tkg__error_slot_ids(c, t.rows);
  t.bad_row = tkg__error_slot_csr_rows(c, t.offsets, t.count);
  return t;
}

/* Finds the entries of the row that is named at `position`. False, and reported, if there is no
 * such row or it lies outside of the table. */
static __device__ __forceinline__ bool
find_csr_row(const csr_table &t, int32_t row, int64_t position, int64_t *first, int64_t *count) {
  if (!tkg_check_id(row, t.rows, position, t.bad_id, true)) return false;
  *first = t.offsets[row];
  *count = (int64_t)t.offsets[row + 1] - *first;
  if (*first >= 0 && *count >= 0 && *first + *count <= t.count) return true;
  tkg_report_error(t.bad_row, position, row);
  return false;
}

#endif
