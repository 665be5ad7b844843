/* Pairs and triples of arbitrary numbers, also negative and huge ones.
 *
 * Input: the number of rows in a byte, then 32-bit numbers; their low bits or all of them, as the
 * second byte says.
 * Holds: what is refused has an id out of range; what is not refused comes out as a plain search
 * over all pairs says. */
#include <stdlib.h>
#include <string.h>

#include "data/csr.h"
#include "input.h"

enum { MOST = 64 };

struct pairs {
  int64_t n, total;
  int32_t rows[MOST], cols[MOST], third[MOST];
};

static int in_range(const struct pairs *p) {
  for (int64_t i = 0; i < p->n; i++)
    if (p->rows[i] < 0 || p->rows[i] >= p->total || p->cols[i] < 0) return 0;
  return 1;
}

/* How many of the first n pairs equal (row, col). */
static int64_t occurrences(const struct pairs *p, int64_t n, int32_t row, int32_t col) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) found += p->rows[i] == row && p->cols[i] == col;
  return found;
}

static void check_sorted(const struct pairs *p, const int32_t *offsets, const int32_t *cols,
                         const int32_t *order) {
  must(offsets[0] == 0 && offsets[p->total] == p->n, "rows cover all pairs");
  for (int32_t row = 0; row < p->total; row++)
    for (int32_t i = offsets[row]; i < offsets[row + 1]; i++) {
      must(order[i] >= 0 && order[i] < p->n && p->rows[order[i]] == row &&
               p->cols[order[i]] == cols[i],
           "a sorted pair is the one at its source position");
      if (i == offsets[row]) continue;
      must(cols[i - 1] < cols[i] || (cols[i - 1] == cols[i] && order[i - 1] < order[i]),
           "rows are sorted, equal pairs in their order");
    }
}

static void check_pairs(const struct pairs *p) {
  int32_t offsets[258], cols[MOST], order[MOST];
  int status = tkg_csr_build(p->n, p->rows, p->cols, p->total, offsets, cols, order);
  must((status == 0) == in_range(p), "pairs out of range are refused, others are not");
  if (status) return;
  check_sorted(p, offsets, cols, order);
  int64_t distinct = 0;
  for (int64_t i = 0; i < p->n; i++) distinct += !occurrences(p, i, p->rows[i], p->cols[i]);
  must(!tkg_csr_unique(p->total, offsets, cols, order), "dropping repeats");
  must(offsets[p->total] == distinct, "each pair stays once");
  for (int64_t i = 0; i < p->n; i++)
    must(tkg_csr_contains(offsets, cols, p->rows[i], p->cols[i]), "a pair is in its row");
  for (int32_t row = 0; row < p->total; row++)
    must(tkg_csr_contains(offsets, cols, row, 7) == (occurrences(p, p->n, row, 7) > 0),
         "and no other is");
}

static int same_triple(const struct pairs *p, int64_t a, int64_t b) {
  return p->rows[a] == p->rows[b] && p->cols[a] == p->cols[b] && p->third[a] == p->third[b];
}

static void check_triples(const struct pairs *p) {
  struct pairs q = *p;
  int64_t kept = 0, want = 0;
  int bad = 0;
  for (int64_t i = 0; i < p->n; i++) bad |= p->rows[i] < 0 || p->cols[i] < 0 || p->third[i] < 0;
  int status = tkg_triples_unique(q.n, q.rows, q.cols, q.third, &kept);
  must((status != 0) == bad, "negative ids are refused, others are not");
  for (int64_t i = 0; !status && i < p->n; i++) {
    int64_t before = 0;
    while (before < i && !same_triple(p, before, i)) before++;
    if (before < i) continue;
    must(want < kept && q.rows[want] == p->rows[i] && q.cols[want] == p->cols[i] &&
             q.third[want] == p->third[i],
         "first ones stay in their order");
    want++;
  }
  must(status || want == kept, "no other triple stays");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size < 2) return 0;
  struct pairs p = {.n = (int64_t)(size - 2) / 12, .total = bytes[0]};
  int32_t mask = bytes[1] % 2 ? -1 : 7;
  if (p.n > MOST) p.n = MOST;
  for (int64_t i = 0; i < p.n; i++) {
    int32_t triple[3];
    memcpy(triple, bytes + 2 + 12 * i, sizeof triple);
    p.rows[i] = triple[0] & mask;
    p.cols[i] = triple[1] & mask;
    p.third[i] = triple[2] & mask;
  }
  check_pairs(&p);
  check_triples(&p);
  return 0;
}
