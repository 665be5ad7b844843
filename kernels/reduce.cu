/* Sums, row-wise maxima and dot products, and the sum's opposite.
 *
 * A sum reads its input as [outer, t1, middle, t2, inner] where t1 and t2 are summed; neighbouring
 * dimensions of a kind are merged, so four dimensions always fit. Short rows go to a few lanes
 * each. Otherwise the terms t1 t2 are cut in a number of parts that depends on the shapes alone; a
 * block sums a part of some columns, and a second kernel adds the parts in order. Every order is
 * fixed, so results repeat bit for bit, also on another GPU. */
#include "family.h"
#include "launch.h"
#include "view.h"
#include "warp.cuh"

/* ---- sum: the plan ---- */

enum {
  SUM_FLOATS = 64,   /* terms added in float before they join a double */
  SUM_SHORT = 2048,  /* a row up to here is the work of one group of lanes */
  SUM_PART = 2048,   /* least terms of a part */
  SUM_BLOCKS = 1024, /* with so many blocks of work, one part will do */
  SUM_MOST_PARTS = 256
};

typedef struct sum_plan {
  int64_t outer, t1, middle, t2, inner;
  int64_t terms, groups; /* t1 t2; outer middle */
  int64_t blocks, parts; /* of the inner columns; of the terms */
  int x;                 /* columns of a block */
} sum_plan;

/* Extents from the last dimension to the first; even places are kept, odd ones summed. */
static sum_plan sum_extents(const tkg_node *node, const tkg_node *x) {
  int64_t extent[5] = {1, 1, 1, 1, 1};
  int place = 0;
  for (int d = x->rank - 1; d >= 0; d--) {
    if (x->shape[d] == 1) continue;
    const int summed = (int)(node->i[0] >> d) & 1;
    if (place % 2 != summed) place++;
    extent[place] *= x->shape[d];
  }
  sum_plan p = {};
  p.inner = extent[0];
  p.t2 = extent[1];
  p.middle = extent[2];
  p.t1 = extent[3];
  p.outer = extent[4];
  return p;
}

static sum_plan sum_plan_of(const tkg_node *node, const tkg_node *const *in) {
  sum_plan p = sum_extents(node, in[0]);
  p.terms = p.t1 * p.t2;
  p.groups = p.outer * p.middle;
  p.x = tkg_power(p.inner, TKG_WARP);
  p.blocks = tkg_ceil(p.inner, p.x);
  const int64_t all = p.groups * p.blocks, wished = tkg_ceil(p.terms, SUM_PART);
  p.parts = all > 0 ? SUM_BLOCKS / all : 1;
  if (p.parts > wished) p.parts = wished;
  if (p.parts > SUM_MOST_PARTS) p.parts = SUM_MOST_PARTS;
  if (p.parts < 1) p.parts = 1;
  return p;
}

static int64_t sum_scratch(const tkg_node *node, const tkg_node *const *in) {
  const sum_plan p = sum_plan_of(node, in);
  return p.parts == 1 ? 0 : p.groups * p.parts * p.inner * (int64_t)sizeof(double);
}

/* ---- sum: short rows ---- */

static __global__ void sum_rows(int64_t rows, int64_t cols, int width, const float *x, float *out) {
  const tkg_group g = tkg_group_of(rows, width);
  int64_t r = g.row;
  for (int64_t round = 0; round < g.rounds; round++, r += g.stride) {
    float sum = 0;
    if (r < rows)
      for (int64_t j = g.lane; j < cols; j += width) sum += x[r * cols + j];
    sum = tkg_group_sum(sum, width);
    if (r < rows && g.lane == 0) out[r] = sum;
  }
}

/* ---- sum: parts ---- */

/* Terms first.. last-1 that are this thread's, `stride` apart, of one column. */
static __device__ __forceinline__ double sum_terms(const sum_plan &p, const float *x, int64_t first,
                                                   int64_t last, int64_t stride) {
  double sum = 0;
  for (int64_t t = first; t < last;) {
    float part = 0;
    for (int k = 0; k < SUM_FLOATS && t < last; k++, t += stride) {
      const int64_t i1 = p.t1 == 1 ? 0 : t / p.t2, i2 = t - i1 * p.t2;
      part += x[(i1 * p.middle * p.t2 + i2) * p.inner];
    }
    sum += (double)part;
  }
  return sum;
}

/* A block: x runs over columns, y over terms; then y is folded in halves. One of part (double, as
 * [group, part, inner]) and out is written. */
static __global__ void sum_parts(sum_plan p, const float *x, double *part, float *out) {
  TKG_SHARED(double, fold, [TKG_THREADS]);
  const int64_t work = p.groups * p.blocks * p.parts;
  double *mine = fold + threadIdx.y * blockDim.x + threadIdx.x;
  for (int64_t u = blockIdx.x; u < work; u += gridDim.x) {
    const int64_t rest = u / p.parts, k = u - rest * p.parts, group = rest / p.blocks;
    const int64_t column = (rest - group * p.blocks) * p.x + threadIdx.x;
    const int64_t o = group / p.middle, m = group - o * p.middle;
    const float *from = x + ((o * p.t1 * p.middle + m) * p.t2) * p.inner + column;
    const int64_t last = p.terms * (k + 1) / p.parts;
    *mine = 0;
    if (column < p.inner)
      *mine = sum_terms(p, from, p.terms * k / p.parts + threadIdx.y, last, blockDim.y);
    __syncthreads();
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
      if (threadIdx.y < half) *mine += mine[half * blockDim.x];
      __syncthreads();
    }
    if (threadIdx.y == 0 && column < p.inner) {
      if (part)
        part[(group * p.parts + k) * p.inner + column] = *mine;
      else
        out[group * p.inner + column] = (float)*mine;
    }
    __syncthreads();
  }
}

