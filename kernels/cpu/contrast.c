/* The logarithm of the sum of exponentials of each row of the logits f0 X Y^T, and its gradients,
 * without the matrix of logits (FlashAttention: Dao et al., NeurIPS 2022): a block of rows meets
 * one tile of columns after the other, which stay in the second cache, and keeps a running maximum
 * and sum. Backward computes the tiles again.
 *
 * A unit is a block of the result's rows: of X, or of Y for its gradient. Blocks and tiles begin at
 * places that depend on shapes alone, so sums have the same bits whatever the number of threads. */
#include <float.h>
#include <string.h>

#include "base/error.h"
#include "cpu/dispatch/gemm.h"
#include "isa.h"
#include "kernel.h"
#include "lanes.h"

enum { BLOCK = 128, TILE = 128 }; /* backward: rows of a block, columns of a tile of logits */
enum { ACROSS = 64, DOWN = 256 }; /* forward: rows of X, rows of Y of a tile */

/* Rows that have units, rows that they meet, and what is known of each row of X. */
typedef struct contrast {
  const float *mine, *other;
  int64_t n, m; /* rows of each */
  int d;
  float scale;
  const float *g, *sums; /* of X's rows: gradients, log-sum-exps; of backward alone */
  bool by_column;        /* X's rows are the columns of a tile */
} contrast;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t forward_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (node->shape[0] + ACROSS - 1) / ACROSS;
}

static int64_t backward_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (node->shape[0] + BLOCK - 1) / BLOCK;
}

/* Multiply-adds count as in matmul.c; an exponential is as much work as some of them. */
static int64_t work_of(int64_t n, const tkg_node *x, const tkg_node *y, int64_t products) {
  return n * (tkg__rows(x) == n ? tkg__rows(y) : tkg__rows(x)) * (products * tkg__cols(x) / 8 + 4);
}

static int64_t forward_work(const tkg_node *node, const tkg_node *const *in) {
  return work_of(tkg__rows(node), in[0], in[1], 1);
}

static int64_t backward_work(const tkg_node *node, const tkg_node *const *in) {
  return work_of(tkg__rows(node), in[1], in[2], 2);
}

/* Computes the products of `rows` rows from row r of mine and `cols` rows from row c of other. */
static int multiply(const contrast *k, int64_t r, int rows, int64_t c, int cols, float *logits) {
  const tkg_gemm g = {rows, cols, k->d, false, true, k->d, k->d, false};
  if (k->d == 0) memset(logits, 0, (size_t)(rows * cols) * sizeof *logits);
  if (k->d == 0) return TKG_OK;
  return tkg__gemm(&g, k->mine + r * k->d, k->other + c * k->d, logits);
}

/* ---- forward ---- */

/* Takes a tile into the maximum and the sum of exponentials so far of `width` rows of X, which are
 * columns of the tile: each has a lane, so lanes are never folded. */
TKG_INLINE void take_lanes(const float *products, int down, int across, int width, float scale,
                           float *most, float *sum) {
  float now[LANES], total[LANES];
  memcpy(now, most, (size_t)width * sizeof *now);
  for (int j = 0; j < down; j++) {
    const float *row = products + j * across;
#pragma omp simd
    for (int i = 0; i < width; i++) {
      const float logit = row[i] * scale;
      now[i] = logit > now[i] ? logit : now[i];
    }
  }
  for (int i = 0; i < width; i++) total[i] = sum[i] * v_exp(most[i] - now[i]);
  for (int j = 0; j < down; j++) {
    const float *row = products + j * across;
#pragma omp simd
    for (int i = 0; i < width; i++) total[i] += v_exp(row[i] * scale - now[i]);
  }
  memcpy(most, now, (size_t)width * sizeof *now);
  memcpy(sum, total, (size_t)width * sizeof *sum);
}

