/* Softmax over the last dimension, its logarithm, and the gradients of both. Units are rows.
 * Results may be written over input 0.
 *
 * Softmax over a node's neighbours has hundreds of thousands of rows of 4 to 16 numbers. So its
 * exponentials are computed for a block of whole rows at a time, in full vectors, while the block
 * is in cache; only maxima and sums go row by row. Sums have fixed lanes (lanes.h): the same bits
 * on every instruction set. */
#include "base/error.h"
#include "flat.h"
#include "isa.h"
#include "lanes.h"
#include "row_blocks.h"

/* Widths known to the compiler, the usual numbers of neighbours: X(4) and so on. */
#define ROWS_NARROW(X) X(2) X(3) X(4) X(5) X(6) X(8) X(10) X(12) X(16)

/* --- softmax -----------------------------------------------------------------------------------*/

/* A row with +inf, or with -inf only, has no softmax and gives NaN: inf - inf. */
TKG_INLINE void subtract_max(float *out, const float *x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++, out += cols, x += cols) {
    const float most = lanes_max(x, cols);
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] = x[j] - most;
  }
}

static void exp_all(float *out, const float *x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = v_exp(x[i]);
}

TKG_INLINE void divide_by_sum(float *x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; r++, x += cols) {
    const float scale = 1.0F / lanes_dot(x, NULL, cols);
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) x[j] *= scale;
  }
}

TKG_INLINE void softmax_block(float *out, const float *x, int64_t rows, int64_t cols) {
  subtract_max(out, x, rows, cols);
  exp_all(out, out, rows * cols);
  divide_by_sum(out, rows, cols);
}

static int softmax_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->node), block = rows_per_block(cols);
  for (int64_t r = begin; r < end; r += block) {
    const int64_t rows = end - r < block ? end - r : block;
    float *out = (float *)c->out + r * cols;
    const float *x = (const float *)c->data[0] + r * cols;
#define X(width)                                                                                   \
  case width:                                                                                      \
    softmax_block(out, x, rows, width);                                                            \
    break;
    switch (cols) {
      ROWS_NARROW(X)
    default:
      softmax_block(out, x, rows, cols);
    }
#undef X
  }
  return TKG_OK;
}

/* y (g - sum g y) */
TKG_INLINE void softmax_grad_rows(float *out, const float *g, const float *y, int64_t rows,
                                  int64_t cols) {
  for (int64_t r = 0; r < rows; r++, out += cols, g += cols, y += cols) {
    const float dot = lanes_dot(g, y, cols);
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] = y[j] * (g[j] - dot);
  }
}

static int softmax_grad_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->node), rows = end - begin;
  float *out = (float *)c->out + begin * cols;
  const float *g = (const float *)c->data[0] + begin * cols;
  const float *y = (const float *)c->data[1] + begin * cols;
#define X(width)                                                                                   \
  case width:                                                                                      \
    softmax_grad_rows(out, g, y, rows, width);                                                     \
    break;
  switch (cols) {
    ROWS_NARROW(X)
  default:
    softmax_grad_rows(out, g, y, rows, cols);
  }
#undef X
  return TKG_OK;
}

/* --- log softmax -------------------------------------------------------------------------------*/

/* A row wider than a block: the sum of its exponentials, a block at a time. */
static float wide_exp_sum(const float *x, int64_t cols, float exps[ROW_BLOCK]) {
  double sum = 0;
  for (int64_t j = 0; j < cols; j += ROW_BLOCK) {
    const int64_t n = cols - j < ROW_BLOCK ? cols - j : ROW_BLOCK;
    exp_all(exps, x + j, n);
    sum += (double)lanes_dot(exps, NULL, n);
  }
  return (float)sum;
}

/* x - max - log(sum e^(x - max)); the largest term of the sum is 1. */
static void log_softmax_block(float *out, const float *x, int64_t rows, int64_t cols,
                              float exps[ROW_BLOCK]) {
  subtract_max(out, x, rows, cols);
  if (cols <= ROW_BLOCK) exp_all(exps, out, rows * cols);
  for (int64_t r = 0; r < rows; r++, out += cols) {
    const float sum =
        cols <= ROW_BLOCK ? lanes_dot(exps + r * cols, NULL, cols) : wide_exp_sum(out, cols, exps);
    const float log_sum = v_log(sum);
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] -= log_sum;
  }
}

static int log_softmax_run(const tkg_call *c, int64_t begin, int64_t end) {
  float exps[ROW_BLOCK];
  const int64_t cols = tkg__cols(c->node), block = rows_per_block(cols);
  for (int64_t r = begin; r < end; r += block)
    log_softmax_block((float *)c->out + r * cols, (const float *)c->data[0] + r * cols,
                      end - r < block ? end - r : block, cols, exps);
  return TKG_OK;
}

/* g - e^y sum g */
static int log_softmax_grad_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->node);
  for (int64_t r = begin; r < end; r++) {
    const float *g = (const float *)c->data[0] + r * cols,
                *y = (const float *)c->data[1] + r * cols;
    const float sum = (float)lanes_dot_long(g, NULL, cols);
    float *out = (float *)c->out + r * cols;
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] = g[j] - v_exp(y[j]) * sum;
  }
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_softmax)[] = {
    {.op = TKG_OP_SOFTMAX, .run = softmax_run, .units = row_units, .work = flat_work_4},
    {.op = TKG_OP_SOFTMAX_GRAD, .run = softmax_grad_run, .units = row_units},
    {.op = TKG_OP_LOG_SOFTMAX, .run = log_softmax_run, .units = row_units, .work = flat_work_8},
    {.op = TKG_OP_LOG_SOFTMAX_GRAD,
     .run = log_softmax_grad_run,
     .units = row_units,
     .work = flat_work_4},
    {0},
};
