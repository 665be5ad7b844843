/* SUM, ARGMAX and DOT over dimensions of a tensor, and BROADCAST, the opposite of a sum.
 *
 * A sum reads its input as [outer, t1, middle, t2, inner] and adds over t1 and t2. Neighbouring
 * dimensions of a kind are merged, so four dimensions always fit. The terms t1 t2 are cut into
 * parts whose number depends on the shapes alone. Each part of each block of outputs is a unit that
 * leaves doubles in scratch, and `combine` adds the parts in order: the same bits for any number of
 * threads. */
#include <math.h>

#include "base/error.h"
#include "flat.h"
#include "isa.h"
#include "lanes.h"
#include "wide.h"

/* --- sum: the plan -----------------------------------------------------------------------------*/

enum {
  SUM_COLUMNS = 256,     /* most columns per unit, where rows have `inner` elements */
  SUM_ROWS = 64,         /* rows added in float before they join the double */
  SUM_PARTS = 64,        /* most parts */
  SUM_PART_BYTES = 32768 /* a part reads about as much, or more */
};

typedef struct sum_plan {
  int64_t outer, t1, middle, t2, inner;
  int64_t parts, blocks; /* of the terms; of the inner columns */
} sum_plan;

/* Collects extents from the last dimension to the first: at even places those that stay, at odd
 * places those that are summed. */
static sum_plan sum_extents(const tkg_node *node, const tkg_node *x) {
  int64_t extent[5] = {1, 1, 1, 1, 1};
  int place = 0;
  for (int d = x->rank - 1; d >= 0; d--) {
    if (x->shape[d] == 1) continue;
    int summed = (int)(node->i[0] >> d) & 1;
    if (place % 2 != summed) place++;
    extent[place] *= x->shape[d];
  }
  return (sum_plan){.inner = extent[0],
                    .t2 = extent[1],
                    .middle = extent[2],
                    .t1 = extent[3],
                    .outer = extent[4]};
}

static sum_plan sum_plan_of(const tkg_node *node, const tkg_node *const *in) {
  sum_plan p = sum_extents(node, in[0]);
  int64_t columns = p.inner < SUM_COLUMNS ? p.inner : SUM_COLUMNS;
  int64_t a_part = SUM_PART_BYTES / 4 / (columns ? columns : 1), terms = p.t1 * p.t2;
  p.blocks = (p.inner + SUM_COLUMNS - 1) / SUM_COLUMNS;
  if (p.blocks < 1) p.blocks = 1;
  p.parts = p.outer * p.middle * p.blocks >= SUM_PARTS ? 1 : (terms + a_part - 1) / a_part;
  if (p.parts < 1) p.parts = 1;
  if (p.parts > SUM_PARTS) p.parts = SUM_PARTS;
  return p;
}

static int64_t sum_units(const tkg_node *node, const tkg_node *const *in) {
  sum_plan p = sum_plan_of(node, in);
  return p.outer * p.middle * p.blocks * p.parts;
}

static int64_t sum_work(const tkg_node *node, const tkg_node *const *in) {
  int64_t read = tkg__count(in[0]), written = tkg__count(node);
  return read > written ? read : written;
}

static int64_t sum_scratch(const tkg_node *node, const tkg_node *const *in) {
  sum_plan p = sum_plan_of(node, in);
  if (p.parts == 1) return 0;
  return p.outer * p.middle * p.inner * p.parts * (int64_t)sizeof(double);
}

/* --- sum: a unit -------------------------------------------------------------------------------*/

/* One part of one output: where its group (o, m) starts, its columns, its terms. */
typedef struct sum_unit {
  const float *x; /* term (0, 0) of the group, first column */
  int64_t column, columns, first, last;
} sum_unit;

