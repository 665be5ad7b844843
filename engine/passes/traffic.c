/* One written formula per op: the column `traffic` of ops.def. Each begins with every input read
 * once and the result written once, and changes what differs. */
#include "traffic.h"

#include "data/packed_graph.h"

typedef struct counter {
  const tkg_node *n;
  const tkg_node *const *in;
  double per; /* flops per unit, of ops.def */
  tkg_traffic t;
  double again; /* bytes that pass through the cache more often than through memory */
} counter;

static double elements(const tkg_node *n) { return (double)tkg__count(n); }
static double rows(const tkg_node *n) { return (double)tkg__rows(n); }
static double cols(const tkg_node *n) { return (double)tkg__cols(n); }
static double smaller(double a, double b) { return a < b ? a : b; }
static double row_bytes(const tkg_node *n) {
  return tkg__rows(n) > 0 ? (double)tkg__bytes(n) / rows(n) : 0;
}

/* `count` rows of input k are read, by ids: from memory each of them once. */
static void rows_by_id(counter *c, int k, double count) {
  const double row = row_bytes(c->in[k]);
  c->t.read[k] = smaller(count, rows(c->in[k])) * row;
  c->again += count * row - c->t.read[k];
}

/* ---- rows ---- */

static void traffic_once(counter *c) { c->t.flops = c->per * elements(c->n); }

/* For what has no kernel. */
static void traffic_nothing(counter *c) { c->t = (tkg_traffic){.written = 0}; }

/* Flops of each element of input 0. */
static void traffic_operand(counter *c) { c->t.flops = c->per * elements(c->in[0]); }

/* Of an input no more elements than the result has. */
static void traffic_part(counter *c) {
  for (int k = 0; k < c->n->inputs; k++) c->t.read[k] = smaller(c->t.read[k], 4 * elements(c->n));
}

/* Flops of each product of two numbers. */
static void traffic_matmul(counter *c) {
  const tkg_node *a = c->in[0];
  c->t.flops = c->per * elements(c->n) * (c->n->i[0] ? rows(a) : cols(a));
}

static void traffic_batched_matmul(counter *c) {
  const tkg_node *a = c->in[0];
  const int64_t inner = a->shape[a->rank - (c->n->i[0] ? 2 : 1)];
  c->t.flops = c->per * elements(c->n) * (double)inner;
}

/* The same, of rows through matrices of their own kind. */
static void traffic_grouped(counter *c) {
  const double other = c->n->op == TKG_OP_GROUPED_MATMUL ? cols(c->n) : cols(c->in[1]);
  c->t.flops = c->per * elements(c->in[0]) * other;
}

/* Flops of each product of two numbers, of every row of x with every row of y. */
static void each_with_each(counter *c, int x) {
  c->t.flops = c->per * elements(c->in[x]) * rows(c->in[x + 1]);
}
static void traffic_product_logsumexp(counter *c) { each_with_each(c, 0); }
static void traffic_product_logsumexp_grad(counter *c) { each_with_each(c, 1); }

/* ---- rows by id ---- */

static void traffic_gather(counter *c) { rows_by_id(c, 0, elements(c->in[1])); }

/* A row of the result for each id, read and written in the cache. */
static void traffic_scatter_add(counter *c) {
  c->again += 2 * elements(c->in[1]) * row_bytes(c->n);
  c->t.flops = c->per * elements(c->in[0]);
}

/* u[b,d], r[m,d], ids[b,j]: flops of each id and column. */
static void traffic_relation_score(counter *c) {
  rows_by_id(c, 1, elements(c->n));
  c->t.flops = c->per * elements(c->n) * cols(c->in[0]);
}

/* Of k neighbours per row: flops of each neighbour and column. */
static void neighbors(counter *c, double count, double width) {
  if (c->n->inputs > 2) rows_by_id(c, 1, count);
  c->t.flops = c->per * count * width;
}
static void traffic_neighbor_sum(counter *c) { neighbors(c, elements(c->in[0]), cols(c->n)); }
static void traffic_neighbor_dot(counter *c) { neighbors(c, elements(c->n), cols(c->in[0])); }
static void traffic_neighbor_scatter(counter *c) {
  c->again += 2 * elements(c->in[2]) * row_bytes(c->n);
  c->t.flops = c->per * elements(c->in[0]) * cols(c->n);
}

