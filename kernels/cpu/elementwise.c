/* Elementwise ops: out[i] = a formula of shared/formulas.h of element i of each input, which may
 * broadcast, and DROPOUT. A unit is a block of 1,024 elements of the output's flat array. Loops are
 * vectorised; elements are independent, so the split over threads does not change a result. */
#include <math.h>

#include "base/error.h"
#include "flat.h"
#include "ids.h"
#include "isa.h"
#include "philox_fill.h"
#include "shared/formulas.h"
#include "shared/philox.h"

/* A kernel was registered for an op that formulas.h does not have. */
static int no_formula(const tkg_call *c) {
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: no formula", tkg__ops[c->node->op].name);
}

/* --- one input ---------------------------------------------------------------------------------*/

TKG_INLINE void unary_loop(int op, float *out, const float *x, int64_t n, float f0, float f1) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = unary(op, x[i], f0, f1);
}

static int unary_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  float *out = (float *)c->out + first, f0 = (float)c->node->f[0], f1 = (float)c->node->f[1];
  const float *x = (const float *)c->data[0] + first;
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    unary_loop(TKG_OP_##name, out, x, n, f0, f1);                                                  \
    break;
  switch (c->node->op) {
    UNARY_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

static int full_run(const tkg_call *c, int64_t begin, int64_t end) {
  float *out = c->out, value = (float)c->node->f[0];
  for (int64_t i = flat_at(c, begin), last = flat_at(c, end); i < last; i++) out[i] = value;
  return TKG_OK;
}

/* --- two inputs that broadcast -----------------------------------------------------------------*/

enum { SHORT_RUN = 16 }; /* columns that many models have */

/* One run along the innermost dimension. Steps are 0 or 1, not both 0. */
TKG_INLINE void binary_loop(int op, float *out, const float *a, int64_t step_a, const float *b,
                            int64_t step_b, int64_t n) {
  if (step_a && step_b) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = binary(op, a[i], b[i]);
  } else if (step_a) {
    const float right = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = binary(op, a[i], right);
  } else {
    const float left = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = binary(op, left, b[i]);
  }
}

/* Whole rows of SHORT_RUN columns: as a constant, since to begin a loop would take longer than it.
 */
TKG_INLINE void binary_rows(int op, float *out, const float *a, const float *b, const tkg_view *v,
                            int64_t rows) {
  const int64_t next_a = v->stride[1][0], next_b = v->stride[1][1];
  const bool each_a = v->stride[0][0], each_b = v->stride[0][1];
  for (int64_t r = 0; r < rows; r++, out += SHORT_RUN, a += next_a, b += next_b)
    binary_loop(op, out, a, each_a, b, each_b, SHORT_RUN);
}

TKG_INLINE void binary_broadcast(int op, const tkg_call *c, int64_t first, int64_t last) {
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[1]);
  flat_iterator w = flat_start(&v, first);
  const float *a = c->data[0], *b = c->data[1];
  float *out = c->out;
  if (v.rank == 2 && v.shape[0] == SHORT_RUN && first % SHORT_RUN == 0) {
    binary_rows(op, out + first, a + w.offset[0], b + w.offset[1], &v, (last - first) / SHORT_RUN);
    return;
  }
  while (first < last) {
    int64_t n = flat_run(&v, &w, last - first);
    binary_loop(op, out + first, a + w.offset[0], v.stride[0][0], b + w.offset[1], v.stride[0][1],
                n);
    flat_advance(&v, &w, n);
    first += n;
  }
}

/* SELECT and REJECT by a saved sign mask, or the signs of codes: bit i % 8 of byte i / 8 is c[i] >
 * 0.
 */
static void masked_choice(const tkg_call *c, int64_t first, int64_t last) {
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[1]);
  const uint8_t *mask = (const uint8_t *)c->data[1] + tkg__signs_at(c->in[1]);
  const float *x = c->data[0];
  float *out = (float *)c->out;
  const unsigned wanted = c->node->op == TKG_OP_SELECT;
  flat_iterator w = flat_start(&v, first);
  while (first < last) {
    const int64_t n = flat_run(&v, &w, last - first);
    const int64_t step_x = v.stride[0][0], step_c = v.stride[0][1];
    for (int64_t i = 0, at = w.offset[1]; i < n; i++, at += step_c) {
      const unsigned bit = mask[at / 8] >> (at % 8) & 1u;
      out[first + i] = bit == wanted ? x[w.offset[0] + i * step_x] : 0.0F;
    }
    flat_advance(&v, &w, n);
    first += n;
  }
}

static int binary_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), last = flat_at(c, end);
  if (c->in[1]->dtype != TKG_F32) {
    masked_choice(c, first, last);
    return TKG_OK;
  }
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    binary_broadcast(TKG_OP_##name, c, first, last);                                               \
    break;
  switch (c->node->op) {
    BINARY_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

/* --- gradients: g and what forward saw ---------------------------------------------------------*/

TKG_INLINE void grad_loop(int op, float *out, const float *g, const float *y, int64_t n, float f0,
                          float f1) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = grad(op, g[i], y[i], f0, f1);
}

/* LEAKY_RELU_GRAD on a saved sign mask: bit i % 8 of byte i / 8 is x[i] > 0. */
static void masked_grad(float *out, const float *g, const uint8_t *mask, int64_t n, float slope) {
  static const uint32_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const uint32_t byte = mask[i / 8];
#pragma omp simd
    for (int j = 0; j < 8; j++) {
      float scaled = slope * g[i + j];
      out[i + j] = byte & bit[j] ? g[i + j] : scaled;
    }
  }
  for (; i < n; i++) out[i] = mask[i / 8] & bit[i % 8] ? g[i] : slope * g[i];
}

