/* Row-local ops over the last dimension; results may be written over input 0.
 *
 * Softmax over a node's neighbours has hundreds of thousands of rows of 4 to 16 numbers: a few
 * lanes take a row, a warp several rows. A row of an item catalogue has 100,000: a block takes it.
 * Rows are read again for each pass, from cache; each element is read and written by one lane, so
 * input and output may be the same. */
#include "family.h"
#include "launch.h"
#include "warp.cuh"

enum { WIDE = 2048 }; /* elements of a row that is worth a block */

/* The lanes of a row: those of a group, or a whole block. */
struct row_lanes {
  int lane, lanes;
};

template <bool BLOCK, class T> static __device__ __forceinline__ T row_sum(T v, row_lanes r) {
  return BLOCK ? tkg_block_sum(v) : tkg_group_sum(v, r.lanes);
}
template <bool BLOCK, class T> static __device__ __forceinline__ T row_max(T v, row_lanes r) {
  return BLOCK ? tkg_block_max(v) : tkg_group_max(v, r.lanes);
}

/* ---- the ops: out of one row, `a` and perhaps `b`. cols is 0 for lanes past the last row, which
 * take part in the shuffles ---- */

/* Largest number; with NaN in the row, anything. A row with +inf, or with -inf only, has no softmax
 * and gives NaN: inf - inf. */
template <bool BLOCK>
static __device__ __forceinline__ float largest(const float *x, int64_t cols, row_lanes r) {
  float most = -INFINITY;
  for (int64_t j = r.lane; j < cols; j += r.lanes) most = x[j] > most ? x[j] : most;
  return row_max<BLOCK>(most, r);
}

template <bool BLOCK>
static __device__ __forceinline__ float exp_sum(const float *x, int64_t cols, float most,
                                                row_lanes r) {
  float sum = 0;
  for (int64_t j = r.lane; j < cols; j += r.lanes) sum += v_exp(x[j] - most);
  return row_sum<BLOCK>(sum, r);
}

template <bool BLOCK>
static __device__ __forceinline__ float dot(const float *a, const float *b, int64_t cols,
                                            row_lanes r) {
  float sum = 0;
  for (int64_t j = r.lane; j < cols; j += r.lanes) sum += a[j] * b[j];
  return row_sum<BLOCK>(sum, r);
}

struct softmax_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *x, const float *,
                                             int64_t cols, float, row_lanes r) {
    const float most = largest<BLOCK>(x, cols, r);
    const float scale = 1.0F / exp_sum<BLOCK>(x, cols, most, r);
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = v_exp(x[j] - most) * scale;
  }
};

/* x - max - log(sum e^(x - max)); the largest term of the sum is 1. */
struct log_softmax_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *x, const float *,
                                             int64_t cols, float, row_lanes r) {
    const float most = largest<BLOCK>(x, cols, r);
    const float log_sum = v_log(exp_sum<BLOCK>(x, cols, most, r));
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = x[j] - most - log_sum;
  }
};

/* y (g - sum g y) */
struct softmax_grad_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *g, const float *y,
                                             int64_t cols, float, row_lanes r) {
    const float sum = dot<BLOCK>(g, y, cols, r);
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = y[j] * (g[j] - sum);
  }
};

/* g - e^y sum g */
struct log_softmax_grad_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *g, const float *y,
                                             int64_t cols, float, row_lanes r) {
    float sum = 0;
    for (int64_t j = r.lane; j < cols; j += r.lanes) sum += g[j];
    sum = row_sum<BLOCK>(sum, r);
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = g[j] - v_exp(y[j]) * sum;
  }
};

/* Euclidean length of a row, at least `least`; NaN if the row has one. */
template <bool BLOCK>
static __device__ __forceinline__ float length_of(const float *x, int64_t cols, float least,
                                                  row_lanes r) {
  const float length = sqrtf(dot<BLOCK>(x, x, cols, r));
  return length < least ? least : length;
}

struct normalize_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *x, const float *,
                                             int64_t cols, float least, row_lanes r) {
    const float scale = 1.0F / length_of<BLOCK>(x, cols, least, r);
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = x[j] * scale;
  }
};

/* With n = |x| and y = x / n: (g - y (g . y)) / n. At the floor the divisor is a constant: g / f0.
 */
struct normalize_grad_op {
  template <bool BLOCK>
  static __device__ __forceinline__ void row(float *out, const float *g, const float *x,
                                             int64_t cols, float least, row_lanes r) {
    const float length = length_of<BLOCK>(x, cols, least, r), scale = 1.0F / length;
    const float along = dot<BLOCK>(g, x, cols, r) * scale;
    const float part = length == least ? 0.0F : along * scale;
    for (int64_t j = r.lane; j < cols; j += r.lanes) out[j] = (g[j] - x[j] * part) * scale;
  }
};

/* ---- kernels and launcher ---- */

template <class OP>
static __global__ void narrow_rows(int64_t rows, int64_t cols, int width, const float *a,
                                   const float *b, float *out, float f0) {
  const tkg_group g = tkg_group_of(rows, width);
  const row_lanes lanes = {g.lane, g.width};
  int64_t r = g.row;
  for (int64_t round = 0; round < g.rounds; round++, r += g.stride) {
    const int64_t at = r < rows ? r * cols : 0;
    OP::template row<false>(out + at, a + at, b ? b + at : b, r < rows ? cols : 0, f0, lanes);
  }
}

template <class OP>
static __global__ void wide_rows(int64_t rows, int64_t cols, const float *a, const float *b,
                                 float *out, float f0) {
  const row_lanes lanes = {(int)threadIdx.x, (int)blockDim.x};
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x)
    OP::template row<true>(out + r * cols, a + r * cols, b ? b + r * cols : b, cols, f0, lanes);
}

template <class OP> static int rows_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->node), cols = tkg__cols(c->node);
  const float *a = tkg_in<float>(c, 0), *b = tkg_in<float>(c, 1);
  float *out = tkg_out<float>(c), f0 = (float)c->node->f[0];
  if (rows == 0 || cols == 0) return TKG_OK;
  if (cols >= WIDE) {
    tkg_launch(wide_rows<OP>, {dim3(tkg_blocks(rows)), dim3(TKG_THREADS), 0}, stream, rows, cols, a,
               b, out, f0);
  } else {
    const int width = tkg_power(cols, TKG_WARP);
    tkg_launch(narrow_rows<OP>, tkg_groups(rows, width), stream, rows, cols, width, a, b, out, f0);
  }
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_rows[] = {
    {TKG_OP_NORMALIZE, rows_run<normalize_op>, NULL},
    {TKG_OP_NORMALIZE_GRAD, rows_run<normalize_grad_op>, NULL},
    {TKG_OP_SOFTMAX, rows_run<softmax_op>, NULL},
    {TKG_OP_SOFTMAX_GRAD, rows_run<softmax_grad_op>, NULL},
    {TKG_OP_LOG_SOFTMAX, rows_run<log_softmax_op>, NULL},
    {TKG_OP_LOG_SOFTMAX_GRAD, rows_run<log_softmax_grad_op>, NULL},
    {0, NULL, NULL},
};
