#include "csr.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Positions grouped by row: those of row r are order[offsets[r] .. offsets[r + 1]), ascending. The
 * row of position i is rows[i] >> shift. Each thread has a range of rows, so that it groups and
 * sorts without the others. */
struct groups {
  int64_t n, total;
  const int32_t *rows;
  int shift;
  int32_t *offsets, *order; /* total + 1; n */
};

static int no_memory(int64_t n, const char *what) {
  return tkg__fail(TKG_E_MEMORY, "out of memory to sort %lld %s", (long long)n, what);
}

/* ---- sorting positions by key --------------------------------------------------------------- */

/* Memory to sort the positions of a row. */
struct scratch {
  uint64_t *block, *keys, *spare; /* keys and spare are the halves of the block */
  int64_t room;
};

static int reserve(struct scratch *s, int64_t n) {
  if (n <= s->room) return 1;
  free(s->block);
  s->room = 2 * s->room > n ? 2 * s->room : n;
  s->keys = s->block = malloc(2 * (size_t)s->room * sizeof *s->block);
  s->spare = s->block ? s->block + s->room : NULL;
  return s->block != NULL;
}

/* Sorts a few keys. */
static void insertion_sort(uint64_t *key, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    uint64_t moved = key[i];
    int64_t at = i;
    for (; at > 0 && key[at - 1] > moved; at--) key[at] = key[at - 1];
    key[at] = moved;
  }
}

/* Sorts keys whose low halves ascend by the `bytes` lowest bytes of their high halves. */
static void radix_sort(struct scratch *s, int64_t n, int bytes) {
  for (int shift = 32; shift < 32 + 8 * bytes; shift += 8) {
    int64_t start[256] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++) start[(s->keys[i] >> shift) & 255]++;
    for (int b = 0; b < 256; b++) {
      int64_t count = start[b];
      start[b] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) s->spare[start[(s->keys[i] >> shift) & 255]++] = s->keys[i];
    uint64_t *swap = s->keys;
    s->keys = s->spare;
    s->spare = swap;
  }
}

/* Sorts ascending positions by id, stably. Returns 0 if there is no memory. */
static int sort_positions(struct scratch *s, int32_t *position, int64_t n, const int32_t *ids) {
  enum { FEW = 40 };
  uint64_t largest = 0;
  int sorted = 1;
  if (!reserve(s, n)) return 0;
  for (int64_t i = 0; i < n; i++) {
    s->keys[i] = (uint64_t)ids[position[i]] << 32 | (uint32_t)position[i];
    largest |= s->keys[i];
    if (i > 0 && s->keys[i] < s->keys[i - 1]) sorted = 0;
  }
  if (sorted) return 1;
  int bytes = 0;
  while (bytes < 4 && largest >> (32 + 8 * bytes)) bytes++;
  if (n <= FEW)
    insertion_sort(s->keys, n);
  else
    radix_sort(s, n, bytes);
  for (int64_t i = 0; i < n; i++) position[i] = (int32_t)(uint32_t)s->keys[i];
  return 1;
}

/* ---- grouping ------------------------------------------------------------------------------- */

