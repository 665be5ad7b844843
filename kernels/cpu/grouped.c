/* Rows through the matrix of their kind (TransR's projections, RippleNet's relations):
 *
 *   GROUPED_MATMUL  out[i] = x[i] w[ids[i]]
 *   GROUPED_OUTER   out[r] = sum of x[i]^T y[i] over the rows with ids[i] = r
 *
 * Rows of one kind are gathered side by side, so that each kind takes one matrix product. Both ops
 * first sort positions by id; a block of rows (matmul) or a range of kinds (outer) has its own part
 * of scratch. Sorting keeps the order of equal ids, so a sum does not depend on the split over
 * threads. */
#include <string.h>

#include "cpu/dispatch/gemm.h"
#include "ids.h"
#include "indexed_gemm.h"
#include "isa.h"
#include "kernel.h"

/* Rows of GROUPED_MATMUL that are sorted together: as many as leave both sides in the second cache,
 * so that a kind has many of them. */
enum { LEAST_ROWS = 1024, MOST_ROWS = 8192, SORTED_FLOATS = 131072 };

static int64_t rows_together(int64_t d, int64_t k) {
  const int64_t rows = SORTED_FLOATS / (d + k + 1);
  return rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : rows;
}

typedef struct grouped {
  const char *op;
  const float *x, *y; /* y: the matrices, or the other side of an outer product */
  const int32_t *ids;
  int64_t n, kinds, d, k; /* rows; matrices; columns of x; columns of the other side */
  bool transposed;
  int32_t *order, *spare;
  float *left, *right; /* sorted rows of x, and of the product or the other side */
} grouped;

/* Bytes rounded up to whole cache lines. */
static int64_t cache_lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

/* Two lists of positions, two matrices of rows. */
static int64_t scratch_of(int64_t n, int64_t d, int64_t k) {
  return 2 * cache_lines(4 * n) + cache_lines(4 * n * d) + cache_lines(4 * n * k);
}

static grouped grouped_of(const tkg_call *c) {
  const bool outer = c->node->op == TKG_OP_GROUPED_OUTER;
  grouped s = {.op = tkg__ops[c->node->op].name,
               .x = c->data[0],
               .y = c->data[1],
               .ids = c->data[2],
               .n = c->in[0]->shape[0],
               .kinds = outer ? c->node->shape[0] : c->in[1]->shape[0],
               .d = c->in[0]->shape[1],
               .k = outer ? c->in[1]->shape[1] : c->node->shape[1],
               .transposed = !outer && c->node->i[0]};
  char *at = c->scratch;
  s.order = (int32_t *)(void *)at;
  s.spare = (int32_t *)(void *)(at += cache_lines(4 * s.n));
  s.left = (float *)(void *)(at += cache_lines(4 * s.n));
  s.right = (float *)(void *)(at + cache_lines(4 * s.n * s.d));
  return s;
}

/* Sorts positions order[0..n) by their ids: a stable radix sort with digits of 8 bits. */
static void sort_positions(const int32_t *ids, int64_t kinds, int64_t n, int32_t *order,
                           int32_t *spare) {
  for (int shift = 0; shift == 0 || (shift < 32 && (kinds - 1) >> shift); shift += 8) {
    int64_t first[257] = {0};
    for (int64_t i = 0; i < n; i++) first[(ids[order[i]] >> shift & 255) + 1]++;
    for (int b = 0; b < 256; b++) first[b + 1] += first[b];
    for (int64_t i = 0; i < n; i++) spare[first[ids[order[i]] >> shift & 255]++] = order[i];
    memcpy(order, spare, (size_t)n * sizeof *order);
  }
}

/* So many lists of positions side by side: counting a kind that has many waits for the last one. */
enum { FEW_KINDS = 256, STREAMS = 4 };

/* Writes positions begin..begin+n-1, sorted by their ids, which are below FEW_KINDS, to order. */
static void sort_few(const int32_t *ids, int64_t kinds, int64_t begin, int64_t n, int32_t *order) {
  int32_t count[STREAMS][FEW_KINDS] = {{0}}, sum = 0;
  const int64_t part = n / STREAMS;
  const int32_t *of[STREAMS];
  for (int s = 0; s < STREAMS; s++) of[s] = ids + begin + s * part;
  for (int64_t i = 0; i < part; i++)
    for (int s = 0; s < STREAMS; s++) count[s][of[s][i]]++;
  for (int64_t i = STREAMS * part; i < n; i++) count[STREAMS - 1][ids[begin + i]]++;
  for (int64_t kind = 0; kind < kinds; kind++)
    for (int s = 0; s < STREAMS; s++) {
      const int32_t found = count[s][kind];
      count[s][kind] = sum;
      sum += found;
    }
  for (int64_t i = 0; i < part; i++)
    for (int s = 0; s < STREAMS; s++) order[count[s][of[s][i]]++] = (int32_t)(begin + s * part + i);
  for (int64_t i = STREAMS * part; i < n; i++)
    order[count[STREAMS - 1][ids[begin + i]]++] = (int32_t)(begin + i);
}

