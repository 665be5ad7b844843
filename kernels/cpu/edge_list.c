/* Edges by number: TRIPLES, their heads, relations and tails. NEIGHBORHOOD, to what edges lead, and
 * MERGE_INDEX, to what those of two graphs do. EDGE_WHERE, the weights of edges of some heads.
 * Edges with the same head and tail, which are neighbours in a row: PARALLEL_SUM, the sum of their
 * values. */
#include "edges.h"
#include "flat.h"
#include "ids.h"
#include "isa.h"
#include "shared/search.h"
#include "shared/vmath.h"

/* ---- triples: graph (+ numbers[n]) -> heads, relations and tails, [3,n] ---- */

static int triples(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t n = c->node->shape[1];
  const int32_t *numbers = c->data[1];
  int32_t *heads = c->out, *relations = heads + n, *tails = relations + n;
  const int status = numbers ? check_ids("triples", numbers, begin, end, g.e) : TKG_OK;
  for (int64_t i = begin; i < end && !status; i++) {
    const int64_t edge = numbers ? numbers[i] : i;
    heads[i] = (int32_t)tkg__row_of(g.offsets, g.n, edge);
    relations[i] = g.relations.ids ? tkg__relation_at(g.relations, edge) : 0;
    tails[i] = g.ids[edge];
  }
  return status;
}

static int64_t triples_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->shape[1];
}

static int64_t triples_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 16 * node->shape[1];
}

/* ---- neighborhood: graph, ids[b] (+ w[e]) -> [m] ---- */

static int neighborhood(const tkg_call *c, int64_t begin, int64_t end) {
  (void)begin, (void)end;
  const tkg_graph g = edges_graph(c);
  const int64_t count = tkg__count(c->in[1]);
  const int32_t *ids = c->data[1];
  const float *w = c->data[2];
  int32_t *out = c->out;
  const int status = check_ids("neighborhood", ids, 0, count, g.n);
  if (status) return status;
  memset(out, -1, (size_t)g.m * sizeof *out);
  for (int64_t b = 0; b < count; b++) {
    if (g.n == g.m) out[ids[b]] = ids[b];
    for (int64_t p = g.offsets[ids[b]]; p < g.offsets[ids[b] + 1]; p++)
      if (!w || w[tkg__edge_number(&g, p)] != 0) out[g.ids[p]] = g.ids[p];
  }
  return TKG_OK;
}

/* ---- merge_index: a[m], b[k] -> [m] ---- */

static int merge_index(const tkg_call *c, int64_t begin, int64_t end) {
  const int32_t *a = c->data[0], *b = c->data[1];
  const int64_t k = tkg__count(c->in[1]);
  int32_t *out = c->out;
  for (int64_t i = flat_at(c, begin); i < flat_at(c, end); i++)
    out[i] = i < k && a[i] < 0 ? b[i] : a[i];
  return TKG_OK;
}

/* ---- edge_where: graph, w[e], where[n] -> [e] ---- */

static int edge_where(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const float *w = c->data[1];
  const int32_t *where = c->data[2];
  float *out = c->out;
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++) {
    const int64_t begins = g.offsets[row], ends = g.offsets[row + 1];
    const bool kept = where[row] >= 0;
    if (g.order)
      for (int64_t p = begins; p < ends; p++) out[g.order[p]] = kept ? w[g.order[p]] : 0;
    else
      for (int64_t p = begins; p < ends; p++) out[p] = kept ? w[p] : 0;
  }
  return TKG_OK;
}

/* ---- parallel_sum: graph, s[e] -> [e]; f0 log(number of parallel edges) is added ---- */

static int parallel_sum(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const float *s = c->data[1];
  const float by = (float)c->node->f[0];
  float *out = c->out;
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++)
    for (int64_t p = g.offsets[row], next; p < g.offsets[row + 1]; p = next) {
      float sum = s[tkg__edge_number(&g, p)];
      for (next = p + 1; next < g.offsets[row + 1] && g.ids[next] == g.ids[p]; next++)
        sum += s[tkg__edge_number(&g, next)];
      if (next - p > 1) sum += by * v_log((float)(next - p));
      for (int64_t k = p; k < next; k++) out[tkg__edge_number(&g, k)] = sum;
    }
  return TKG_OK;
}

static int64_t edges_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 2 * node->i[2];
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_edge_list)[] = {
    {.op = TKG_OP_TRIPLES, .run = triples, .units = triples_units, .work = triples_work},
    {.op = TKG_OP_NEIGHBORHOOD, .run = neighborhood, .units = one_unit},
    {.op = TKG_OP_MERGE_INDEX, .run = merge_index, .units = flat_units, .work = flat_work_1},
    {.op = TKG_OP_EDGE_WHERE, .run = edge_where, .units = edges_units, .work = edges_work},
    {.op = TKG_OP_PARALLEL_SUM, .run = parallel_sum, .units = edges_units, .work = edges_work},
    {0},
};
