/* Binary search in ascending int32, as the entries of a CSR row are and the edge numbers within a
 * row of a packed graph. */
#ifndef TKG_SEARCH_H
#define TKG_SEARCH_H

#include <stdint.h>

/* How many of `count` values are less than `value`. */
static inline int64_t tkg__lower_bound(const int32_t *values, int64_t count, int32_t value) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (values[middle] < value)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The first position of `value`, or -1. */
static inline int64_t tkg__find_sorted(const int32_t *values, int64_t count, int32_t value) {
  const int64_t at = tkg__lower_bound(values, count, value);
  return at < count && values[at] == value ? at : -1;
}

/* The row of the entry at `place`, where row r has the entries offsets[r] .. offsets[r + 1] - 1. */
static inline int64_t tkg__row_of(const int32_t *offsets, int64_t rows, int64_t place) {
  return tkg__lower_bound(offsets + 1, rows, (int32_t)(place + 1));
}

/* The place of the edge with this number among the edges of a row, or -1. `offsets` and `order` are
 * those of a packed graph, whose numbers ascend within a row in both orientations. */
static inline int64_t tkg__edge_place(const int32_t *offsets, const int32_t *order, int64_t row,
                                      int32_t edge) {
  const int64_t first = offsets[row], last = offsets[row + 1];
  if (!order) return edge >= first && edge < last ? edge : -1;
  const int64_t at = tkg__find_sorted(order + first, last - first, edge);
  return at < 0 ? -1 : first + at;
}

#endif