/* Adds `rows` rows, `stride` apart, to sum[0..columns). */
static void add_rows(double *restrict sum, const float *restrict x, int64_t rows, int64_t stride,
                     int64_t columns) {
  float part[SUM_COLUMNS];
  for (int64_t r = 0; r < rows; r += SUM_ROWS) {
    int64_t last = rows - r < SUM_ROWS ? rows : r + SUM_ROWS, i = r;
    for (int64_t j = 0; j < columns; j++) part[j] = 0;
    for (; i + 4 <= last; i += 4) {
      const float *a = x + i * stride, *b = a + stride, *c = b + stride, *d = c + stride;
#pragma omp simd
      for (int64_t j = 0; j < columns; j++) part[j] += (a[j] + b[j]) + (c[j] + d[j]);
    }
    for (; i < last; i++) {
#pragma omp simd
      for (int64_t j = 0; j < columns; j++) part[j] += x[i * stride + j];
    }
#pragma omp simd
    for (int64_t j = 0; j < columns; j++) sum[j] += (double)part[j];
  }
}

static void sum_terms(double *sum, const sum_plan *p, const sum_unit *u) {
  const int64_t outer_step = p->middle * p->t2 * p->inner;
  for (int64_t j = 0; j < u->columns; j++) sum[j] = 0;
  for (int64_t t = u->first; t < u->last;) {
    int64_t i1 = t / p->t2, i2 = t - i1 * p->t2, run = p->t2 - i2;
    if (run > u->last - t) run = u->last - t;
    const float *x = u->x + i1 * outer_step + i2 * p->inner;
    if (p->inner == 1)
      sum[0] += lanes_dot_long(x, NULL, run);
    else
      add_rows(sum, x, run, p->inner, u->columns);
    t += run;
  }
}

/* Unit = ((group * blocks) + block) * parts + part. */
static sum_unit sum_unit_of(const sum_plan *p, const float *x, int64_t part, int64_t block,
                            int64_t group) {
  const int64_t terms = p->t1 * p->t2, o = group / p->middle, m = group - o * p->middle;
  const int64_t column = block * SUM_COLUMNS, left = p->inner - column;
  return (sum_unit){
      .x = x + ((o * p->t1 * p->middle + m) * p->t2) * p->inner + column,
      .column = column,
      .columns = left < SUM_COLUMNS ? left : SUM_COLUMNS,
      .first = terms * part / p->parts,
      .last = terms * (part + 1) / p->parts,
  };
}

/* Partial sums lie in scratch as [group, part, inner]. */
static void sum_write(const tkg_call *c, const sum_plan *p, const sum_unit *u, const double *sum,
                      int64_t group, int64_t part) {
  if (p->parts > 1) {
    double *to = (double *)c->scratch + (group * p->parts + part) * p->inner + u->column;
    for (int64_t j = 0; j < u->columns; j++) to[j] = sum[j];
    return;
  }
  float *out = (float *)c->out + group * p->inner + u->column;
  for (int64_t j = 0; j < u->columns; j++) out[j] = (float)sum[j];
}

/* Sums over the last dimension alone: one run per row. */
static int sum_rows(const tkg_call *c, int64_t begin, int64_t end, int64_t cols) {
  const float *x = c->data[0];
  float *out = c->out;
  for (int64_t r = begin; r < end; r++)
    out[r] = cols <= LANES_BLOCK ? lanes_dot(x + r * cols, NULL, cols)
                                 : (float)lanes_dot_long(x + r * cols, NULL, cols);
  return TKG_OK;
}

static int sum_run(const tkg_call *c, int64_t begin, int64_t end) {
  const sum_plan p = sum_plan_of(c->node, c->in);
  double sum[SUM_COLUMNS];
  if (p.inner == 1 && p.t1 == 1 && p.parts == 1) return sum_rows(c, begin, end, p.t2);
  for (int64_t unit = begin; unit < end; unit++) {
    int64_t rest = unit / p.parts, part = unit - rest * p.parts;
    int64_t group = rest / p.blocks, block = rest - group * p.blocks;
    sum_unit u = sum_unit_of(&p, c->data[0], part, block, group);
    sum_terms(sum, &p, &u);
    sum_write(c, &p, &u, sum, group, part);
  }
  return TKG_OK;
}