/* ---- graphs: flops of each edge and column ---- */

static bool is_backward(const tkg_node *n) { return n->i[3] & TKG_GRAPH_BACKWARD; }
static double heads_of(const tkg_node *n) { return (double)n->i[is_backward(n) ? 1 : 0]; }
static double tails_of(const tkg_node *n) { return (double)n->i[is_backward(n) ? 0 : 1]; }
static double edges_of(const tkg_node *n) { return (double)n->i[2]; }

/* The share of the edges that these heads have. */
static double share_of(const tkg_node *n, double heads) {
  return heads_of(n) > 0 ? heads / heads_of(n) : 0;
}

/* Bytes of one orientation that `edges` of `heads` take: offsets, ids, and where edges have values
 * or relations, their numbers and relations. */
static double graph_bytes(const tkg_node *n, double heads, double edges, bool relations,
                          bool values) {
  const bool numbers = is_backward(n) && (relations || values);
  const int kind = relations ? tkg__relation_bytes(n->i[3]) : 0;
  return 4 * (heads + 1) + edges * (4 + kind + (numbers ? 4 : 0));
}

/* A sum over edges of rows of input 1. */
typedef struct edge_sum {
  bool relations;
  int weights;     /* input that has them, if it is there */
  double heads;    /* that are summed over */
  double row_rate; /* rows that are read of each edge */
} edge_sum;

static void sum_edges(counter *c, edge_sum s) {
  const bool weighted = c->n->inputs > s.weights;
  const double share = share_of(c->n, s.heads), edges = edges_of(c->n) * share;
  c->t.read[0] = graph_bytes(c->n, s.heads, edges, s.relations, weighted);
  if (weighted) c->t.read[s.weights] *= share;
  if (c->n->inputs > s.weights + 1) c->t.read[s.weights + 1] = 0; /* gradients alone read it */
  rows_by_id(c, 1, edges * s.row_rate);
  c->t.flops = (c->per + (weighted ? 1 : 0)) * edges * s.row_rate * cols(c->n);
}

static void traffic_aggregate(counter *c) { sum_edges(c, (edge_sum){false, 2, heads_of(c->n), 1}); }
static void traffic_aggregate_mul(counter *c) {
  sum_edges(c, (edge_sum){true, 3, heads_of(c->n), 1});
}
static void traffic_aggregate_rows(counter *c) {
  sum_edges(c, (edge_sum){false, 3, elements(c->in[2]), 1});
}
static void traffic_aggregate_mul_rows(counter *c) {
  sum_edges(c, (edge_sum){true, 4, elements(c->in[3]), 1});
}

/* Of the tails, few have a row. */
static double indexed(const counter *c) {
  return tails_of(c->n) > 0 ? smaller(1, rows(c->in[1]) / tails_of(c->n)) : 0;
}
static void traffic_aggregate_indexed(counter *c) {
  sum_edges(c, (edge_sum){false, 3, heads_of(c->n), indexed(c)});
}
static void traffic_aggregate_where(counter *c) { /* at most: which rows is not known */
  sum_edges(c, (edge_sum){false, 3, heads_of(c->n), 1});
}
static void traffic_aggregate_mul_indexed(counter *c) {
  sum_edges(c, (edge_sum){true, 4, heads_of(c->n), indexed(c)});
}

/* A product of two rows, or of three, for each of `edges`; a head's row is read once. */
static void products(counter *c, double heads, double edges, bool relations) {
  c->t.read[0] = graph_bytes(c->n, heads, edges, relations, false);
  rows_by_id(c, 2, edges);
}
static void traffic_sddmm(counter *c) {
  const double edges = edges_of(c->n), factors = c->n->inputs > 3 ? 1 : 0;
  products(c, heads_of(c->n), edges, factors > 0);
  c->t.flops = (c->per + factors) * edges * cols(c->in[2]);
}
static void traffic_aggregate_relation(counter *c) {
  const double edges = edges_of(c->n), factors = c->n->inputs > 3 ? 1 : 0;
  products(c, heads_of(c->n), edges, true);
  c->t.flops = (c->per + factors) * edges * cols(c->n);
}
static void traffic_aggregate_relation_rows(counter *c) {
  const double heads = elements(c->in[3]), share = share_of(c->n, heads);
  const double edges = edges_of(c->n) * share, factors = c->n->inputs > 4 ? 1 : 0;
  products(c, heads, edges, true);
  if (factors > 0) c->t.read[4] *= share;
  c->t.flops = (c->per + factors) * edges * cols(c->n);
}

