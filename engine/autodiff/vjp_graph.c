/* Gradients of the ops on whole graphs. A sum over edges is passed back by a sum over the same
 * edges the other way; nothing is made per edge and column. */
#include "data/packed_graph.h"
#include "vjp.h"

/* A node on the same graph; with `way` BACKWARD, gone through the other way than the forward op. */
static tkg_node on_graph(const tkg_vjp *v, int64_t way) {
  tkg_node node = {0};
  memcpy(node.i, self(v)->i, sizeof node.i);
  node.i[3] ^= way;
  return node;
}

/* Records an op on the graph with up to three further inputs; -1 ends them. */
static int graph_op(tkg_vjp *v, tkg_node node, int op, int a, int b, int c, int d) {
  int32_t inputs[] = {in(v, 0), a, b, c, d};
  int n = d >= 0 ? 5 : c >= 0 ? 4 : b >= 0 ? 3 : 2;
  return tkg__record(v->tape, &node, op, n, inputs, v->tape->side[v->self].where);
}

/* ---- sums over edges ---- */

/* The parts of an AGGREGATE: input numbers' nodes, -1 for what it does not have. */
typedef struct sum {
  int x, r, rows, w, back;
  int x_at, r_at, w_at; /* input numbers */
  bool backward;
} sum;

static sum sum_of(const tkg_vjp *v) {
  int op = self(v)->op, at = 1;
  bool mul = op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_MUL_ROWS;
  bool rows = op == TKG_OP_AGGREGATE_ROWS || op == TKG_OP_AGGREGATE_MUL_ROWS;
  sum s = {
      .r = -1, .rows = -1, .w = -1, .back = -1, .backward = self(v)->i[3] & TKG_GRAPH_BACKWARD};
  s.x = in(v, s.x_at = at++);
  if (mul) s.r = in(v, s.r_at = at++);
  if (rows) s.rows = in(v, at++);
  if (at < self(v)->inputs) s.w = in(v, s.w_at = at++);
  if (at < self(v)->inputs) s.back = in(v, at);
  return s;
}

/* A node that sums the other way. Where the weights of the edges that lead back are known, that is
 * the same way by those: they are read in turn, and not by the number of the other edge. */
static tkg_node other_way(const tkg_vjp *v, const sum *s, int *w) {
  *w = s->back >= 0 ? s->back : s->w;
  return on_graph(v, s->back >= 0 ? 0 : TKG_GRAPH_BACKWARD);
}

/* The place of each node among `rows`, -1 for none. */
static int places_of(tkg_vjp *v, int rows, bool backward) {
  tkg_node all = {.rank = 1};
  all.shape[0] = self(v)->i[backward ? 1 : 0];
  return record(v, all, TKG_OP_INVERSE_INDEX, rows, -1, -1);
}

/* Rows may name a head more than once: their gradients are added first, at its first occurrence. */
static int gathered_back(tkg_vjp *v, const sum *s) {
  int row_of = places_of(v, s->rows, s->backward), w;
  if (row_of < 0) return -1;
  int first = two(v, TKG_OP_GATHER, row_of, s->rows);
  if (first < 0) return -1;
  int g = record(v, shaped(node_of(v, v->g)), TKG_OP_SCATTER_ADD, v->g, first, -1);
  if (g < 0) return -1;
  tkg_node node = other_way(v, s, &w);
  if (s->r >= 0) return graph_op(v, node, TKG_OP_AGGREGATE_MUL_INDEXED, g, s->r, row_of, w);
  return graph_op(v, node, TKG_OP_AGGREGATE_INDEXED, g, row_of, w, -1);
}

static int to_nodes(tkg_vjp *v, const sum *s) {
  if (s->rows >= 0) return gathered_back(v, s);
  int w;
  tkg_node node = other_way(v, s, &w);
  if (s->r >= 0) return graph_op(v, node, TKG_OP_AGGREGATE_MUL, v->g, s->r, w, -1);
  return graph_op(v, node, TKG_OP_AGGREGATE, v->g, w, -1, -1);
}

/* The gradient by head and the values by tail, whichever way the sum went. */
static void ends(const sum *s, int g, int *head, int *tail) {
  *head = s->backward ? s->x : g;
  *tail = s->backward ? g : s->x;
}

static int to_relations(tkg_vjp *v, const sum *s) {
  int head, tail;
  tkg_node node = on_graph(v, 0);
  node.rank = 2;
  memcpy(node.shape, node_of(v, s->r)->shape, sizeof node.shape);
  if (s->rows >= 0)
    return graph_op(v, node, TKG_OP_AGGREGATE_RELATION_ROWS, v->g, s->x, s->rows, s->w);
  node.i[3] &= ~(int64_t)TKG_GRAPH_BACKWARD;
  ends(s, v->g, &head, &tail);
  return graph_op(v, node, TKG_OP_AGGREGATE_RELATION, head, tail, s->w, -1);
}

/* Every edge has a gradient, also those of heads that were not asked for: zero. */
static int to_weights(tkg_vjp *v, const sum *s) {
  int head, tail, g = v->g;
  if (s->rows >= 0) {
    tkg_node all = {.rank = 2};
    all.shape[0] = self(v)->i[s->backward ? 1 : 0];
    all.shape[1] = tkg__cols(node_of(v, g));
    g = record(v, all, TKG_OP_SCATTER_ADD, g, s->rows, -1);
    if (g < 0) return -1;
  }
  tkg_node node = on_graph(v, 0);
  node.i[3] &= ~(int64_t)TKG_GRAPH_BACKWARD;
  ends(s, g, &head, &tail);
  return graph_op(v, node, TKG_OP_SDDMM, head, tail, s->r, -1);
}

