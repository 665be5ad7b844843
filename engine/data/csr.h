/* Pairs to compressed sparse rows, distinct pairs and distinct triples. All of it is linear in the
 * number of pairs (radix passes), stable, and independent of the number of threads. */
#ifndef TKG_CSR_H
#define TKG_CSR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* Sorts n pairs by row, and by column inside a row. offsets has rows_total + 1 entries: row r is
 * sorted_cols[offsets[r] .. offsets[r + 1]). order (or NULL) receives the source position of each
 * sorted pair; equal pairs keep their order. Needs 0 <= rows < rows_total, cols >= 0 and
 * n < 2^31, else TKG_E_RANGE. Input and output may not overlap. */
int tkg_csr_build(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total,
                  int32_t *offsets, int32_t *sorted_cols, int32_t *order);

/* Drops repeated columns inside the rows of what tkg_csr_build gave, in place; of equal pairs the
 * first in source order stays. offsets[rows_total] is then the number of distinct pairs. */
int tkg_csr_unique(int64_t rows_total, int32_t *offsets, int32_t *sorted_cols, int32_t *order);

/* 1 where row has the column, 0 where not. The row must be in range. */
int tkg_csr_contains(const int32_t *offsets, const int32_t *sorted_cols, int32_t row, int32_t col);

/* Drops repeated triples in place, keeping the first of each and their order. *kept is how many
 * are left. TKG_E_RANGE where an id is negative or n >= 2^31. */
int tkg_triples_unique(int64_t n, int32_t *heads, int32_t *relations, int32_t *tails,
                       int64_t *kept);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
