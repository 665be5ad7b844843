/* Rows and elements by id: GATHER, TAKE, and LOOKUP in a sparse matrix; cuda/gather.cu has the
 * formulas. Elements are 4 bytes of either type and only copied; GATHER also decodes rows of codes
 * and of 16-bit numbers. Rows lie anywhere and are prefetched some rows ahead. */
#include <string.h>

#include "coded_rows.h"
#include "csr_rows.h"
#include "ids.h"
#include "isa.h"
#include "kernel.h"
#include "shared/bf16.h"
#include "shared/search.h"
#include "shared/shapes.h"

/* ---- gather ---- */

static int64_t gather_units(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[1]);
}

static void gather_halves(const uint16_t *x, const int32_t *ids, int64_t begin, int64_t end,
                          int64_t d, float *out) {
  for (int64_t i = begin; i < end; i++) {
    const uint16_t *restrict from = x + ids[i] * d;
    float *restrict to = out + i * d;
    if (i + ROWS_AHEAD < end) prefetch_row((const float *)(x + ids[i + ROWS_AHEAD] * d), d / 2);
    for (int64_t j = 0; j < d; j++) to[j] = tkg__bf16_value(from[j]);
  }
}

static void gather_codes(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t d = tkg__cols(c->in[0]);
  float *out = c->out;
  coded_rows x;
  TKG_ISA_NAME(tkg__coded_open)(&x, c, 0, c->data[1]);
  for (int64_t i = begin; i < end; i++)
    memcpy(out + i * d, coded_at(&x, i, end), (size_t)d * sizeof *out);
}

/* Widths known to the compiler: of embeddings, and of tables of neighbours. */
#define ROWS_KNOWN(X) X(1) X(4) X(8) X(16) X(32) X(64)

TKG_INLINE void gather_rows(const float *x, const int32_t *ids, int64_t begin, int64_t end,
                            int64_t d, float *out) {
  for (int64_t i = begin; i < end; i++) {
    if (d > 1 && i + ROWS_AHEAD < end) prefetch_row(x + ids[i + ROWS_AHEAD] * d, d);
    copy_row(out + i * d, x + ids[i] * d, d);
  }
}

static int gather(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t n = c->in[0]->shape[0], d = tkg__run_length(c->in[0], 1);
  const float *x = c->data[0];
  const int32_t *ids = c->data[1];
  float *out = c->out;
  int status = check_ids("gather", ids, begin, end, n);
  if (status) return status;
  if (c->in[0]->dtype == TKG_BF16) {
    gather_halves(c->data[0], ids, begin, end, d, out);
    return TKG_OK;
  }
  if (c->in[0]->dtype == TKG_CODES) {
    gather_codes(c, begin, end);
    return TKG_OK;
  }
#define X(width)                                                                                   \
  case width:                                                                                      \
    gather_rows(x, ids, begin, end, width, out);                                                   \
    break;
  switch (d) {
    ROWS_KNOWN(X)
  default:
    gather_rows(x, ids, begin, end, d, out);
  }
#undef X
  return TKG_OK;
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
    {.op = TKG_OP_TAKE, .run = take},
    {.op = TKG_OP_LOOKUP, .run = lookup, .work = lookup_work},
    {0},
};
