/* The logarithm of the sum of exponentials of each row of the logits f0 X Y^T, and its gradients,
 * without the matrix of logits (FlashAttention: Dao et al., NeurIPS 2022).
 *
 * A block takes 64 rows and computes one tile of 64 x 64 logits after the other (gemm.cuh).
 * Forward, each thread keeps a maximum and a sum of exponentials beneath it for each of its four
 * rows, of the columns that it has; lanes of a row join them at the end. Backward, the tile's
 * gradients lie in shared memory, from where they are multiplied with the rows that they belong to.
 * Where there are few rows, the other side is cut into parts, each of which leaves a partial result
 * in scratch, of backward the first in the result. How it is cut depends on shapes alone. */
#include "family.h"
#include "gemm.cuh"
#include "gemm.h"
#include "warp.cuh"

enum {
  BLOCKS = 256,    /* worth cutting for: two for each multiprocessor of an H200 */
  PART_TILES = 4,  /* the shortest part */
  MOST_PARTS = 32, /* of backward, whose partial results are as large as the result */
};

/* Rows that blocks take, rows that they meet, and what is known of each row of X. */
struct contrast {
  const float *mine, *other;
  int64_t n, m; /* rows of each */
  int64_t d;
  float scale;
  const float *g, *sums; /* of X's rows: gradients, log-sum-exps; of backward alone */
  int parts;
  float *out, *partial;
};

/* Tiles of the other side: those of a part. */
struct tile_range {
  int64_t first, end;
};

static __device__ __forceinline__ tile_range range_of(const contrast &k, int part) {
  const int64_t tiles = (k.m + TILE - 1) / TILE;
  return {tiles * part / k.parts * TILE, tiles * (part + 1) / k.parts * TILE};
}

/* Computes a thread's products of the tile of rows r.. of mine and c.. of other. */
static __device__ __forceinline__ void multiply_tile(const contrast &k, int64_t r, int64_t c,
                                                     float (*left)[PITCH], float (*right)[PITCH],
                                                     float (*product)[EACH]) {
  TKG_UNROLL
  for (int i = 0; i < EACH; i++) {
    TKG_UNROLL
    for (int j = 0; j < EACH; j++) product[i][j] = 0;
  }
  for (int64_t l = 0; l < k.d; l += DEPTH) {
    __syncthreads();
    load_piece<false>(k.mine, k.d, r, k.n, l, k.d, left);
    load_piece<false>(k.other, k.d, c, k.m, l, k.d, right);
    __syncthreads();
    multiply_pieces(left, right, tile_row(), tile_col(), product);
  }
}

/* ---- forward ---- */

/* Takes the logits of one row into its maximum and the sum beneath it. */
static __device__ __forceinline__ void take_logits(const float *product, int64_t left, float scale,
                                                   float &most, float &sum) {
  float logit[EACH], now = most;
  TKG_UNROLL
  for (int j = 0; j < EACH; j++) {
    logit[j] = product[j] * scale;
    now = j < left && logit[j] > now ? logit[j] : now;
  }
  sum *= v_exp(most - now);
  TKG_UNROLL
  for (int j = 0; j < EACH; j++)
    if (j < left) sum += v_exp(logit[j] - now);
  most = now;
}

/* Writes a row's result, or its maximum and sum of a part. */
static __device__ __forceinline__ void write_row(const contrast &k, int part, int64_t r, float most,
                                                 float sum) {
  if (k.parts == 1) {
    k.out[r] = most + v_log(sum);
    return;
  }
  float *to = k.partial + 2 * (part * k.n + r);
  to[0] = most;
  to[1] = sum;
}