static int forward_block(const contrast *k, int64_t first, int across, float *out) {
  float products[DOWN * ACROSS], most[ACROSS], sum[ACROSS] = {0};
  const contrast turned = {.mine = k->other, .other = k->mine, .d = k->d};
  for (int i = 0; i < across; i++) most[i] = -FLT_MAX;
  for (int64_t c = 0; c < k->m; c += DOWN) {
    const int down = (int)least(DOWN, k->m - c), whole = across / LANES * LANES;
    int status = multiply(&turned, c, down, first, across, products);
    if (status) return status;
    for (int i = 0; i < whole; i += LANES)
      take_lanes(products + i, down, across, LANES, k->scale, most + i, sum + i);
    if (whole < across)
      take_lanes(products + whole, down, across, across - whole, k->scale, most + whole,
                 sum + whole);
  }
  for (int i = 0; i < across; i++) out[i] = most[i] + v_log(sum[i]);
  return TKG_OK;
}

static int forward(const tkg_call *c, int64_t begin, int64_t end) {
  const contrast k = {.mine = c->data[0],
                      .other = c->data[1],
                      .n = c->in[0]->shape[0],
                      .m = c->in[1]->shape[0],
                      .d = (int)tkg__cols(c->in[0]),
                      .scale = (float)c->node->f[0]};
  float *out = c->out;
  for (int64_t u = begin; u < end; u++) {
    const int64_t first = u * ACROSS;
    int status = forward_block(&k, first, (int)least(ACROSS, k.n - first), out + first);
    if (status) return status;
  }
  return TKG_OK;
}

/* ---- backward ---- */

/* Replaces products by gradients of the loss by them: scale g softmax. */
static void weigh_row(float *products, int cols, float scale, float g, float sum) {
#pragma omp simd
  for (int j = 0; j < cols; j++) products[j] = g * scale * v_exp(products[j] * scale - sum);
}

/* The same where each column has its own g and sum. */
static void weigh_columns(float *products, int cols, float scale, const float *g,
                          const float *sums) {
#pragma omp simd
  for (int j = 0; j < cols; j++) products[j] = g[j] * scale * v_exp(products[j] * scale - sums[j]);
}

static void weigh(const contrast *k, int64_t r, int rows, int64_t c, int cols, float *products) {
  for (int i = 0; i < rows; i++, products += cols) {
    if (k->by_column)
      weigh_columns(products, cols, k->scale, k->g + c, k->sums + c);
    else
      weigh_row(products, cols, k->scale, k->g[r + i], k->sums[r + i]);
  }
}

/* Writes, or adds, what the tile's rows of `other` give to a block. */
static int backward_block(const contrast *k, int64_t first, int rows, float *out) {
  float products[BLOCK * TILE];
  for (int64_t c = 0; c < k->m; c += TILE) {
    const int cols = (int)least(TILE, k->m - c);
    const tkg_gemm g = {rows, k->d, cols, false, false, cols, k->d, c > 0};
    int status = multiply(k, first, rows, c, cols, products);
    if (status) return status;
    weigh(k, first, rows, c, cols, products);
    status = tkg__gemm(&g, products, k->other + c * k->d, out);
    if (status) return status;
  }
  return TKG_OK;
}

static contrast backward_of(const tkg_call *c) {
  const int mine = c->node->i[0] ? 2 : 1, other = 3 - mine;
  return (contrast){.mine = c->data[mine],
                    .other = c->data[other],
                    .n = c->in[mine]->shape[0],
                    .m = c->in[other]->shape[0],
                    .d = (int)tkg__cols(c->node),
                    .scale = (float)c->node->f[0],
                    .g = c->data[0],
                    .sums = c->data[3],
                    .by_column = c->node->i[0] != 0};
}

static int backward(const tkg_call *c, int64_t begin, int64_t end) {
  const contrast k = backward_of(c);
  float *out = c->out;
  for (int64_t u = begin; u < end; u++) {
    const int64_t first = u * BLOCK;
    const int rows = (int)least(BLOCK, k.n - first);
    if (k.m == 0) memset(out + first * k.d, 0, (size_t)(rows * k.d) * sizeof *out);
    int status = k.d > 0 ? backward_block(&k, first, rows, out + first * k.d) : TKG_OK;
    if (status) return status;
  }
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_contrast)[] = {
    {.op = TKG_OP_PRODUCT_LOGSUMEXP, .run = forward, .units = forward_units, .work = forward_work},
    {.op = TKG_OP_PRODUCT_LOGSUMEXP_GRAD,
     .run = backward,
     .units = backward_units,
     .work = backward_work},
    {0},
};
