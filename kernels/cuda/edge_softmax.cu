/* Softmax over the edges of each row of a graph, and its gradient:
 *
 *   EDGE_SOFTMAX       y[e] = exp(s[e] - m) / sum of exp(s[e'] - m), m = max of s[e']
 *   EDGE_SOFTMAX_GRAD  out[e] = y[e] (g[e] - sum of g[e'] y[e'])
 *
 * The sums and m are over the edges e' of the row of e.
 *
 * One group of lanes takes a row of up to HUB edges, with as many lanes as the graph's rows have
 * edges on average; one block takes a longer row. Values lie in the order of the graph's edges, so
 * a row is contiguous, or scattered where the graph is gone through backward. Softmax reads a row
 * three times (maximum, sum, result), the last two from cache. Lanes take elements in a fixed order
 * and sums are folded by shuffles in a fixed order: results repeat bit for bit. */
#include "family.h"
#include "launch.h"
#include "warp.cuh"

enum { HUB = 1024 }; /* edges of the longest row that a group of lanes takes */

/* Values of edges. */
struct edge_values {
  tkg_graph g;
  const float *a, *y; /* s, or g; softmax's result, or NULL */
  float *out;

  __device__ __forceinline__ int64_t number(int64_t place) const {
    return tkg__edge_number(&g, place);
  }
};

/* The lanes that work on a row, and how they reduce what each of them found. */
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

struct softmax_op {
  template <class BY>
  static __device__ __forceinline__ void run(const edge_values &s, int64_t first, int64_t last,
                                             BY by) {
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

struct softmax_grad_op {
  template <class BY>
  static __device__ __forceinline__ void run(const edge_values &s, int64_t first, int64_t last,
                                             BY by) {
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

template <class OP> static __global__ void short_kernel(edge_values s, int width) {
  const tkg_group group = tkg_group_of(width);
  for (int64_t r = group.row; tkg_any_row(r, s.g.n); r += group.stride) {
    int64_t first = r < s.g.n ? s.g.offsets[r] : 0, last = r < s.g.n ? s.g.offsets[r + 1] : 0;
    if (last - first > HUB) last = first;
    OP::run(s, first, last, by_group{group.lane, width});
  }
}

/* One thread per row looks for hubs; the block then works on each of those it found. The order in
 * which they are found does not matter. */
template <class OP> static __global__ void hubs_kernel(edge_values s) {
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

template <class OP> static int softmax_run(const tkg_call *c, cudaStream_t stream) {
  edge_values s = {};
  s.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  s.a = tkg_in<float>(c, 1);
  s.y = tkg_in<float>(c, 2);
  s.out = tkg_out<float>(c);
  if (s.g.n == 0 || s.g.e == 0) return TKG_OK;
  const int width = tkg_group_width(tkg_ceil(s.g.e, s.g.n));
  tkg_launch(short_kernel<OP>, tkg_groups(s.g.n, width), stream, s, width);
  if (s.g.e > HUB)
    tkg_launch(hubs_kernel<OP>,
               {dim3(tkg_blocks(tkg_ceil(s.g.n, TKG_THREADS))), dim3(TKG_THREADS), 0}, stream, s);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_edge_softmax[] = {
    {TKG_OP_EDGE_SOFTMAX, softmax_run<softmax_op>, NULL},
    {TKG_OP_EDGE_SOFTMAX_GRAD, softmax_run<softmax_grad_op>, NULL},
    {0, NULL, NULL},
};
