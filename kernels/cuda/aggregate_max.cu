/* The largest neighbour in each column: AGGREGATE_ARGMAX finds the edge, AGGREGATE_MAX reads its
 * tail, and AGGREGATE_MAX_GRAD adds gradients up by tail. Also INVERSE_INDEX and FIRST_INDEX of a
 * list of ids.
 *
 *   argmax     edge[i,j] = the edge i -> t with the largest x[t,j], the first of equal ones
 *   max        out[i,j] = x[tail of edge[i,j], j]
 *   max_grad  out[t,j] = sum of g[i,j] over the edges i -> t with edge[i,j] = that edge
 *
 * Argmax is a sum over edges in which "the larger" takes the place of "plus", and max_grad is a
 * sum over the edges of each tail: both run on edge_partition.cuh, with its traffic and its fixed
 * order. Both take one thread per element. */
#include "edge_partition.cuh"
#include "family.h"
#include "vec4.cuh"

static tkg_graph graph_of(const tkg_call *c, int64_t way) {
  const int64_t *i = c->node->i, turned[4] = {i[0], i[1], i[2], i[3] ^ way};
  return tkg__graph_of(tkg_in<int32_t>(c, 0), turned);
}

static const tkg_error_slot no_fault = {NULL, NULL};

/* ---- argmax: x[m,d] -> edge[n,d] ---- */

/* A sum is stored as a place among the edges; its value is read again from x. */
struct largest {
  enum { NONE = -1, PART = -2, AHEAD = 4 };
  typedef int32_t edge; /* its tail, -1: none */
  typedef float item;
  typedef largest sums;
  struct sum {
    float value;
    int32_t place; /* NONE: no edge yet; PART: none yet, but the row has edges before */
  };
  int cols;
  const float *x;
  tkg_graph g;
  int32_t *out, *parts;

  static __device__ __forceinline__ edge no_edge(void) { return -1; }
  __device__ __forceinline__ edge find(int64_t place) const { return g.ids[place]; }
  __device__ __forceinline__ float load(edge tail, int j) const {
    return tail < 0 ? 0.0F : tkg_row_at(x, tail, cols)[j];
  }
  __device__ __forceinline__ void clear(sum *s, bool begins) const {
    *s = {-INFINITY, begins ? NONE : PART};
  }
  /* Edges come in order, so the first of equal ones stays. A NaN is never larger, and stays if it
   * is the first of its row. */
  __device__ __forceinline__ void add(sum *s, float value, int64_t place) const {
    const bool first = s->place == NONE || (s->place == PART && value == value);
    if (first || value > s->value) *s = {value, (int32_t)place};
  }
  __device__ __forceinline__ void merge(sum *s, sum other) const {
    if (other.place >= 0) add(s, other.value, other.place);
  }
  __device__ __forceinline__ void store(int32_t row, int j, sum s, bool whole) const {
    tkg_row_at(out, row, cols)[j] =
        whole && s.place >= 0 ? (int32_t)tkg__edge_number(&g, s.place) : s.place;
  }
  __device__ __forceinline__ sum at(int32_t place, int j) const {
    return {place >= 0 ? load(find(place), j) : -INFINITY, place};
  }
  __device__ __forceinline__ sum load_sum(int32_t row, int j) const {
    return at(tkg_row_at(out, row, cols)[j], j);
  }
  __device__ __forceinline__ void store_part(int32_t chunk, int j, sum s) const {
    tkg_row_at(parts, chunk, cols)[j] = s.place;
  }
  __device__ __forceinline__ sum load_part(int32_t chunk, int j) const {
    return at(tkg_row_at(parts, chunk, cols)[j], j);
  }
};

static int64_t partition_scratch(const tkg_node *node, const tkg_node *const *) {
  const int64_t d = tkg__cols(node);
  const int64_t chunks = tkg__edge_partition_chunks(node->shape[0] + node->i[2], d);
  return tkg__edge_partition_bytes(node->shape[0], chunks, false) + 4 * chunks * d;
}

static char *parts_of(const tkg_call *c, const tkg_edge_partition &e) {
  return static_cast<char *>(c->scratch) + tkg__edge_partition_bytes(e.n, e.size.chunks, false);
}

static int argmax_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = graph_of(c, 0);
  const int64_t d = tkg__cols(c->node);
  const tkg_edge_partition e = tkg__partition_edges(&g, NULL, 0, d, c->scratch, no_fault, stream);
  const largest p = {(int)d, tkg_in<float>(c, 1), g, tkg_out<int32_t>(c),
                     reinterpret_cast<int32_t *>(parts_of(c, e))};
  sum_partition<largest, false>(p, e, stream);
  return TKG_OK;
}

/* ---- max: x[m,d], edges[n,d] -> x[tail of edges[n,j], j] ---- */

static __global__ void max_kernel(int64_t cols, tkg_graph g, const float *x, const int32_t *edges,
                                  float *out, tkg_error_slot error) {
  for (int64_t row = tkg_first_row(); row < g.n; row += tkg_row_stride())
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x) {
      const int32_t edge = edges[row * cols + j];
      const int64_t place = edge < 0 ? -1 : tkg__edge_place(g.offsets, g.order, row, edge);
      if (edge >= 0 && place < 0) tkg_report_error(error, row, edge);
      out[row * cols + j] = place < 0 ? 0.0F : x[(int64_t)g.ids[place] * cols + j];
    }
}