/* The same, whatever the number of kinds. */
static void sort_range(const int32_t *ids, int64_t kinds, int64_t begin, int64_t n, int32_t *order,
                       int32_t *spare) {
  if (kinds <= FEW_KINDS) {
    sort_few(ids, kinds, begin, n, order);
    return;
  }
  for (int64_t i = 0; i < n; i++) order[i] = (int32_t)(begin + i);
  sort_positions(ids, kinds, n, order, spare);
}

/* Copies rows from[order[i]] to consecutive rows of `to`. */
static void gather_rows(const float *from, const int32_t *order, int64_t n, int64_t d, float *to) {
  for (int64_t i = 0; i < n; i++) {
    if (i + ROWS_AHEAD < n) prefetch_row(from + order[i + ROWS_AHEAD] * d, d);
    copy_row(to + i * d, from + order[i] * d, d);
  }
}

/* The position after the last row of the kind at `i`. */
static int64_t group_end(const grouped *s, const int32_t *order, int64_t i, int64_t n) {
  const int32_t kind = s->ids[order[i]];
  while (i < n && s->ids[order[i]] == kind) i++;
  return i;
}

/* CBLAS counts in 32 bits. */
static int check_sizes(const grouped *s) {
  if (s->n <= INT32_MAX && s->d <= INT32_MAX && s->k <= INT32_MAX) return TKG_OK;
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: a dimension of 2^31 or more", s->op);
}

/* ---- grouped_matmul: units are blocks of rows ---- */

/* right = left w for n sorted rows of one kind. */
static int multiply(const grouped *s, const float *left, int64_t n, int32_t kind, float *right) {
  const float *w = s->y + kind * s->d * s->k;
  const int d = (int)s->d, k = (int)s->k;
  const tkg_gemm g = {(int)n, k, d, false, s->transposed, d, s->transposed ? d : k, false};
  if (d > 0 && k > 0) return tkg__gemm(&g, left, w, right);
  memset(right, 0, (size_t)(n * s->k) * sizeof *right);
  return TKG_OK;
}

/* The same where rows lie; constants are widths that models have. */
static void multiply_in_place(const grouped *s, const int32_t *order, int64_t n, int32_t kind,
                              float *out) {
  float transposed[INDEXED_MOST * INDEXED_MOST];
  const float *w = s->y + kind * s->d * s->k;
  for (int64_t l = 0; s->transposed && l < s->d; l++)
    for (int64_t j = 0; j < s->k; j++) transposed[l * s->k + j] = w[j * s->d + l];
  if (s->transposed) w = transposed;
  if (s->d == 16 && s->k == 16)
    multiply_indexed_rows(s->x, order, n, w, 16, 16, out);
  else
    multiply_indexed_rows(s->x, order, n, w, s->d, s->k, out);
}

static int multiply_block(const grouped *s, int64_t first, int64_t n, float *out) {
  int32_t *order = s->order + first;
  float *left = s->left + first * s->d, *right = s->right + first * s->k;
  sort_range(s->ids, s->kinds, first, n, order, s->spare + first);
  const bool in_place = is_indexed(s->d, s->k);
  for (int64_t i = 0, end; in_place && i < n; i = end) {
    end = group_end(s, order, i, n);
    multiply_in_place(s, order + i, end - i, s->ids[order[i]], out);
  }
  if (in_place) return TKG_OK;
  gather_rows(s->x, order, n, s->d, left);
  for (int64_t i = 0, end; i < n; i = end) {
    end = group_end(s, order, i, n);
    int status = multiply(s, left + i * s->d, end - i, s->ids[order[i]], right + i * s->k);
    if (status) return status;
  }
  for (int64_t i = 0; i < n; i++) copy_row(out + order[i] * s->k, right + i * s->k, s->k);
  return TKG_OK;
}