static __global__ void __launch_bounds__(TKG_THREADS) forward_kernel(contrast k) {
  TKG_SHARED(float, left, [DEPTH][PITCH]);
  TKG_SHARED(float, right, [DEPTH][PITCH]);
  const int part = (int)blockIdx.y;
  const tile_range range = range_of(k, part);
  for (int64_t r = (int64_t)blockIdx.x * TILE; r < k.n; r += (int64_t)gridDim.x * TILE) {
    float most[EACH], sum[EACH] = {};
    TKG_UNROLL
    for (int i = 0; i < EACH; i++) most[i] = -FLT_MAX;
    for (int64_t c = range.first; c < range.end; c += TILE) {
      float product[EACH][EACH];
      multiply_tile(k, r, c, left, right, product);
      TKG_UNROLL
      for (int i = 0; i < EACH; i++)
        take_logits(product[i], k.m - c - tile_col(), k.scale, most[i], sum[i]);
    }
    TKG_UNROLL
    for (int i = 0; i < EACH; i++) {
      const float all = tkg_group_max(most[i], DEPTH);
      const float joined = tkg_group_sum(sum[i] * v_exp(most[i] - all), DEPTH);
      const int64_t row = r + tile_row() + i;
      if (tile_col() == 0 && row < k.n) write_row(k, part, row, all, joined);
    }
  }
}

static __global__ void join_kernel(contrast k) {
  for (int64_t r = tkg_first(); r < k.n; r += tkg_stride()) {
    float most = -FLT_MAX, sum = 0;
    for (int p = 0; p < k.parts; p++) {
      const float *part = k.partial + 2 * (p * k.n + r);
      const float now = part[0] > most ? part[0] : most;
      sum = sum * v_exp(most - now) + part[1] * v_exp(part[0] - now);
      most = now;
    }
    k.out[r] = most + v_log(sum);
  }
}

/* ---- backward ---- */

/* Writes a thread's gradients of the loss by the logits' products, scale g softmax, to shared
 * memory, transposed. BY_COLUMN: the rows of X are the columns of the tile. */
template <bool BY_COLUMN>
static __device__ __forceinline__ void weigh(const contrast &k, int64_t r, int64_t c,
                                             const float (*product)[EACH],
                                             float (*weights)[PITCH]) {
  const int row = tile_row(), col = tile_col();
  TKG_UNROLL
  for (int i = 0; i < EACH; i++) {
    TKG_UNROLL
    for (int j = 0; j < EACH; j++) {
      const bool inside = r + row + i < k.n && c + col + j < k.m;
      const int64_t x = BY_COLUMN ? c + col + j : r + row + i;
      weights[col + j][row + i] =
          inside ? k.g[x] * k.scale * v_exp(product[i][j] * k.scale - k.sums[x]) : 0.0F;
    }
  }
}

/* Adds what the tile's rows of `other` give to a thread's 4 x 4 of the result, whose columns begin
 * at `col`. */
static __device__ __forceinline__ void add_tile(const contrast &k, int64_t c, int64_t col,
                                                const float (*weights)[PITCH],
                                                float (*right)[PITCH], float (*sum)[EACH]) {
  for (int l = 0; l < TILE; l += DEPTH) {
    __syncthreads();
    load_piece<true>(k.other, k.d, col, k.d, c + l, k.m, right);
    __syncthreads();
    multiply_pieces(weights + l, right, tile_row(), tile_col(), sum);
  }
}

/* Blocks along y take 64 columns of the result, along z the parts. */
template <bool BY_COLUMN>
static __global__ void __launch_bounds__(TKG_THREADS) backward_kernel(contrast k) {
  TKG_SHARED(float, left, [DEPTH][PITCH]);
  TKG_SHARED(float, right, [DEPTH][PITCH]);
  TKG_SHARED(float, weights, [TILE][PITCH]);
  const int part = (int)blockIdx.z, row = tile_row(), col = tile_col();
  const int64_t d0 = (int64_t)blockIdx.y * TILE;
  const tile_range range = range_of(k, part);
  float *out = part > 0 ? k.partial + (part - 1) * k.n * k.d : k.out;
  for (int64_t r = (int64_t)blockIdx.x * TILE; r < k.n; r += (int64_t)gridDim.x * TILE) {
    float sum[EACH][EACH] = {};
    for (int64_t c = range.first; c < range.end; c += TILE) {
      float product[EACH][EACH];
      multiply_tile(k, r, c, left, right, product);
      weigh<BY_COLUMN>(k, r, c, product, weights);
      add_tile(k, c, d0, weights, right, sum);
    }
    TKG_UNROLL
    for (int i = 0; i < EACH; i++) {
      TKG_UNROLL
      for (int j = 0; j < EACH; j++)
        if (r + row + i < k.n && d0 + col + j < k.d)
          out[(r + row + i) * k.d + d0 + col + j] = sum[i][j];
    }
  }
}

