/* Row-local ops over the last dimension. Units are rows; results may be written over input 0.
 *
 * Softmax over a node's neighbours has hundreds of thousands of rows of 4 to 16 numbers. Its
 * exponentials are therefore computed for a block of whole rows at a time, in full vectors, while
 * the block is in cache; only the sums go row by row. */
#include <math.h>

#include "base/error.h"
#include "codec.h"
#include "flat.h"
#include "isa.h"
#include "lanes.h"

enum { ROWS_BLOCK = 2048 }; /* elements; a wider row is a block of its own */

/* Rows of the matrix view: a scalar is one row of one. */
static int64_t rows_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__cols(node) > 0 ? tkg__rows(node) : 0;
}

static int64_t rows_a_block(int64_t cols) { return cols < ROWS_BLOCK ? ROWS_BLOCK / cols : 1; }

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
  const int64_t cols = tkg__cols(c->node), block = rows_a_block(cols);
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
static float wide_exp_sum(const float *x, int64_t cols, float exps[ROWS_BLOCK]) {
  double sum = 0;
  for (int64_t j = 0; j < cols; j += ROWS_BLOCK) {
    const int64_t n = cols - j < ROWS_BLOCK ? cols - j : ROWS_BLOCK;
    exp_all(exps, x + j, n);
    sum += (double)lanes_dot(exps, NULL, n);
  }
  return (float)sum;
}

/* x - max - log(sum e^(x - max)); the largest term of the sum is 1. */
static void log_softmax_block(float *out, const float *x, int64_t rows, int64_t cols,
                              float exps[ROWS_BLOCK]) {
  subtract_max(out, x, rows, cols);
  if (cols <= ROWS_BLOCK) exp_all(exps, out, rows * cols);
  for (int64_t r = 0; r < rows; r++, out += cols) {
    const float sum =
        cols <= ROWS_BLOCK ? lanes_dot(exps + r * cols, NULL, cols) : wide_exp_sum(out, cols, exps);
    const float log_sum = v_log(sum);
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] -= log_sum;
  }
}

static int log_softmax_run(const tkg_call *c, int64_t begin, int64_t end) {
  float exps[ROWS_BLOCK];
  const int64_t cols = tkg__cols(c->node), block = rows_a_block(cols);
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

/* --- normalize ---------------------------------------------------------------------------------*/

/* Euclidean length of a row, at least `least`; NaN if the row has one. Squares are summed in float:
 * exact enough for rows, whose lengths lie far from the square root of float's range. */
static float length_of(const float *x, int64_t cols, float least) {
  const float length = sqrtf((float)lanes_dot_long(x, x, cols));
  return length < least ? least : length;
}

static int row_norm_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]);
  float *out = c->out;
  for (int64_t r = begin; r < end; r++)
    out[r] = length_of((const float *)c->data[0] + r * cols, cols, (float)c->node->f[0]);
  return TKG_OK;
}

static int64_t row_norm_work(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[0]);
}

static int normalize_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->node);
  for (int64_t r = begin; r < end; r++) {
    const float *x = (const float *)c->data[0] + r * cols;
    const float scale = 1.0F / ((const float *)c->data[1])[r];
    float *out = (float *)c->out + r * cols;
#pragma omp simd
    for (int64_t j = 0; j < cols; j++) out[j] = x[j] * scale;
  }
  return TKG_OK;
}

/* With n = |x| and y = x / n: (g - y (g . y)) / n. At the floor n is a constant: g / n.
 *
 * y' from codes is y + e, e uniform in a step s and independent by element (dither): of variance
 * s^2 / 12, and E[y' (g . y')] = y (g . y) + s^2 / 12 g. That much is added again. */
static void normalize_grad_row(float *out, const float *g, const float *y, int64_t cols, float n,
                               bool at_floor, float step) {
  const float scale = 1.0F / n;
  const float along = at_floor ? 0.0F : (float)lanes_dot_long(g, y, cols);
  const float own = at_floor ? 1.0F : 1.0F + step * step / 12.0F;
#pragma omp simd
  for (int64_t j = 0; j < cols; j++) out[j] = (own * g[j] - y[j] * along) * scale;
}

