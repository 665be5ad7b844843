/* Rows and elements by id: GATHER and its gradient SCATTER_ADD, TAKE and its gradient TAKE_GRAD,
 * LOOKUP in a sparse matrix. */
#include <string.h>

#include "base/op.h"
#include "csr_rows.h"
#include "ids.h"
#include "isa.h"
#include "kernel.h"
#include "scatter.h"
#include "shared/search.h"
#include "shared/shapes.h"

/* ---- gather ---- */

static int64_t gather_units(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[1]);
}

/* Elements are 4 bytes of either type and only copied. */
static int gather(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t n = c->in[0]->shape[0], d = tkg__run_length(c->in[0], 1);
  const float *x = c->data[0];
  const int32_t *ids = c->data[1];
  float *out = c->out;
  int status = check_ids("gather", ids, begin, end, n);
  if (status) return status;
  if (d == 1) {
    for (int64_t i = begin; i < end; i++) memcpy(out + i, x + ids[i], sizeof *out);
    return TKG_OK;
  }
  for (int64_t i = begin; i < end; i++) {
    if (i + ROWS_AHEAD < end) prefetch_row(x + ids[i + ROWS_AHEAD] * d, d);
    memcpy(out + i * d, x + ids[i] * d, (size_t)d * sizeof *out);
  }
  return TKG_OK;
}

/* ---- scatter_add: g[m,d], ids[m] (+ base[n,d]) -> [n,d] ---- */

static int64_t scatter_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return scatter_count_units(node->shape[0]);
}

static int64_t scatter_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[0]) + tkg__count(node) / 2;
}

static int scatter_add(const tkg_call *c, int64_t begin, int64_t end) {
  scatter s = {.out = c->out,
               .base = c->data[2],
               .g = c->data[0],
               .ids = c->data[1],
               .count = tkg__count(c->in[1]),
               .k = 1,
               .n = c->node->shape[0],
               .d = tkg__run_length(c->node, 1)};
  return scatter_run("scatter_add", &s, begin, end);
}

/* ---- take: x[b,r], ids[b,j] -> x[b, ids[b,j]] ---- */

static int take(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t r = tkg__cols(c->in[0]), j = tkg__cols(c->in[1]);
  const float *x = c->data[0];
  const int32_t *ids = c->data[1];
  float *out = c->out;
  int status = check_ids("take", ids, begin * j, end * j, r);
  if (status) return status;
  for (int64_t b = begin; b < end; b++)
    for (int64_t k = b * j; k < (b + 1) * j; k++) memcpy(out + k, x + b * r + ids[k], sizeof *out);
  return TKG_OK;
}

static int take_grad(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t r = tkg__cols(c->node), j = tkg__cols(c->in[1]);
  const float *g = c->data[0];
  const int32_t *ids = c->data[1];
  float *out = c->out;
  int status = check_ids("take_grad", ids, begin * j, end * j, r);
  if (status) return status;
  for (int64_t b = begin; b < end; b++) {
    for (int64_t k = 0; k < r; k++) out[b * r + k] = 0;
    for (int64_t k = b * j; k < (b + 1) * j; k++) out[b * r + ids[k]] += g[k];
  }
  return TKG_OK;
}

static int64_t take_grad_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(node) + tkg__count(in[1]);
}

/* ---- lookup: the value at (rows[b], ids[b,j]) of a sparse matrix, else f0 ---- */

static int lookup(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t per_row = tkg__cols(c->node), entries = tkg__count(c->in[1]);
  const int32_t *columns = c->data[1], *rows = c->data[2], *ids = c->data[3];
  const float *values = c->data[4];
  float *out = c->out;
  int status = check_ids("lookup", rows, begin, end, tkg__count(c->in[0]) - 1);
  for (int64_t b = begin; !status && b < end; b++) {
    csr_row row;
    status = find_csr_row("lookup", c->data[0], rows[b], entries, &row);
    for (int64_t k = b * per_row; !status && k < (b + 1) * per_row; k++) {
      const int64_t at = tkg__find_sorted(columns + row.first, row.count, ids[k]);
      out[k] = at < 0 ? (float)c->node->f[0] : values[row.first + at];
    }
  }
  return status;
}

static int64_t lookup_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 8 * tkg__count(node);
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_gather)[] = {
    {.op = TKG_OP_GATHER, .run = gather, .units = gather_units},
    {.op = TKG_OP_SCATTER_ADD, .run = scatter_add, .units = scatter_units, .work = scatter_work},
    {.op = TKG_OP_TAKE, .run = take},
    {.op = TKG_OP_TAKE_GRAD, .run = take_grad, .work = take_grad_work},
    {.op = TKG_OP_LOOKUP, .run = lookup, .work = lookup_work},
    {0},
};