/* ---- launchers and entries ---- */

static int parts_of(int64_t blocks, int64_t m, int64_t most) {
  const int64_t tiles = tkg_ceil(m, TILE);
  const int64_t wanted = blocks > 0 ? tkg_ceil(BLOCKS, blocks) : 1;
  return (int)tkg_between(wanted < tiles / PART_TILES ? wanted : tiles / PART_TILES, 1, most);
}

static contrast forward_of(const tkg_node *node, const tkg_node *const *in) {
  contrast k = {};
  k.n = in[0]->shape[0];
  k.m = in[1]->shape[0];
  k.d = tkg__cols(in[0]);
  k.scale = (float)node->f[0];
  k.parts = parts_of(tkg_ceil(k.n, TILE), k.m, 2 * MOST_PARTS);
  return k;
}

static int64_t forward_scratch(const tkg_node *node, const tkg_node *const *in) {
  const contrast k = forward_of(node, in);
  return k.parts > 1 ? 2 * k.parts * k.n * (int64_t)sizeof(float) : 0;
}

static int forward(const tkg_call *c, cudaStream_t stream) {
  contrast k = forward_of(c->node, c->in);
  k.mine = tkg_in<float>(c, 0);
  k.other = tkg_in<float>(c, 1);
  k.out = tkg_out<float>(c);
  k.partial = static_cast<float *>(c->scratch);
  const dim3 grid(tkg_blocks(tkg_ceil(k.n, TILE)), (unsigned)k.parts);
  tkg_launch(forward_kernel, {grid, dim3(TKG_THREADS), 0}, stream, k);
  if (k.parts > 1) tkg_launch(join_kernel, tkg_flat(k.n), stream, k);
  return TKG_OK;
}

static contrast backward_of(const tkg_node *node, const tkg_node *const *in) {
  const int mine = node->i[0] ? 2 : 1;
  contrast k = {};
  k.n = in[mine]->shape[0];
  k.m = in[3 - mine]->shape[0];
  k.d = tkg__cols(node);
  k.scale = (float)node->f[0];
  k.parts = parts_of(tkg_ceil(k.n, TILE) * tkg_ceil(k.d, TILE), k.m, MOST_PARTS);
  return k;
}

static int64_t backward_scratch(const tkg_node *node, const tkg_node *const *in) {
  const contrast k = backward_of(node, in);
  return (k.parts - 1) * k.n * k.d * (int64_t)sizeof(float);
}

static int backward(const tkg_call *c, cudaStream_t stream) {
  const bool by_column = c->node->i[0] != 0;
  contrast k = backward_of(c->node, c->in);
  k.mine = tkg_in<float>(c, by_column ? 2 : 1);
  k.other = tkg_in<float>(c, by_column ? 1 : 2);
  k.g = tkg_in<float>(c, 0);
  k.sums = tkg_in<float>(c, 3);
  k.out = tkg_out<float>(c);
  k.partial = static_cast<float *>(c->scratch);
  const dim3 grid(tkg_blocks(tkg_ceil(k.n, TILE)), (unsigned)tkg_ceil(k.d, TILE),
                  (unsigned)k.parts);
  const tkg_shape shape = {grid, dim3(TKG_THREADS), 0};
  if (by_column)
    tkg_launch(backward_kernel<true>, shape, stream, k);
  else
    tkg_launch(backward_kernel<false>, shape, stream, k);
  if (k.parts > 1) tkg__add_to_first(k.n * k.d, k.parts, k.partial, k.out, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_contrast[] = {
    {TKG_OP_PRODUCT_LOGSUMEXP, forward, forward_scratch},
    {TKG_OP_PRODUCT_LOGSUMEXP_GRAD, backward, backward_scratch},
    {0, NULL, NULL},
};
