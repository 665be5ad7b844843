/* Edges by number: TRIPLES, their heads, relations and tails. NEIGHBORHOOD, to what edges lead, and
 * MERGE_INDEX, to what those of two graphs do. EDGE_WHERE, the weights of edges of some heads.
 * Edges with the same head and tail, which are neighbours in a row: PARALLEL_SUM, the sum of their
 * values, in order.
 *
 * One thread per edge, which reads 13 to 16 bytes of it; a binary search finds the row of an edge,
 * for a sum only where the edge's neighbour in the list has the same tail, as few do. */
#include "device_errors.h"
#include "family.h"
#include "launch.h"

/* ---- triples: graph (+ numbers[n]) -> heads, relations and tails, [3,n] ---- */

static __global__ void triples_kernel(int64_t n, tkg_graph g, const int32_t *numbers, int32_t *out,
                                      tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) {
    const int64_t edge = numbers ? numbers[i] : i;
    if (numbers && !tkg_check_id(numbers[i], g.e, i, error, true)) continue;
    out[i] = (int32_t)tkg__row_of(g.offsets, g.n, edge);
    out[n + i] = g.relations.ids ? tkg__relation_at(g.relations, edge) : 0;
    out[2 * n + i] = g.ids[edge];
  }
}

static int triples_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t n = c->node->shape[1];
  tkg_launch(triples_kernel, tkg_flat(n), stream, n, g, tkg_in<int32_t>(c, 1), tkg_out<int32_t>(c),
             tkg__error_slot_ids(c, g.e));
  return TKG_OK;
}

/* ---- neighborhood: graph, ids[b] of heads (+ w[e]) -> [m] ---- */

/* A group of threads per id; several may write the same number. */
static __global__ void neighborhood_kernel(int64_t count, tkg_graph g, const int32_t *ids,
                                           const float *w, int32_t *out, tkg_error_slot error) {
  for (int64_t b = tkg_first_row(); b < count; b += tkg_row_stride()) {
    const int32_t id = ids[b];
    if (!tkg_check_id(id, g.n, b, error, threadIdx.x == 0)) continue;
    if (g.n == g.m && threadIdx.x == 0) out[id] = id;
    for (int64_t p = g.offsets[id] + threadIdx.x; p < g.offsets[id + 1]; p += blockDim.x)
      if (!w || w[tkg__edge_number(&g, p)] != 0) out[g.ids[p]] = g.ids[p];
  }
}

static int neighborhood_run(const tkg_call *c, cudaStream_t stream) {
  enum { WIDTH = 32 };
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t count = tkg__count(c->in[1]);
  const tkg_error_slot error = tkg__error_slot_ids(c, g.n);
  tkg_set_bytes(c->out, 0xff, g.m * (int64_t)sizeof(int32_t), stream);
  tkg_launch(neighborhood_kernel, tkg_tile(count, WIDTH), stream, count, g, tkg_in<int32_t>(c, 1),
             tkg_in<float>(c, 2), tkg_out<int32_t>(c), error);
  return TKG_OK;
}

/* ---- merge_index: a[m], b[k] -> [m] ---- */

static __global__ void merge_kernel(int64_t m, int64_t k, const int32_t *a, const int32_t *b,
                                    int32_t *out) {
  for (int64_t i = tkg_first(); i < m; i += tkg_stride()) out[i] = i < k && a[i] < 0 ? b[i] : a[i];
}

static int merge_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t m = tkg__count(c->node);
  tkg_launch(merge_kernel, tkg_flat(m), stream, m, tkg__count(c->in[1]), tkg_in<int32_t>(c, 0),
             tkg_in<int32_t>(c, 1), tkg_out<int32_t>(c));
  return TKG_OK;
}

/* ---- edge_where: graph, w[e], where[n] -> [e] ---- */

static __global__ void edge_where_kernel(tkg_graph g, const float *w, const int32_t *where,
                                         float *out) {
  for (int64_t p = tkg_first(); p < g.e; p += tkg_stride()) {
    const int64_t edge = tkg__edge_number(&g, p);
    out[edge] = where[tkg__row_of(g.offsets, g.n, p)] < 0 ? 0 : w[edge];
  }
}

static int edge_where_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  tkg_launch(edge_where_kernel, tkg_flat(g.e), stream, g, tkg_in<float>(c, 1),
             tkg_in<int32_t>(c, 2), tkg_out<float>(c));
  return TKG_OK;
}

/* ---- parallel_sum: graph, s[e] -> [e]; f0 log(number of parallel edges) is added ---- */

static __global__ void parallel_kernel(tkg_graph g, float by, const float *s, float *out) {
  for (int64_t p = tkg_first(); p < g.e; p += tkg_stride()) {
    const int32_t tail = g.ids[p];
    int64_t first = p, last = p;
    if ((p > 0 && g.ids[p - 1] == tail) || (p + 1 < g.e && g.ids[p + 1] == tail)) {
      const int64_t row = tkg__row_of(g.offsets, g.n, p);
      while (first > g.offsets[row] && g.ids[first - 1] == tail) first--;
      while (last + 1 < g.offsets[row + 1] && g.ids[last + 1] == tail) last++;
    }
    float sum = s[tkg__edge_number(&g, first)];
    for (int64_t k = first + 1; k <= last; k++) sum += s[tkg__edge_number(&g, k)];
    if (last > first) sum += by * v_log((float)(last - first + 1));
    out[tkg__edge_number(&g, p)] = sum;
  }
}

static int parallel_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  tkg_launch(parallel_kernel, tkg_flat(g.e), stream, g, (float)c->node->f[0], tkg_in<float>(c, 1),
             tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_edge_list[] = {
    {TKG_OP_TRIPLES, triples_run, NULL},       {TKG_OP_NEIGHBORHOOD, neighborhood_run, NULL},
    {TKG_OP_MERGE_INDEX, merge_run, NULL},     {TKG_OP_EDGE_WHERE, edge_where_run, NULL},
    {TKG_OP_PARALLEL_SUM, parallel_run, NULL}, {0, NULL, NULL},
};