/* Returns the first row with at least `pairs` before it. */
static int64_t row_after(const struct groups *g, int64_t pairs) {
  int64_t low = 0, high = g->total;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (g->offsets[middle] < pairs)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Writes the positions of the rows first .. last - 1; `next` begins as their offsets. */
static void group_range(const struct groups *g, int64_t first, int64_t last, int32_t *next) {
  const uint64_t count = (uint64_t)(last - first);
  memcpy(next + first, g->offsets + first, count * sizeof *next);
  for (int64_t i = 0; i < g->n; i++) {
    const int64_t row = g->rows[i] >> g->shift;
    if ((uint64_t)(row - first) < count) g->order[next[row]++] = (int32_t)i;
  }
}

/* Groups positions, and calls finish for each range of rows, which returns 0 if there is no memory.
 * So does this. */
static int group(const struct groups *g, int (*finish)(void *, int64_t first, int64_t last),
                 void *context) {
  enum { LEAST = 1 << 16, MOST = 8 }; /* pairs for a thread; threads, as each reads all rows */
  int32_t *next = malloc(((size_t)g->total + 1) * sizeof *next);
  if (!next) return 0;
  memset(g->offsets, 0, ((size_t)g->total + 1) * sizeof *g->offsets);
  for (int64_t i = 0; i < g->n; i++) g->offsets[(g->rows[i] >> g->shift) + 1]++;
  for (int64_t r = 0; r < g->total; r++) g->offsets[r + 1] += g->offsets[r];
  int threads = omp_get_max_threads() < MOST ? omp_get_max_threads() : MOST, good = 1;
  if (g->n / LEAST < threads) threads = (int)(g->n / LEAST) + 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(min : good)
  for (int k = 0; k < threads; k++) {
    int64_t first = k ? row_after(g, g->n * k / threads) : 0;
    int64_t last = k + 1 < threads ? row_after(g, g->n * (k + 1) / threads) : g->total;
    group_range(g, first, last, next);
    if (!finish(context, first, last)) good = 0;
  }
  free(next);
  return good;
}

/* ---- rows ----------------------------------------------------------------------------------- */

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

static int check_pairs(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total) {
  int64_t bad = 0;
  if (n < 0 || n > INT32_MAX || rows_total < 0 || rows_total > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "csr: %lld pairs over %lld rows: at most 2^31 - 1 of each",
                     (long long)n, (long long)rows_total);
  for (int64_t i = 0; i < n; i++)
    if (rows[i] < 0 || rows[i] >= rows_total)
      return tkg__fail(TKG_E_RANGE, "csr: row %d at position %lld is not in 0 .. %lld", rows[i],
                       (long long)i, (long long)rows_total - 1);
  if (largest(n, cols, &bad) >= 0) return TKG_OK;
  return tkg__fail(TKG_E_RANGE, "csr: column %d at position %lld is negative", cols[bad],
                   (long long)bad);
}

struct csr {
  struct groups groups;
  const int32_t *cols;
  int32_t *sorted_cols;
};

/* Sorts the rows first .. last - 1 by column. */
static int sort_rows(void *context, int64_t first, int64_t last) {
  const struct csr *c = context;
  const int32_t *offsets = c->groups.offsets;
  int32_t *order = c->groups.order;
  struct scratch scratch = {0};
  int good = 1;
  for (int64_t r = first; r < last && good; r++) {
    int32_t at = offsets[r];
    if (offsets[r + 1] > at)
      good = sort_positions(&scratch, order + at, offsets[r + 1] - at, c->cols);
  }
  for (int32_t i = offsets[first]; good && i < offsets[last]; i++)
    c->sorted_cols[i] = c->cols[order[i]];
  free(scratch.block);
  return good;
}

int tkg_csr_build(int64_t n, const int32_t *rows, const int32_t *cols, int64_t rows_total,
                  int32_t *offsets, int32_t *sorted_cols, int32_t *order) {
  TKG__NEEDS(offsets && ((rows && cols && sorted_cols) || n <= 0), TKG_E_ARGUMENT);
  int status = check_pairs(n, rows, cols, rows_total);
  if (status) return status;
  int32_t *own = order ? NULL : malloc(((size_t)n + 1) * sizeof *own);
  struct csr c = {.groups = {.n = n, .total = rows_total, .rows = rows}, .cols = cols};
  c.groups.offsets = offsets;
  c.groups.order = order;
  c.sorted_cols = sorted_cols;
  if (!order) c.groups.order = own;
  int good = c.groups.order && group(&c.groups, sort_rows, &c);
  free(own);
  return good ? TKG_OK : no_memory(n, "pairs");
}

int tkg_csr_unique(int64_t rows_total, int32_t *offsets, int32_t *sorted_cols, int32_t *order) {
  TKG__NEEDS(offsets && (sorted_cols || rows_total <= 0 || offsets[rows_total] == 0),
             TKG_E_ARGUMENT);
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
  TKG__NEEDS(offsets && (sorted_cols || offsets[row] == offsets[row + 1]), 0);
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

/* ---- triples -------------------------------------------------------------------------------- */

struct triples {
  struct groups groups;
  const int32_t *ids[3]; /* tails, relations, heads */
  char *keep;
};

/* Sets keep to 0 for those of n ascending positions, which agree in the columns before k, whose
 * triple comes earlier too. */
static int mark_repeats(const struct triples *t, struct scratch *scratch, int32_t *position,
                        int64_t n, int k) {
  if (k == 3) {
    for (int64_t i = 1; i < n; i++) t->keep[position[i]] = 0;
    return 1;
  }
  if (!sort_positions(scratch, position, n, t->ids[k])) return 0;
  for (int64_t first = 0, last; first < n; first = last) {
    for (last = first + 1; last < n; last++)
      if (t->ids[k][position[last]] != t->ids[k][position[first]]) break;
    if (last - first > 1 && !mark_repeats(t, scratch, position + first, last - first, k + 1))
      return 0;
  }
  return 1;
}

static int mark_rows(void *context, int64_t first, int64_t last) {
  const struct triples *t = context;
  const int32_t *offsets = t->groups.offsets;
  struct scratch scratch = {0};
  int good = 1;
  for (int64_t r = first; r < last && good; r++)
    if (offsets[r + 1] - offsets[r] > 1)
      good =
          mark_repeats(t, &scratch, t->groups.order + offsets[r], offsets[r + 1] - offsets[r], 0);
  free(scratch.block);
  return good;
}

/* Sets keep[i] to whether no triple equal to the i-th comes earlier; 0 if there is no memory. */
static int mark_first(int64_t n, const int32_t *heads, const int32_t *relations,
                      const int32_t *tails, int32_t top_head, char *keep) {
  int shift = 0;
  while ((top_head >> shift) > 2 * n + 64) shift++; /* no more groups than triples */
  const int64_t total = (top_head >> shift) + INT64_C(1);
  int32_t *offsets = malloc(((size_t)total + 1) * sizeof *offsets);
  int32_t *order = malloc(((size_t)n + 1) * sizeof *order);
  struct triples t = {{n, total, heads, shift, offsets, order}, {tails, relations, heads}, keep};
  memset(keep, 1, (size_t)n);
  int good = offsets && order && group(&t.groups, mark_rows, &t);
  free(offsets);
  free(order);
  return good;
}

int tkg_triples_unique(int64_t n, int32_t *heads, int32_t *relations, int32_t *tails,
                       int64_t *kept) {
  TKG__NEEDS(kept && ((heads && relations && tails) || n <= 0), TKG_E_ARGUMENT);
  int32_t *const ids[3] = {heads, relations, tails};
  int32_t top[3];
  int64_t bad = 0;
  if (n < 0 || n > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "%lld triples: at most 2^31 - 1", (long long)n);
  *kept = 0;
  if (n == 0) return TKG_OK;
  for (int k = 0; k < 3; k++) {
    top[k] = largest(n, ids[k], &bad);
    if (top[k] < 0)
      return tkg__fail(TKG_E_RANGE, "triple %lld has the negative id %d", (long long)bad,
                       ids[k][bad]);
  }
  char *keep = malloc((size_t)n + 1);
  int good = keep && mark_first(n, heads, relations, tails, top[0], keep);
  for (int64_t i = 0; good && i < n; i++) {
    if (!keep[i]) continue;
    for (int k = 0; k < 3; k++) ids[k][*kept] = ids[k][i];
    ++*kept;
  }
  free(keep);
  return good ? TKG_OK : no_memory(n, "triples");
}
