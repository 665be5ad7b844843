/* A number an edge: AGGREGATE_DOT, and softmax over the edges of each head with its gradient. */
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "vec4.cuh"
#include "warp.cuh"

/* ---- dot: a[head] . (b[tail] r[relation]) ---- */

/* A group of lanes goes through DOT_CHUNK neighbouring edges, DOT_AHEAD at a time: rows of b lie
 * anywhere, the row of a is mostly that of the edge before. */
enum { DOT_CHUNK = 32, DOT_AHEAD = 4 };

template <class T> struct dots {
  tkg_graph g;
  int64_t cols, r_rows;
  const T *a, *b, *r; /* r: relation vectors, or NULL */
  float *out;
  tkg_error_slot bad_relation;
};

static __device__ __forceinline__ int64_t head_of(const tkg_graph &g, int64_t edge) {
  int64_t low = 0, high = g.n - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (g.offsets[middle + 1] <= edge)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* An edge's rows; those of an edge that is none are the first of each, and the sum is not used. */
struct dot_edge {
  int64_t head, tail, relation;
  bool exists;
};

template <class T>
static __device__ __forceinline__ dot_edge find_edge(const dots<T> &s, int64_t p, int64_t *head,
                                                     bool reports) {
  if (p >= s.g.e) return {0, 0, 0, false};
  while (s.g.offsets[*head + 1] <= p) ++*head;
  const int32_t relation = s.r ? s.g.relations[p] : 0;
  const bool exists = !s.r || tkg_check_id(relation, s.r_rows, p, s.bad_relation, reports);
  return {*head, s.g.ids[p], relation, exists};
}

template <class T>
static __device__ __forceinline__ void dot_some(const dots<T> &s, int64_t first, int64_t *head,
                                                const tkg_group &group) {
  dot_edge edge[DOT_AHEAD];
  float sum[DOT_AHEAD];
  TKG_UNROLL
  for (int k = 0; k < DOT_AHEAD; k++) {
    edge[k] = find_edge(s, first + k, head, group.lane == 0);
    sum[k] = 0;
  }
  for (int64_t j = group.lane; j < s.cols; j += group.width) {
    T tail[DOT_AHEAD];
    TKG_UNROLL
    for (int k = 0; k < DOT_AHEAD; k++)
      if (edge[k].exists) tail[k] = s.b[edge[k].tail * s.cols + j];
    TKG_UNROLL
    for (int k = 0; k < DOT_AHEAD; k++) {
      if (!edge[k].exists) continue;
      if (s.r) tail[k] = vec4_mul(tail[k], s.r[edge[k].relation * s.cols + j]);
      sum[k] += vec4_dot(s.a[edge[k].head * s.cols + j], tail[k]);
    }
  }
  TKG_UNROLL
  for (int k = 0; k < DOT_AHEAD; k++) sum[k] = tkg_group_sum(sum[k], group.width);
  TKG_UNROLL
  for (int k = 0; k < DOT_AHEAD; k++)
    if (group.lane == 0 && first + k < s.g.e)
      s.out[s.g.order ? s.g.order[first + k] : first + k] = sum[k];
}

/* All groups take as many steps, for shuffles name all lanes of a warp. */
template <class T> static __global__ void dot_kernel(dots<T> s, int width) {
  const tkg_group group = tkg_group_of(width);
  const int64_t chunks = (s.g.e + DOT_CHUNK - 1) / DOT_CHUNK;
  for (int64_t c = group.row; tkg_any_row(c, chunks); c += group.stride) {
    const int64_t first = c * DOT_CHUNK;
    int64_t head = first < s.g.e ? head_of(s.g, first) : 0;
    for (int k = 0; k < DOT_CHUNK; k += DOT_AHEAD) dot_some(s, first + k, &head, group);
  }
}

template <class T> static void dot_launch(const tkg_call *c, cudaStream_t stream) {
  dots<T> s = {};
  s.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  s.cols = tkg__cols(c->in[1]) * (int64_t)sizeof(float) / (int64_t)sizeof(T);
  s.a = tkg_in<T>(c, 1);
  s.b = tkg_in<T>(c, 2);
  s.r = tkg_in<T>(c, 3);
  s.r_rows = s.r ? tkg__rows(c->in[3]) : 0;
  s.bad_relation = s.r ? tkg__error_slot_ids(c, s.r_rows) : tkg_error_slot{NULL, NULL};
  s.out = tkg_out<float>(c);
  const int width = tkg_group_width(s.cols);
  tkg_launch(dot_kernel<T>, tkg_groups(tkg_ceil(s.g.e, DOT_CHUNK), width), stream, s, width);
}

static int dot_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t d = tkg__cols(c->in[1]);
  if (tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->data[2], d) &&
      tkg_vec4_aligned(c->data[3], d))
    dot_launch<float4>(c, stream);
  else
    dot_launch<float>(c, stream);
  return TKG_OK;
}

/* ---- softmax over the edges of a row ---- */