static __global__ void sum_combine(sum_plan p, const double *part, float *out) {
  for (int64_t i = tkg_first(); i < p.groups * p.inner; i += tkg_stride()) {
    const int64_t group = i / p.inner, column = i - group * p.inner;
    double sum = 0;
    for (int64_t k = 0; k < p.parts; k++) sum += part[(group * p.parts + k) * p.inner + column];
    out[i] = (float)sum;
  }
}

static int sum_run(const tkg_call *c, cudaStream_t stream) {
  const sum_plan p = sum_plan_of(c->node, c->in);
  const float *x = tkg_in<float>(c, 0);
  float *out = tkg_out<float>(c);
  double *part = p.parts > 1 ? static_cast<double *>(c->scratch) : NULL;
  if (p.inner == 1 && p.t1 == 1 && p.parts == 1 && p.t2 <= SUM_SHORT) {
    const int width = tkg_power(p.t2, TKG_WARP);
    tkg_launch(sum_rows, tkg_groups(p.groups, width), stream, p.groups, p.t2, width, x, out);
    return TKG_OK;
  }
  const dim3 block((unsigned)p.x, (unsigned)(TKG_THREADS / p.x));
  const unsigned blocks = tkg_blocks(p.groups * p.blocks * p.parts);
  tkg_launch(sum_parts, {dim3(blocks), block, 0}, stream, p, x, part, out);
  if (part) tkg_launch(sum_combine, tkg_flat(p.groups * p.inner), stream, p, part, out);
  return TKG_OK;
}

/* ---- broadcast ---- */

template <class Index>
static __global__ void broadcast_kernel(Index n, tkg_view v, const uint32_t *x, uint32_t *out) {
  for (int64_t i = tkg_first(); i < (int64_t)n; i += tkg_stride()) {
    int64_t at[2];
    tkg_view_at<Index>(v, (Index)i, at);
    out[i] = x[at[0]];
  }
}

static int broadcast_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[0]);
  if (n <= UINT32_MAX)
    tkg_launch(broadcast_kernel<uint32_t>, tkg_flat(n), stream, (uint32_t)n, v,
               tkg_in<uint32_t>(c, 0), tkg_out<uint32_t>(c));
  else
    tkg_launch(broadcast_kernel<uint64_t>, tkg_flat(n), stream, (uint64_t)n, v,
               tkg_in<uint32_t>(c, 0), tkg_out<uint32_t>(c));
  return TKG_OK;
}

/* ---- rows of the input, one number each ---- */

/* Whether b at position j goes before a at position i: larger, or NaN, or equal and earlier. */
static __device__ __forceinline__ bool beats(float b, int64_t j, float a, int64_t i) {
  const bool nan_a = !(a == a), nan_b = !(b == b);
  if (nan_a || nan_b) return nan_b && (!nan_a || j < i);
  return b > a || (b == a && j < i);
}

static __device__ __forceinline__ void keep_best(float *a, int64_t *i, float b, int64_t j) {
  if (j < 0 || (*i >= 0 && !beats(b, j, *a, *i))) return;
  *a = b;
  *i = j;
}

static __global__ void argmax_kernel(int64_t rows, int64_t cols, int width, const float *x,
                                     int32_t *out) {
  const tkg_group g = tkg_group_of(rows, width);
  int64_t r = g.row;
  for (int64_t round = 0; round < g.rounds; round++, r += g.stride) {
    float best = 0;
    int64_t at = -1;
    if (r < rows)
      for (int64_t j = g.lane; j < cols; j += width) keep_best(&best, &at, x[r * cols + j], j);
    for (int o = width / 2; o > 0; o /= 2) {
      const float other = __shfl_xor_sync(TKG_ALL_LANES, best, o, width);
      const int64_t there = __shfl_xor_sync(TKG_ALL_LANES, at, o, width);
      keep_best(&best, &at, other, there);
    }
    if (r < rows && g.lane == 0) out[r] = at < 0 ? 0 : (int32_t)at;
  }
}

static int argmax_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->in[0]), cols = tkg__cols(c->in[0]);
  const int width = tkg_power(cols, TKG_WARP);
  tkg_launch(argmax_kernel, tkg_groups(rows, width), stream, rows, cols, width, tkg_in<float>(c, 0),
             tkg_out<int32_t>(c));
  return TKG_OK;
}

static __global__ void dot_kernel(int64_t rows, int64_t cols, int width, const float *a,
                                  const float *b, float *out) {
  const tkg_group g = tkg_group_of(rows, width);
  int64_t r = g.row;
  for (int64_t round = 0; round < g.rounds; round++, r += g.stride) {
    double sum = 0;
    for (int64_t j = g.lane; r < rows && j < cols;) {
      float part = 0;
      for (int k = 0; k < SUM_FLOATS && j < cols; k++, j += width)
        part += a[r * cols + j] * b[r * cols + j];
      sum += (double)part;
    }
    sum = tkg_group_sum(sum, width);
    if (r < rows && g.lane == 0) out[r] = (float)sum;
  }
}

static int dot_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->in[0]), cols = tkg__cols(c->in[0]);
  const int width = tkg_power(cols, TKG_WARP);
  tkg_launch(dot_kernel, tkg_groups(rows, width), stream, rows, cols, width, tkg_in<float>(c, 0),
             tkg_in<float>(c, 1), tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_reduce[] = {
    {TKG_OP_SUM, sum_run, sum_scratch},
    {TKG_OP_BROADCAST, broadcast_run, NULL},
    {TKG_OP_ARGMAX, argmax_run, NULL},
    {TKG_OP_DOT, dot_run, NULL},
    {0, NULL, NULL},
};