static int masked_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  masked_grad((float *)c->out + first, (const float *)c->data[0] + first,
              (const uint8_t *)c->data[1] + tkg__signs_at(c->in[1]) + first / 8, n,
              (float)c->node->f[0]);
  return TKG_OK;
}

static int grad_run(const tkg_call *c, int64_t begin, int64_t end) {
  if (c->in[1]->dtype != TKG_F32) return masked_run(c, begin, end);
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  float *out = (float *)c->out + first, f0 = (float)c->node->f[0], f1 = (float)c->node->f[1];
  const float *g = (const float *)c->data[0] + first, *y = (const float *)c->data[1] + first;
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    grad_loop(TKG_OP_##name, out, g, y, n, f0, f1);                                                \
    break;
  switch (c->node->op) {
    GRAD_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

/* --- dropout -----------------------------------------------------------------------------------*/

/* Numbers of 16 bits, eight per Philox block, the low half of a word first. Numbers of a unit, and
 * what a vector of blocks makes beyond them. */
enum { NUMBERS = FLAT_BLOCK + 8 + 8 * TKG__BLOCKS };

/* What dropping takes beside elements: one is kept, times `scale`, if u = (number + 1/2) / 65,536
 * >= p, which is number >= threshold. */
typedef struct dropping {
  int32_t threshold;
  float scale;
} dropping;

static dropping dropping_of(const tkg_call *c) {
  const double p = c->node->f[0];
  return (dropping){(int32_t)ceil(p * 65536.0 - 0.5), (float)(1.0 / (1.0 - p))};
}

/* n elements, at most FLAT_BLOCK, whose numbers begin at number `at` of the node's stream. */
static void drop(const tkg_call *c, int64_t at, const float *x, int64_t n, const dropping d,
                 float *out) {
  _Alignas(64) uint16_t noise[NUMBERS];
  const int64_t skip = at % 8;
  tkg__philox_fill(c->context->seed, (uint64_t)(at / 8), (skip + n + 7) / 8, c->context->step,
                   (uint32_t)c->node->i[0], noise);
  const uint16_t *number = noise + skip;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float kept = x[i] * d.scale;
    out[i] = number[i] >= d.threshold ? kept : 0.0F;
  }
}

static int dropout_flat(const tkg_call *c, int64_t begin, int64_t end) {
  const dropping d = dropping_of(c);
  for (int64_t unit = begin; unit < end; unit++) {
    const int64_t first = flat_at(c, unit), n = flat_at(c, unit + 1) - first;
    drop(c, flat_before(c) + first, (const float *)c->data[0] + first, n, d,
         (float *)c->out + first);
  }
  return TKG_OK;
}

/* With ids, row k is dropped as row ids[k] of a larger matrix: element (k, j) uses number
 * ids[k] cols + j. Units are rows. */
static int dropout_rows(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->node);
  const dropping d = dropping_of(c);
  const int32_t *ids = c->data[1];
  const float *x = c->data[0];
  float *out = c->out;
  const int status = check_ids("dropout", ids, begin, end, INT32_MAX + INT64_C(1));
  for (int64_t k = begin; k < end && !status; k++)
    for (int64_t j = 0; j < cols; j += FLAT_BLOCK)
      drop(c, ids[k] * cols + j, x + k * cols + j, cols - j < FLAT_BLOCK ? cols - j : FLAT_BLOCK, d,
           out + k * cols + j);
  return status;
}

static int dropout_run(const tkg_call *c, int64_t begin, int64_t end) {
  return c->node->inputs > 1 ? dropout_rows(c, begin, end) : dropout_flat(c, begin, end);
}

static int64_t dropout_units(const tkg_node *node, const tkg_node *const *in) {
  return node->inputs > 1 ? tkg__rows(node) : flat_units(node, in);
}

#define ENTRY(name, cost, kernel)                                                                  \
  {.op = TKG_OP_##name, .run = kernel, .units = flat_units, .work = flat_work_##cost},
#define UNARY(name, cost, formula) ENTRY(name, cost, unary_run)
#define BINARY(name, cost, formula) ENTRY(name, cost, binary_run)
#define GRAD(name, cost, formula) ENTRY(name, cost, grad_run)

/* clang-format off */
const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_elementwise)[] = {
    {.op = TKG_OP_FULL, .run = full_run, .units = flat_units},
    UNARY_OPS(UNARY)
    BINARY_OPS(BINARY)
    GRAD_OPS(GRAD)
    {.op = TKG_OP_DROPOUT, .run = dropout_run, .units = dropout_units, .work = flat_work_4},
    {0},
};