static int grouped_matmul(const tkg_call *c, int64_t begin, int64_t end) {
  const grouped s = grouped_of(c);
  const int64_t rows = rows_together(s.d, s.k), last = end * rows < s.n ? end * rows : s.n;
  int status = check_sizes(&s);
  if (!status) status = check_ids(s.op, s.ids, begin * rows, last, s.kinds);
  for (int64_t i = begin * rows; i < last && !status; i += rows)
    status = multiply_block(&s, i, last - i < rows ? last - i : rows, c->out);
  return status;
}

static int64_t matmul_units(const tkg_node *node, const tkg_node *const *in) {
  const int64_t rows = rows_together(in[0]->shape[1], node->shape[1]);
  return (in[0]->shape[0] + rows - 1) / rows;
}

static int64_t matmul_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[0]) * (node->shape[1] / 8 + 1);
}

static int64_t matmul_scratch(const tkg_node *node, const tkg_node *const *in) {
  return scratch_of(in[0]->shape[0], in[0]->shape[1], node->shape[1]);
}

/* ---- grouped_outer: units are kinds ---- */

/* Sorts the positions of rows of kinds begin..end-1 and returns their number. *first is the number
 * of rows with a smaller kind, at which their part of scratch begins. */
static int64_t own_positions(const grouped *s, int64_t begin, int64_t end, int64_t *first) {
  int64_t n = 0;
  *first = 0;
  if (begin == 0 && end >= s->kinds) {
    sort_range(s->ids, s->kinds, 0, s->n, s->order, s->spare);
    return s->n;
  }
  for (int64_t i = 0; i < s->n; i++) *first += s->ids[i] < begin;
  int32_t *order = s->order + *first;
  for (int64_t i = 0; i < s->n; i++)
    if (s->ids[i] >= begin && s->ids[i] < end) order[n++] = (int32_t)i;
  if (n > 0) sort_positions(s->ids, s->kinds, n, order, s->spare + *first);
  return n;
}

/* The sums of n sorted positions, of rows where they lie. */
static void sum_in_place(const grouped *s, const int32_t *order, int64_t n, float *out) {
  for (int64_t i = 0, end; i < n; i = end) {
    end = group_end(s, order, i, n);
    float *of_kind = out + s->ids[order[i]] * s->d * s->k;
    if (s->d == 16 && s->k == 16)
      outer_indexed_rows(s->x, s->y, order + i, end - i, 16, 16, of_kind);
    else
      outer_indexed_rows(s->x, s->y, order + i, end - i, s->d, s->k, of_kind);
  }
}

static int grouped_outer(const tkg_call *c, int64_t begin, int64_t end) {
  const grouped s = grouped_of(c);
  float *out = c->out;
  int64_t first;
  int status = check_sizes(&s);
  if (!status) status = check_ids(s.op, s.ids, 0, s.n, s.kinds);
  if (status || end == begin) return status;
  const int64_t n = own_positions(&s, begin, end, &first);
  const int32_t *order = s.order + first;
  float *left = s.left + first * s.d, *right = s.right + first * s.k;
  const int d = (int)s.d, k = (int)s.k;
  memset(out + begin * s.d * s.k, 0, (size_t)((end - begin) * s.d * s.k) * sizeof *out);
  if (n == 0 || d == 0 || k == 0) return TKG_OK;
  if (is_indexed(s.d, s.k)) {
    sum_in_place(&s, order, n, out);
    return TKG_OK;
  }
  gather_rows(s.x, order, n, s.d, left);
  gather_rows(s.y, order, n, s.k, right);
  for (int64_t i = 0, last; i < n && !status; i = last) {
    last = group_end(&s, order, i, n);
    const tkg_gemm g = {d, k, (int)(last - i), true, false, d, k, false};
    status = tkg__gemm(&g, left + i * s.d, right + i * s.k, out + s.ids[order[i]] * s.d * s.k);
  }
  return status;
}

/* One unit even when there are no kinds, so that ids are checked. */
static int64_t outer_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->shape[0] ? node->shape[0] : 1;
}

static int64_t outer_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[0]) * (node->shape[2] / 8 + 1) + tkg__count(node);
}

static int64_t outer_scratch(const tkg_node *node, const tkg_node *const *in) {
  return scratch_of(in[0]->shape[0], node->shape[1], node->shape[2]);
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_grouped)[] = {
    {.op = TKG_OP_GROUPED_MATMUL,
     .run = grouped_matmul,
     .units = matmul_units,
     .work = matmul_work,
     .scratch = matmul_scratch},
    {.op = TKG_OP_GROUPED_OUTER,
     .run = grouped_outer,
     .units = outer_units,
     .work = outer_work,
     .scratch = outer_scratch},
    {0},
};