/* The gradient of x comes last: the copy of x that the others read is then gone before that, which
 * is as large, is made. */
int tkg__vjp_aggregate(tkg_vjp *v) {
  const sum s = sum_of(v);
  int status = TKG_OK;
  if (s.r >= 0 && wants(v, s.r_at)) status = accumulate(v, s.r_at, to_relations(v, &s));
  if (!status && s.w >= 0 && wants(v, s.w_at)) status = accumulate(v, s.w_at, to_weights(v, &s));
  return !status && wants(v, s.x_at) ? accumulate(v, s.x_at, to_nodes(v, &s)) : status;
}

/* s[e] = a[head] . b[tail] (r[rel]): the gradient of an edge is a weight of it. */
int tkg__vjp_sddmm(tkg_vjp *v) {
  int a = in(v, 1), b = in(v, 2), r = self(v)->inputs > 3 ? in(v, 3) : -1, status = TKG_OK;
  for (int k = 1; k <= 2 && !status; k++) {
    if (!wants(v, k)) continue;
    tkg_node node = on_graph(v, k == 2 ? TKG_GRAPH_BACKWARD : 0);
    int other = k == 1 ? b : a;
    status = accumulate(v, k,
                        r >= 0 ? graph_op(v, node, TKG_OP_AGGREGATE_MUL, other, r, v->g, -1)
                               : graph_op(v, node, TKG_OP_AGGREGATE, other, v->g, -1, -1));
  }
  if (status || r < 0 || !wants(v, 3)) return status;
  tkg_node node = on_graph(v, 0);
  node.rank = 2;
  memcpy(node.shape, node_of(v, r)->shape, sizeof node.shape);
  return accumulate(v, 3, graph_op(v, node, TKG_OP_AGGREGATE_RELATION, a, b, v->g, -1));
}

/* Vectors of relations [kinds,d]: ones for one of them, zeros for the others. */
static int pick_relation(tkg_vjp *v, int64_t relation, int64_t d) {
  tkg_node one = {.rank = 2, .f = {1}}, all = {.rank = 2, .i = {0, relation}};
  one.shape[0] = 1, one.shape[1] = d;
  all.shape[0] = tkg__graph_kinds(self(v)->i[3]), all.shape[1] = d;
  int ones = tkg__record(v->tape, &one, TKG_OP_FULL, 0, NULL, v->tape->side[v->self].where);
  return ones < 0 ? -1 : record(v, all, TKG_OP_PAD, ones, -1, -1);
}

/* Sums over the same edges, which the relation picks: those of other relations add zero. */
int tkg__vjp_sddmm_relation(tkg_vjp *v) {
  int a = in(v, 1), b = in(v, 2), heads = in(v, 3), status = TKG_OK;
  if (wants(v, 4)) status = accumulate(v, 4, v->g);
  if (status || !(wants(v, 1) || wants(v, 2))) return status;
  int r = pick_relation(v, (int64_t)self(v)->f[0], tkg__cols(node_of(v, a)));
  if (r < 0) return TKG_E_SHAPE;
  if (wants(v, 1))
    status =
        accumulate(v, 1, graph_op(v, on_graph(v, 0), TKG_OP_AGGREGATE_MUL_ROWS, b, r, heads, v->g));
  if (status || !wants(v, 2)) return status;
  int row_of = places_of(v, heads, false);
  if (row_of < 0) return TKG_E_SHAPE;
  return accumulate(v, 2,
                    graph_op(v, on_graph(v, TKG_GRAPH_BACKWARD), TKG_OP_AGGREGATE_MUL_INDEXED, a, r,
                             row_of, v->g));
}

int tkg__vjp_edge_softmax(tkg_vjp *v) {
  return accumulate(v, 1,
                    graph_op(v, on_graph(v, 0), TKG_OP_EDGE_SOFTMAX_GRAD, v->g, v->self, -1, -1));
}

/* Edges are parallel to each other: the sum is its own transpose. Its f0 is 0. */
int tkg__vjp_parallel_sum(tkg_vjp *v) {
  return accumulate(v, 1, graph_op(v, on_graph(v, 0), TKG_OP_PARALLEL_SUM, v->g, -1, -1, -1));
}

int tkg__vjp_aggregate_max(tkg_vjp *v) {
  return accumulate(v, 1,
                    graph_op(v, on_graph(v, 0), TKG_OP_AGGREGATE_MAX_GRAD, v->g, in(v, 2), -1, -1));
}

/* ---- rows through matrices of their own kind ---- */

int tkg__vjp_grouped_matmul(tkg_vjp *v) {
  bool t = self(v)->i[0];
  int x = in(v, 0), w = in(v, 1), ids = in(v, 2), status = TKG_OK;
  if (wants(v, 1))
    status = accumulate(
        v, 1,
        record(v, shaped(node_of(v, w)), TKG_OP_GROUPED_OUTER, t ? v->g : x, t ? x : v->g, ids));
  if (status || !wants(v, 0)) return status;
  return accumulate(v, 0, record(v, (tkg_node){.i = {!t}}, TKG_OP_GROUPED_MATMUL, v->g, w, ids));
}