/* Rows in codes: y, as the codec gives it back, is in a block of whole rows on the stack, or in
 * scratch where a row is wider than that. */
typedef struct coded {
  tkg_codec codec;
  const uint8_t *packed;
  int64_t cols, rows, block;
  float *wide;
} coded;

static coded coded_of(const tkg_call *c) {
  const tkg_node *codes = c->in[1];
  const int64_t cols = tkg__cols(codes);
  return (coded){.codec = codec_of(c, codes),
                 .packed = c->data[1],
                 .cols = cols,
                 .rows = tkg__rows(codes),
                 .block = rows_a_block(cols),
                 .wide = cols > ROWS_BLOCK ? c->scratch : NULL};
}

/* Rows r..r+rows-1; *step: of row r + k at its place k. */
static const float *decode_rows(const coded *s, int64_t r, int64_t rows, float block[ROWS_BLOCK],
                                float *step) {
  float *y = s->wide ? s->wide + r * s->cols : block;
  const uint8_t *pairs = s->packed + tkg__codec_pair_offset(s->codec.bits, s->rows, s->cols);
  TKG_ISA_NAME(tkg__cpu_codec).decode(&s->codec, s->packed, s->cols, s->rows, r, r + rows, y);
  for (int64_t k = 0; k < rows; k++) {
    uint32_t word;
    memcpy(&word, pairs + 4 * (r + k), sizeof word);
    step[k] = tkg__codec_pair_of(word).step;
  }
  return y;
}

static int normalize_grad_run(const tkg_call *c, int64_t begin, int64_t end) {
  float decoded[ROWS_BLOCK], step[ROWS_BLOCK];
  const bool codes = c->in[1]->dtype == TKG_CODES;
  const coded from = codes ? coded_of(c) : (coded){0};
  const int64_t cols = tkg__cols(c->node), block = rows_a_block(cols);
  const float least = (float)c->node->f[0], *n = c->data[2];
  for (int64_t r = begin; r < end; r += block) {
    const int64_t rows = end - r < block ? end - r : block;
    const float *g = (const float *)c->data[0] + r * cols;
    const float *y =
        codes ? decode_rows(&from, r, rows, decoded, step) : (const float *)c->data[1] + r * cols;
    for (int64_t k = 0; k < rows; k++)
      normalize_grad_row((float *)c->out + (r + k) * cols, g + k * cols, y + k * cols, cols,
                         n[r + k], n[r + k] <= least, codes ? step[k] : 0.0F);
  }
  return TKG_OK;
}

static int64_t normalize_grad_scratch(const tkg_node *node, const tkg_node *const *in) {
  const bool wide = in[1]->dtype == TKG_CODES && tkg__cols(node) > ROWS_BLOCK;
  return wide ? tkg__count(node) * (int64_t)sizeof(float) : 0;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_rows)[] = {
    {.op = TKG_OP_ROW_NORM, .run = row_norm_run, .units = rows_units, .work = row_norm_work},
    {.op = TKG_OP_NORMALIZE, .run = normalize_run, .units = rows_units},
    {.op = TKG_OP_NORMALIZE_GRAD,
     .run = normalize_grad_run,
     .units = rows_units,
     .work = flat_work_4,
     .scratch = normalize_grad_scratch},
    {.op = TKG_OP_SOFTMAX, .run = softmax_run, .units = rows_units, .work = flat_work_4},
    {.op = TKG_OP_SOFTMAX_GRAD, .run = softmax_grad_run, .units = rows_units},
    {.op = TKG_OP_LOG_SOFTMAX, .run = log_softmax_run, .units = rows_units, .work = flat_work_8},
    {.op = TKG_OP_LOG_SOFTMAX_GRAD,
     .run = log_softmax_grad_run,
     .units = rows_units,
     .work = flat_work_4},
    {0},
};