/* How many edges the relation has is not known: one for each of its heads at least. */
static void traffic_sddmm_relation(counter *c) {
  const double edges = elements(c->in[3]);
  products(c, edges, edges, true);
  c->t.flops = c->per * edges * cols(c->in[1]);
}

/* Values of edges, by head: offsets are all that is read of the graph; or by tail too. */
static void traffic_by_head(counter *c) {
  c->t.read[0] = 4 * (heads_of(c->n) + 1);
  traffic_once(c);
}
static void traffic_by_tail(counter *c) {
  c->t.read[0] = graph_bytes(c->n, heads_of(c->n), edges_of(c->n), false, false);
  traffic_once(c);
}

/* Offsets are searched for the head of an edge that a list names. */
static void traffic_triples(counter *c) {
  const double edges = (double)c->n->shape[1], all = edges_of(c->n);
  const double heads = c->n->inputs > 1 ? smaller(edges, heads_of(c->n)) : heads_of(c->n);
  c->t.read[0] = graph_bytes(c->n, heads, smaller(edges, all), true, false);
}

static void traffic_aggregate_argmax(counter *c) {
  c->t.read[0] = graph_bytes(c->n, heads_of(c->n), edges_of(c->n), false, false);
  rows_by_id(c, 1, edges_of(c->n));
}

/* An element, not a row, per edge that input 2 names. */
static void traffic_aggregate_max(counter *c) {
  c->t.read[0] = 4 * smaller(elements(c->n), edges_of(c->n));
  c->again += 4 * elements(c->n);
}
static void traffic_aggregate_max_grad(counter *c) {
  c->t.read[0] = 4 * smaller(elements(c->in[1]), edges_of(c->n));
  c->again += 8 * elements(c->in[1]);
  traffic_operand(c);
}

/* ---- updates ---- */

/* What is updated is read and written; the result is the parameter itself. */
static void traffic_update(counter *c) {
  c->t.written = 0;
  for (int k = 0; k < c->n->inputs; k++)
    if (tkg__op_reads(c->n->op, k) == 'u') c->t.written += c->t.read[k];
  c->t.flops = c->per * elements(c->in[0]);
}

/* The same of the rows that are listed, if some are; an id that is listed twice counts twice. */
static void traffic_update_rows(counter *c) {
  const bool listed = c->n->inputs == 6;
  const double all = rows(c->in[0]);
  const double share = listed && all > 0 ? smaller(1, elements(c->in[4]) / all) : 1;
  for (int k = 0; k < 4; k++)
    if (k != 1 || !c->n->i[3]) c->t.read[k] *= share;
  traffic_update(c);
  c->t.flops *= share;
}

/* ---- from an op to its formula ---- */

#define X(name, text, reads, rows, columns, flags, shape, vjp, saved, traffic, flops)              \
  [TKG_OP_##name] = {traffic_##traffic, flops},
static const struct {
  void (*count)(counter *c);
  double flops;
} formulas[TKG_OP_COUNT] = {
#include "base/ops.def"
};
#undef X

tkg_traffic tkg__traffic(const tkg_node *n, const tkg_node *const *in) {
  counter c = {.n = n, .in = in, .per = formulas[n->op].flops};
  for (int k = 0; k < n->inputs; k++) c.t.read[k] = (double)tkg__bytes(in[k]);
  c.t.written = (double)tkg__bytes(n);
  formulas[n->op].count(&c);
  c.t.cached = c.t.written + c.again;
  for (int k = 0; k < n->inputs; k++) c.t.cached += c.t.read[k];
  return c.t;
}
