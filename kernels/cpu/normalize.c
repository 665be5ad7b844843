/* Rows divided by their Euclidean lengths: ROW_NORM, NORMALIZE and NORMALIZE_GRAD, which may read
 * the normalised rows from codes. Units are rows. A result may be written over input 0. Codes are
 * decoded for a block of rows at a time, which then is in cache. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "codec.h"
#include "flat.h"
#include "isa.h"
#include "lanes.h"
#include "row_blocks.h"

/* Euclidean length of a row, at least `least`, or of it and one more square, `added`; NaN if the
 * row has one. Squares are summed in float: exact enough for rows, whose lengths lie far from the
 * square root of float's range. */
static float length_of(const float *x, int64_t cols, float least, float added) {
  const float length = sqrtf((float)lanes_dot_long(x, x, cols) + added);
  return length < least ? least : length;
}

static int row_norm_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]);
  const float f0 = (float)c->node->f[0];
  const float least = c->node->i[0] ? 0.0F : f0, added = c->node->i[0] ? f0 : 0.0F;
  float *out = c->out;
  for (int64_t r = begin; r < end; r++)
    out[r] = length_of((const float *)c->data[0] + r * cols, cols, least, added);
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
 * scratch, `whole`, where a row is wider than that. */
typedef struct coded {
  tkg_codec codec;
  const uint8_t *packed;
  int64_t cols, rows, block;
  float *whole;
} coded;

static coded coded_of(const tkg_call *c) {
  const tkg_node *codes = c->in[1];
  const int64_t cols = tkg__cols(codes);
  return (coded){.codec = codec_of(c, codes),
                 .packed = c->data[1],
                 .cols = cols,
                 .rows = tkg__rows(codes),
                 .block = rows_per_block(cols),
                 .whole = cols > ROW_BLOCK ? c->scratch : NULL};
}

/* Rows r..r+rows-1; *step: of row r + k at its place k. */
static const float *decode_rows(const coded *s, int64_t r, int64_t rows, float block[ROW_BLOCK],
                                float *step) {
  float *y = s->whole ? s->whole + r * s->cols : block;
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
  float decoded[ROW_BLOCK], step[ROW_BLOCK];
  const bool codes = c->in[1]->dtype == TKG_CODES;
  const coded from = codes ? coded_of(c) : (coded){0};
  const int64_t cols = tkg__cols(c->node), block = rows_per_block(cols);
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
  const bool whole = in[1]->dtype == TKG_CODES && tkg__cols(node) > ROW_BLOCK;
  return whole ? tkg__count(node) * (int64_t)sizeof(float) : 0;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_normalize)[] = {
    {.op = TKG_OP_ROW_NORM, .run = row_norm_run, .units = row_units, .work = row_norm_work},
    {.op = TKG_OP_NORMALIZE, .run = normalize_run, .units = row_units},
    {.op = TKG_OP_NORMALIZE_GRAD,
     .run = normalize_grad_run,
     .units = row_units,
     .work = flat_work_4,
     .scratch = normalize_grad_scratch},
    {0},
};
