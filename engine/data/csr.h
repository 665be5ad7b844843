/* Compressed sparse rows, distinct pairs and distinct triples. Everything takes time linear in the
 * number of pairs and rows, is stable, and does not depend on the number of threads. */
#ifndef TKG_CSR_H
#define TKG_CSR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* Sorts n pairs by row, and by column inside a row. Row r is then sorted_cols[offsets[r] ..
 * offsets[r + 1]); offsets has rows_total + 1 entries, sorted_cols has n, and so has order, which
 * receives the source position of each sorted pair (NULL: not wanted). Equal pairs keep their
 * order. TKG_E_RANGE unless 0 <= rows < rows_total, cols >= 0 and n < 2^31. Input and output must
 * not overlap. */
int tkg_csr_build(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total,
                  int32_t *offsets, int32_t *sorted_cols, int32_t *order);

/* Drops repeated pairs from the output of tkg_csr_build, in place, keeping the first in source
 * order of each. offsets[rows_total] is then the number of distinct pairs. */
int tkg_csr_unique(int64_t rows_total, int32_t *offsets, int32_t *sorted_cols, int32_t *order);

/* Returns 1 if the row, which must be in range, has the column, else 0. */
int tkg_csr_contains(const int32_t *offsets, const int32_t *sorted_cols, int32_t row, int32_t col);

/* Drops repeated triples in place, keeping the first of each and their order. *kept is the number
 * that is left. TKG_E_RANGE if an id is negative or n >= 2^31. */
int tkg_triples_unique(int64_t n, int32_t *heads, int32_t *relations, int32_t *tails,
                       int64_t *kept);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