/* Rows of no more than HUB edges go to groups of lanes, a group a row; others to a block each. */
enum { HUB = 1024 };

struct values {
  tkg_graph g;
  const float *a, *y; /* s; or the gradient and softmax's result */
  float *out;

  __device__ __forceinline__ int64_t number(int64_t place) const {
    return g.order ? g.order[place] : place;
  }
};

/* Who works on a row: lanes, and how their numbers are put together. */
struct by_group {
  int lane, lanes;
  __device__ __forceinline__ float sum(float v) const { return tkg_group_sum(v, lanes); }
  __device__ __forceinline__ float most(float v) const { return tkg_group_max(v, lanes); }
};
struct by_block {
  int lane, lanes;
  __device__ __forceinline__ float sum(float v) const { return tkg_block_sum(v); }
  __device__ __forceinline__ float most(float v) const { return tkg_block_max(v); }
};

/* The row is read three times, from cache but for the first. */
struct softmax_op {
  template <class BY>
  static __device__ __forceinline__ void run(const values &s, int64_t first, int64_t last, BY by) {
    float most = -INFINITY, sum = 0;
    for (int64_t p = first + by.lane; p < last; p += by.lanes) {
      const float v = s.a[s.number(p)];
      most = v > most ? v : most;
    }
    most = by.most(most);
    for (int64_t p = first + by.lane; p < last; p += by.lanes)
      sum += v_exp(s.a[s.number(p)] - most);
    const float scale = 1.0F / by.sum(sum);
    for (int64_t p = first + by.lane; p < last; p += by.lanes) {
      const int64_t at = s.number(p);
      s.out[at] = v_exp(s.a[at] - most) * scale;
    }
  }
};

/* y (g - sum g y) */
struct softmax_grad_op {
  template <class BY>
  static __device__ __forceinline__ void run(const values &s, int64_t first, int64_t last, BY by) {
    float sum = 0;
    for (int64_t p = first + by.lane; p < last; p += by.lanes) {
      const int64_t at = s.number(p);
      sum += s.a[at] * s.y[at];
    }
    sum = by.sum(sum);
    for (int64_t p = first + by.lane; p < last; p += by.lanes) {
      const int64_t at = s.number(p);
      s.out[at] = s.y[at] * (s.a[at] - sum);
    }
  }
};

template <class OP> static __global__ void short_kernel(values s, int width) {
  const tkg_group group = tkg_group_of(width);
  for (int64_t r = group.row; tkg_any_row(r, s.g.n); r += group.stride) {
    int64_t first = r < s.g.n ? s.g.offsets[r] : 0, last = r < s.g.n ? s.g.offsets[r + 1] : 0;
    if (last - first > HUB) last = first;
    OP::run(s, first, last, by_group{group.lane, width});
  }
}

/* A block looks at as many rows as it has threads, and works on the hubs among them. In which order
 * they are found does not matter. */
template <class OP> static __global__ void hubs_kernel(values s) {
  TKG_SHARED(int32_t, found, [TKG_THREADS]);
  TKG_SHARED(int32_t, count, [1]);
  for (int64_t first = (int64_t)blockIdx.x * TKG_THREADS; first < s.g.n;
       first += (int64_t)gridDim.x * TKG_THREADS) {
    const int64_t r = first + threadIdx.x;
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    if (r < s.g.n && s.g.offsets[r + 1] - s.g.offsets[r] > HUB)
      found[atomicAdd(&count[0], 1)] = (int32_t)r;
    __syncthreads();
    const int hubs = count[0];
    for (int h = 0; h < hubs; h++)
      OP::run(s, (int64_t)s.g.offsets[found[h]], (int64_t)s.g.offsets[found[h] + 1],
              by_block{(int)threadIdx.x, TKG_THREADS});
    __syncthreads(); /* before `count` and `found` are written again */
  }
}

/* Lanes for a row of the usual degree. */
template <class OP> static int softmax_run(const tkg_call *c, cudaStream_t stream) {
  values s = {};
  s.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  s.a = tkg_in<float>(c, 1);
  s.y = tkg_in<float>(c, 2);
  s.out = tkg_out<float>(c);
  if (s.g.e == 0) return TKG_OK;
  const int width = tkg_group_width(tkg_ceil(s.g.e, s.g.n));
  tkg_launch(short_kernel<OP>, tkg_groups(s.g.n, width), stream, s, width);
  if (s.g.e > HUB)
    tkg_launch(hubs_kernel<OP>,
               {dim3(tkg_blocks(tkg_ceil(s.g.n, TKG_THREADS))), dim3(TKG_THREADS), 0}, stream, s);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_edges[] = {
    {TKG_OP_AGGREGATE_DOT, dot_run, NULL},
    {TKG_OP_EDGE_SOFTMAX, softmax_run<softmax_op>, NULL},
    {TKG_OP_EDGE_SOFTMAX_GRAD, softmax_run<softmax_grad_op>, NULL},
    {0, NULL, NULL},
};
