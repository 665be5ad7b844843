#include "csr.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { DIGIT = 11, BUCKETS = 1 << DIGIT };

static int no_memory(int64_t n, const char *what) {
  return tkg__fail(TKG_E_MEMORY, "out of memory to sort %lld %s", (long long)n, what);
}

/* Returns the largest key, or -1 with *bad set to the position of a negative one. */
static int32_t largest(int64_t n, const int32_t *keys, int64_t *bad) {
  int32_t top = 0;
  for (int64_t i = 0; i < n; i++) {
    if (keys[i] < 0) {
      *bad = i;
      return -1;
    }
    if (keys[i] > top) top = keys[i];
  }
  return top;
}

/* Sorts the positions in `order` by key, stably, least significant digit first; `spare` is scratch
 * memory of the same length. */
static void radix_order(int64_t n, const int32_t *keys, int32_t top, int32_t *order,
                        int32_t *spare) {
  int32_t *from = order, *to = spare;
  for (int shift = 0; shift < 31 && (top >> shift) > 0; shift += DIGIT) {
    int32_t start[BUCKETS] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++) start[(keys[i] >> shift) & (BUCKETS - 1)]++;
    for (int b = 0; b < BUCKETS; b++) {
      int32_t count = start[b];
      start[b] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) {
      int32_t position = from[i];
      to[start[(keys[position] >> shift) & (BUCKETS - 1)]++] = position;
    }
    int32_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != order) memcpy(order, from, (size_t)n * sizeof *order);
}

static int check_pairs(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total,
                       int32_t *top) {
  int64_t bad = 0;
  if (n < 0 || n > INT32_MAX || rows_total < 0 || rows_total > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "csr: %lld pairs over %lld rows: at most 2^31 - 1 of each",
                     (long long)n, (long long)rows_total);
  for (int64_t i = 0; i < n; i++)
    if (rows[i] < 0 || rows[i] >= rows_total)
      return tkg__fail(TKG_E_RANGE, "csr: row %d at position %lld is not in 0 .. %lld", rows[i],
                       (long long)i, (long long)rows_total - 1);
  *top = largest(n, cols, &bad);
  if (*top >= 0) return TKG_OK;
  return tkg__fail(TKG_E_RANGE, "csr: column %d at position %lld is negative", cols[bad],
                   (long long)bad);
}

int tkg_csr_build(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total,
                  int32_t *offsets, int32_t *sorted_cols, int32_t *order) {
  int32_t top = 0;
  int status = check_pairs(n, rows, cols, rows_total, &top);
  if (status) return status;
  size_t total = (size_t)rows_total, count = (size_t)n;
  int32_t *by_col = malloc((count + 1) * sizeof *by_col);
  int32_t *spare = malloc((count > total ? count + 1 : total + 1) * sizeof *spare);
  if (!by_col || !spare) {
    free(by_col);
    free(spare);
    return no_memory(n, "pairs");
  }
  for (size_t i = 0; i < count; i++) by_col[i] = (int32_t)i;
  radix_order(n, cols, top, by_col, spare);

  memset(offsets, 0, (total + 1) * sizeof *offsets);
  for (size_t i = 0; i < count; i++) offsets[rows[i] + 1]++;
  for (size_t r = 0; r < total; r++) offsets[r + 1] += offsets[r];
  int32_t *next = spare;
  memcpy(next, offsets, total * sizeof *next);
  for (size_t i = 0; i < count; i++) {
    int32_t source = by_col[i], at = next[rows[source]]++;
    sorted_cols[at] = cols[source];
    if (order) order[at] = source;
  }
  free(by_col);
  free(spare);
  return TKG_OK;
}

int tkg_csr_unique(int64_t rows_total, int32_t *offsets, int32_t *sorted_cols, int32_t *order) {
  int32_t to = 0, from = offsets[0];
  for (int64_t r = 0; r < rows_total; r++) {
    int32_t end = offsets[r + 1], first = to;
    for (; from < end; from++) {
      if (to > first && sorted_cols[to - 1] == sorted_cols[from]) continue;
      sorted_cols[to] = sorted_cols[from];
      if (order) order[to] = order[from];
      to++;
    }
    offsets[r + 1] = to;
  }
  return TKG_OK;
}

int tkg_csr_contains(const int32_t *offsets, const int32_t *sorted_cols, int32_t row, int32_t col) {
  int32_t low = offsets[row], high = offsets[row + 1];
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (sorted_cols[middle] < col)
      low = middle + 1;
    else
      high = middle;
  }
  return low < offsets[row + 1] && sorted_cols[low] == col;
}

/* Sets keep[i] to 0 if a triple equal to the i-th comes earlier. `order` is sorted by triple. */
static void mark_first(int64_t n, const int32_t *const ids[3], const int32_t *order, char *keep) {
  for (int64_t i = 0; i < n; i++) {
    int32_t at = order[i], before = i > 0 ? order[i - 1] : at;
    keep[at] = i == 0 || ids[0][at] != ids[0][before] || ids[1][at] != ids[1][before] ||
               ids[2][at] != ids[2][before];
  }
}

int tkg_triples_unique(int64_t n, int32_t *heads, int32_t *relations, int32_t *tails,
                       int64_t *kept) {
  int32_t *const ids[3] = {heads, relations, tails};
  int32_t top[3];
  int64_t bad = 0;
  if (n < 0 || n > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "%lld triples: at most 2^31 - 1", (long long)n);
  for (int k = 0; k < 3; k++) {
    top[k] = largest(n, ids[k], &bad);
    if (top[k] < 0)
      return tkg__fail(TKG_E_RANGE, "triple %lld has the negative id %d", (long long)bad,
                       ids[k][bad]);
  }
  size_t count = (size_t)n;
  int32_t *order = malloc((count + 1) * sizeof *order),
          *spare = malloc((count + 1) * sizeof *spare);
  char *keep = malloc(count + 1);
  if (order && spare && keep) {
    for (size_t i = 0; i < count; i++) order[i] = (int32_t)i;
    for (int k = 3; k-- > 0;) radix_order(n, ids[k], top[k], order, spare);
    mark_first(n, (const int32_t *const *)ids, order, keep);
    *kept = 0;
    for (size_t i = 0; i < count; i++) {
      if (!keep[i]) continue;
      for (int k = 0; k < 3; k++) ids[k][*kept] = ids[k][i];
      ++*kept;
    }
  }
  int status = order && spare && keep ? TKG_OK : no_memory(n, "triples");
  free(order);
  free(spare);
  free(keep);
  return status;
}