static void sum_combine(const tkg_call *c) {
  const sum_plan p = sum_plan_of(c->node, c->in);
  if (p.parts == 1) return;
  float *out = c->out;
  for (int64_t group = 0; group < p.outer * p.middle; group++) {
    const double *from = (const double *)c->scratch + group * p.parts * p.inner;
    for (int64_t j = 0; j < p.inner; j++) {
      double sum = 0;
      for (int64_t part = 0; part < p.parts; part++) sum += from[part * p.inner + j];
      out[group * p.inner + j] = (float)sum;
    }
  }
}

/* Columns of some rows, for tiles. */
static int sum_accumulate(const tkg_call *c, int64_t first, int64_t last, float *part,
                          bool begins) {
  const int64_t cols = tkg__cols(c->in[0]);
  double sum[SUM_COLUMNS];
  for (int64_t j = 0; j < cols; j += SUM_COLUMNS) {
    const int64_t n = cols - j < SUM_COLUMNS ? cols - j : SUM_COLUMNS;
    for (int64_t k = 0; k < n; k++) sum[k] = begins ? 0 : (double)part[j + k];
    add_rows(sum, (const float *)c->data[0] + first * cols + j, last - first, cols, n);
    for (int64_t k = 0; k < n; k++) part[j + k] = (float)sum[k];
  }
  return TKG_OK;
}

/* --- broadcast ---------------------------------------------------------------------------------*/

static int broadcast_run(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[0]);
  int64_t first = flat_at(c, begin), last = flat_at(c, end);
  flat_iterator w = flat_start(&v, first);
  while (first < last) {
    int64_t n = flat_run(&v, &w, last - first), step = v.stride[0][0];
    float *out = (float *)c->out + first;
    const float *x = (const float *)c->data[0] + w.offset[0];
    if (step)
      memcpy(out, x, (size_t)n * sizeof *out);
    else
      for (int64_t i = 0; i < n; i++) out[i] = *x;
    flat_advance(&v, &w, n);
    first += n;
  }
  return TKG_OK;
}

/* --- rows of the input, one number each --------------------------------------------------------*/

static int64_t input_rows(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__rows(in[0]);
}

static int64_t input_work(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[0]);
}

/* The first of equal ones. NaN counts as largest. 0 for a row without elements. */
static int32_t argmax(const float *x, int64_t n) {
  int64_t best = 0;
  for (int64_t j = 1; j < n && !isnan(x[best]); j++)
    if (!(x[j] <= x[best])) best = j;
  return (int32_t)best;
}

static int argmax_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]);
  const float *x = c->data[0];
  int32_t *out = c->out;
  for (int64_t r = begin; r < end; r++) out[r] = argmax(x + r * cols, cols);
  return TKG_OK;
}

/* Four rows at a time; lanes_dot_long of each has the same bits. */
TKG_INLINE void dot_four(const float *a, const float *b, int64_t cols, float *out) {
  const float *const left[4] = {a, a + cols, a + 2 * cols, a + 3 * cols};
  const void *const right[4] = {b, b + cols, b + 2 * cols, b + 3 * cols};
  wide_dots_of(left, right, cols, false, out);
}

static int dot_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]);
  const float *a = c->data[0], *b = c->data[1];
  float *out = c->out;
  int64_t r = begin;
  for (; cols == 16 && r + 4 <= end; r += 4) dot_four(a + r * 16, b + r * 16, 16, out + r);
  for (; cols % 16 == 0 && cols > 0 && cols <= LANES_BLOCK && r + 4 <= end; r += 4)
    dot_four(a + r * cols, b + r * cols, cols, out + r);
  for (; r < end; r++) out[r] = (float)lanes_dot_long(a + r * cols, b + r * cols, cols);
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_reduce)[] = {
    {.op = TKG_OP_SUM,
     .run = sum_run,
     .units = sum_units,
     .work = sum_work,
     .scratch = sum_scratch,
     .combine = sum_combine,
     .accumulate = sum_accumulate},
    {.op = TKG_OP_BROADCAST, .run = broadcast_run, .units = flat_units},
    {.op = TKG_OP_ARGMAX, .run = argmax_run, .units = input_rows, .work = input_work},
    {.op = TKG_OP_DOT, .run = dot_run, .units = input_rows, .work = input_work},
    {0},
};
