/* SDDMM, a sampled dense-dense matrix product: out[e] = a[head] . (b[tail]
 * r[relation]) for each edge e of a graph; r is optional. SDDMM_RELATION adds a[i] . b[tail] for
 * the edges of one relation whose head is heads[i]: the kernel goes through all edges, as a byte or
 * two of most is all that is read, and finds a head among `heads` by a binary search.
 *
 * One group of lanes takes CHUNK neighbouring edges, AHEAD of them at a time: each lane loads its
 * columns of AHEAD rows of b, which lie anywhere, before it uses the first. The row of a is mostly
 * that of the edge before, and comes from cache. Traffic is one row of b per edge. Shuffles add the
 * columns in a fixed order: results repeat bit for bit. */
#include "coded_rows.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "vec4.cuh"
#include "warp.cuh"

enum { CHUNK = 32, AHEAD = 4 };

/* T is float or float4, X a source of rows (coded_rows.cuh). */
template <class T, class X> struct products {
  tkg_graph g;
  int64_t cols;
  X a, b;
  const T *r;           /* relation vectors, or NULL */
  const int32_t *heads; /* NULL: all edges; else those of `relation` and these heads, which add */
  int64_t count;        /* of heads */
  int32_t relation;
  float *out;
};

/* The number of an edge, its rows of a and b, its relation. `exists` is false behind the last edge
 * and for one that is left out. */
struct dot_edge {
  int64_t number, head, tail, relation;
  bool exists;
};

template <class T, class X>
static __device__ __forceinline__ dot_edge find_edge(const products<T, X> &s, int64_t p,
                                                     int64_t *head) {
  if (p >= s.g.e) return {0, 0, 0, 0, false};
  while (s.g.offsets[*head + 1] <= p) ++*head;
  const int64_t number = tkg__edge_number(&s.g, p);
  const int32_t relation = s.r || s.heads ? tkg__relation_at(s.g.relations, number) : 0;
  if (!s.heads) return {number, *head, s.g.ids[p], relation, true};
  const int64_t row =
      relation == s.relation ? tkg__find_sorted(s.heads, s.count, (int32_t)*head) : -1;
  return {number, row, s.g.ids[p], relation, row >= 0};
}

/* Edges first .. first + AHEAD - 1; *head is the row of the first and advances with them. */
template <class T, class X>
static __device__ __forceinline__ void dot_edges(const products<T, X> &s, int64_t first,
                                                 int64_t *head, const tkg_group &group) {
  dot_edge edge[AHEAD];
  float sum[AHEAD];
  TKG_UNROLL
  for (int k = 0; k < AHEAD; k++) {
    edge[k] = find_edge(s, first + k, head);
    sum[k] = 0;
  }
  for (int64_t j = group.lane; j < s.cols; j += group.width) {
    typename X::item b[AHEAD];
    TKG_UNROLL
    for (int k = 0; k < AHEAD; k++)
      if (edge[k].exists) b[k] = s.b.load(edge[k].tail, j);
    TKG_UNROLL
    for (int k = 0; k < AHEAD; k++) {
      if (!edge[k].exists) continue;
      T tail = s.b.value(b[k]);
      if (s.r) tail = vec4_mul(tail, s.r[edge[k].relation * s.cols + j]);
      sum[k] += vec4_dot(s.a.value(s.a.load(edge[k].head, j)), tail);
    }
  }
  TKG_UNROLL
  for (int k = 0; k < AHEAD; k++) sum[k] = tkg_group_sum(sum[k], group.width);
  TKG_UNROLL
  for (int k = 0; k < AHEAD; k++)
    if (group.lane == 0 && edge[k].exists)
      s.out[edge[k].number] = s.heads ? s.out[edge[k].number] + sum[k] : sum[k];
}

template <class T, class X> static __global__ void dot_kernel(products<T, X> s, int width) {
  const tkg_group group = tkg_group_of(width);
  const int64_t chunks = (s.g.e + CHUNK - 1) / CHUNK;
  for (int64_t c = group.row; tkg_any_row(c, chunks); c += group.stride) {
    const int64_t first = c * CHUNK;
    int64_t head = first < s.g.e ? tkg__row_of(s.g.offsets, s.g.n, first) : 0;
    for (int k = 0; k < CHUNK; k += AHEAD) dot_edges(s, first + k, &head, group);
  }
}

template <class T, class X>
static void dot_launch(const tkg_call *c, X a, X b, cudaStream_t stream) {
  products<T, X> s = {};
  s.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  s.cols = tkg__cols(c->in[1]) * (int64_t)sizeof(float) / (int64_t)sizeof(T);
  s.a = a;
  s.b = b;
  s.out = tkg_out<float>(c);
  if (c->node->op == TKG_OP_SDDMM_RELATION) {
    s.heads = tkg_in<int32_t>(c, 3);
    s.count = tkg__count(c->in[3]);
    s.relation = (int32_t)c->node->f[0];
  } else {
    s.r = tkg_in<T>(c, 3);
  }
  const int width = tkg_group_width(s.cols);
  tkg_launch(dot_kernel<T, X>, tkg_groups(tkg_ceil(s.g.e, CHUNK), width), stream, s, width);
}

static int64_t dot_scratch(const tkg_node *, const tkg_node *const *in) {
  return tkg__coded_bytes(in, 1) + tkg__coded_bytes(in, 2);
}

static int dot_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t d = tkg__cols(c->in[1]);
  const bool vectors = c->node->op == TKG_OP_SDDMM;
  const bool aligned = tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->data[2], d) &&
                       (!vectors || tkg_vec4_aligned(c->data[3], d));
  tkg_with_sources(c, aligned, stream,
                   [=](auto unit, auto a, auto b) { dot_launch<decltype(unit)>(c, a, b, stream); });
  return TKG_OK;
}

static int relation_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = c->node->i[0], e = c->node->i[2], count = tkg__count(c->in[3]);
  tkg__check_ids(tkg_in<int32_t>(c, 3), count, n, tkg__error_slot_ids(c, n), stream);
  if (c->out != c->data[4]) tkg_copy_bytes(c->out, c->data[4], e * (int64_t)sizeof(float), stream);
  return count > 0 ? dot_run(c, stream) : TKG_OK;
}

const tkg_cuda_op tkg__cuda_sddmm[] = {
    {TKG_OP_SDDMM, dot_run, dot_scratch},
    {TKG_OP_SDDMM_RELATION, relation_run, dot_scratch},
    {0, NULL, NULL},
};