static int max_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = graph_of(c, 0);
  const int64_t d = tkg__cols(c->node);
  tkg_launch(max_kernel, tkg_tile(g.n, d), stream, d, g, tkg_in<float>(c, 1), tkg_in<int32_t>(c, 2),
             tkg_out<float>(c), tkg__error_slot_edges(c));
  return TKG_OK;
}

/* ---- max_grad: g[n,d], edges[n,d] -> [m,d] ---- */

struct picked : partition_sums<float> {
  enum { AHEAD = 4 };
  typedef struct {
    int32_t head, number; /* head -1: none */
  } edge;
  typedef float item;
  const float *g;
  const int32_t *edges;
  tkg_graph by_tail;

  static __device__ __forceinline__ edge no_edge(void) { return {-1, 0}; }
  __device__ __forceinline__ edge find(int64_t place) const {
    return {by_tail.ids[place], (int32_t)tkg__edge_number(&by_tail, place)};
  }
  __device__ __forceinline__ float load(edge e, int j) const {
    if (e.head < 0 || tkg_row_at(edges, e.head, cols)[j] != e.number) return 0;
    return tkg_row_at(g, e.head, cols)[j];
  }
  __device__ __forceinline__ void add(float *s, float v, int64_t) const { *s += v; }
};

static int max_grad_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = graph_of(c, TKG_GRAPH_BACKWARD);
  const int64_t d = tkg__cols(c->node);
  const tkg_edge_partition e = tkg__partition_edges(&g, NULL, 0, d, c->scratch, no_fault, stream);
  picked p = {};
  p.cols = (int)d;
  p.g = tkg_in<float>(c, 1);
  p.edges = tkg_in<int32_t>(c, 2);
  p.by_tail = g;
  p.out = tkg_out<float>(c);
  p.parts = reinterpret_cast<float *>(parts_of(c, e));
  sum_partition<picked, false>(p, e, stream);
  return TKG_OK;
}

/* ---- inverse_index: ids[b] -> position of an id's first occurrence, [n] ---- */

/* -1 is the largest unsigned number, so atomicMin keeps the smallest position in any order. */
static __global__ void inverse_index_kernel(int64_t count, int64_t n, const int32_t *ids,
                                            uint32_t *out, tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    if (tkg_check_id(ids[i], n, i, error, true)) atomicMin(&out[ids[i]], (uint32_t)i);
}

static int inverse_index_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t count = tkg__count(c->in[0]), n = c->node->shape[0];
  const tkg_error_slot error = tkg__error_slot_ids(c, n);
  tkg_set_bytes(c->out, 0xff, n * (int64_t)sizeof(int32_t), stream);
  tkg_launch(inverse_index_kernel, tkg_flat(count), stream, count, n, tkg_in<int32_t>(c, 0),
             tkg_out<uint32_t>(c), error);
  return TKG_OK;
}

/* ---- first_index: ids[b] of 0..n-1 -> position of the first occurrence of each one's id ---- */

/* first[id] = the smallest position; only numbers of listed ids are written and read. */
static __global__ void first_clear(int64_t count, int64_t n, const int32_t *ids, uint32_t *first,
                                   tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    if (tkg_check_id(ids[i], n, i, error, true)) first[ids[i]] = UINT32_MAX;
}

static __global__ void first_place(int64_t count, int64_t n, const int32_t *ids, uint32_t *first,
                                   tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    if (tkg_check_id(ids[i], n, i, error, false)) atomicMin(&first[ids[i]], (uint32_t)i);
}

static __global__ void first_read(int64_t count, int64_t n, const int32_t *ids,
                                  const uint32_t *first, uint32_t *out, tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    if (tkg_check_id(ids[i], n, i, error, false)) out[i] = first[ids[i]];
}

static int first_index_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t count = tkg__count(c->node), n = c->node->i[0];
  const tkg_error_slot error = tkg__error_slot_ids(c, n);
  const int32_t *ids = tkg_in<int32_t>(c, 0);
  uint32_t *first = static_cast<uint32_t *>(c->scratch);
  tkg_launch(first_clear, tkg_flat(count), stream, count, n, ids, first, error);
  tkg_launch(first_place, tkg_flat(count), stream, count, n, ids, first, error);
  tkg_launch(first_read, tkg_flat(count), stream, count, n, ids, (const uint32_t *)first,
             tkg_out<uint32_t>(c), error);
  return TKG_OK;
}

static int64_t first_index_scratch(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->i[0] * (int64_t)sizeof(uint32_t);
}

const tkg_cuda_op tkg__cuda_aggregate_max[] = {
    {TKG_OP_AGGREGATE_ARGMAX, argmax_run, partition_scratch},
    {TKG_OP_AGGREGATE_MAX, max_run, NULL},
    {TKG_OP_AGGREGATE_MAX_GRAD, max_grad_run, partition_scratch},
    {TKG_OP_INVERSE_INDEX, inverse_index_run, NULL},
    {TKG_OP_FIRST_INDEX, first_index_run, first_index_scratch},
    {0, NULL, NULL},
};
