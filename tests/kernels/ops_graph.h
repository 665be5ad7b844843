/* Cases of the ops on whole graphs and on rows of several kinds: nodes without edges, hubs, self
 * loops, repeated edges, symmetric graphs, which are stored once, and graphs with one orientation.
 */
#ifndef TKG_OPS_GRAPH_H
#define TKG_OPS_GRAPH_H

#include "ops.h"

extern "C" {
#include "data/packed_graph.h"
}

/* The engine's, found when it is opened. */
static int64_t (*graph_length)(int64_t n, int64_t m, int64_t e, int64_t layout);
static int (*graph_pack)(int64_t n, int64_t m, int64_t e, const int32_t *heads,
                         const int32_t *relations, const int32_t *tails, int64_t layout,
                         int32_t *packed, int64_t *found, int32_t *place);

struct graph {
  int64_t n, m, e; /* in the orientation of the op */
  int64_t relations;
  int64_t i[4];
  array packed;
};

struct edges {
  std::vector<int32_t> heads, relations, tails;
  void add(int64_t head, int64_t relation, int64_t tail) {
    heads.push_back((int32_t)head);
    relations.push_back((int32_t)relation);
    tails.push_back((int32_t)tail);
  }
};

/* Most ids are of some of the nodes, so that the others have no edge. */
static edges random_edges(int64_t n, int64_t m, int64_t e, int64_t relations) {
  edges all;
  const int64_t hub = below(n), popular = below(m), some = 1 + below(n), which = below(4);
  if (n == 0 || m == 0) return all;
  for (int64_t k = 0; k < e; k++) {
    const int64_t head = which == 0 && below(4) ? hub : below(some);
    const int64_t tail = which == 1 && below(4) ? popular : below(m);
    all.add(head, below(relations), below(20) ? tail : head % m);
    if (below(20) == 0) all.add(all.heads[(size_t)below(k)], 0, all.tails[(size_t)below(k)]);
  }
  return all;
}

static graph pack(const edges &all, int64_t n, int64_t m, int64_t relations, int64_t layout) {
  graph g = {n, m, (int64_t)all.heads.size(), relations, {}, {}};
  const int64_t length = graph_length(n, m, g.e, layout);
  g.packed = {node_of(TKG_OP_LEAF, TKG_I32, {length}), {}};
  g.packed.bytes.resize((size_t)length * 4);
  if (graph_pack(n, m, g.e, all.heads.data(), all.relations.data(), all.tails.data(), layout,
                 g.packed.i(), &layout, NULL))
    fprintf(stderr, "ops: %s\n", cpu_error()), exit(2);
  g.packed.node.shape[0] = graph_length(n, m, g.e, layout);
  g.packed.bytes.resize((size_t)g.packed.node.shape[0] * 4);
  if (!(layout & TKG_GRAPH_ONE_WAY) && below(2)) {
    layout |= TKG_GRAPH_BACKWARD;
    std::swap(g.n, g.m);
  }
  const int64_t i[4] = {n, m, g.e, layout};
  memcpy(g.i, i, sizeof i);
  return g;
}

static graph random_graph(int64_t e) {
  static const int64_t sizes[] = {1, 2, 5, 31, 100, 300};
  const int64_t n = sizes[below(6)], m = below(3) ? sizes[below(6)] : n;
  static const int64_t kinds[] = {6, 6, 6, 70, 400, 70000}; /* ids of one, two and four bytes */
  const int64_t relations = 1 + below(kinds[below(6)]);
  edges all = random_edges(n, m, e, relations);
  if (n == m && below(2))
    for (size_t k = 0, count = all.heads.size(); k < count; k++)
      all.add(all.tails[k], all.relations[k], all.heads[k]);
  return pack(all, n, m, relations,
              TKG_GRAPH_RELATIONS | (below(4) ? 0 : (int64_t)TKG_GRAPH_ONE_WAY));
}

static tkg_node graph_op(const graph &g, int op, int dtype, const dims &shape) {
  tkg_node node = node_of(op, dtype, shape);
  memcpy(node.i, g.i, sizeof node.i);
  return node;
}

static int64_t some_width(void) {
  static const int64_t widths[] = {1, 3, 4, 8, 16, 31, 64, 65, 0, 132};
  return widths[below(below(5) ? 8 : 10)];
}

static int64_t some_edges(void) {
  static const int64_t counts[] = {0, 1, 3, 70, 300, 1500};
  return counts[below(6)];
}

static array vectors(const graph &g, int64_t d) { return floats({g.relations, d}); }

/* Optional weights. */
static void weigh(std::vector<array> &in, tkg_node *node, const graph &g) {
  if (below(2)) in.push_back(floats({g.e}));
  node->inputs = (uint8_t)in.size();
}

/* Rows of a table, of 32 or 16 bits. */
static array table(const dims &shape) { return below(3) ? floats(shape) : halves(floats(shape)); }

/* The tolerance of sums over edges: terms of both signs cancel, their roundings do not. */
static double sums_of(const graph &g, int64_t times = 1) {
  return SUMS * fmax(1, sqrt((double)(g.e * times)) / 8);
}

static void sums_by_head(const graph &g, int64_t d) {
  for (int mul = 0; mul < 2; mul++) {
    tkg_node node = graph_op(g, mul ? TKG_OP_AGGREGATE_MUL : TKG_OP_AGGREGATE, TKG_F32, {g.n, d});
    std::vector<array> in = {g.packed, below(2) ? maybe_coded(floats({g.m, d})) : table({g.m, d})};
    if (mul) in.push_back(vectors(g, d));
    weigh(in, &node, g);
    compare(&node, in, sums_of(g), -1);
  }
}

static void sums_by_rows(const graph &g, int64_t d) {
  const int64_t b = below(6) ? some_rows() : 2000;
  for (int mul = 0; mul < 2; mul++) {
    tkg_node node =
        graph_op(g, mul ? TKG_OP_AGGREGATE_MUL_ROWS : TKG_OP_AGGREGATE_ROWS, TKG_F32, {b, d});
    std::vector<array> in = {g.packed,
                             below(2) ? maybe_coded(floats({g.m, d}), true) : table({g.m, d})};
    if (mul) in.push_back(vectors(g, d));
    in.push_back(ids({b}, g.n));
    spoil(in.back(), g.n);
    weigh(in, &node, g);
    compare(&node, in, sums_of(g), -1);
  }
}

/* A bad row belongs to a tail with an edge: others are not read. */
static void sums_indexed(const graph &g, int64_t d) {
  const int64_t b = some_rows();
  for (int mul = 0; mul < 2; mul++) {
    tkg_node node = graph_op(g, mul ? TKG_OP_AGGREGATE_MUL_INDEXED : TKG_OP_AGGREGATE_INDEXED,
                             TKG_F32, {g.n, d});
    std::vector<array> in = {g.packed, floats({b, d})};
    if (mul) in.push_back(vectors(g, d));
    array row_of = ids({g.m}, b);
    for (int64_t t = 0; t < g.m; t++)
      if (b == 0 || below(3)) row_of.i()[t] = -1;
    if (g.e > 0 && below(10) == 0)
      row_of.i()[tkg__graph_of(in[0].i(), g.i).ids[below(g.e)]] = (int32_t)(b + below(3));
    in.push_back(row_of);
    weigh(in, &node, g);
    compare(&node, in, sums_of(g), -1);
  }
}

static void sums_where(const graph &g, int64_t d) {
  tkg_node node = graph_op(g, TKG_OP_AGGREGATE_WHERE, TKG_F32, {g.n, d});
  array where = ids({g.n}, g.n);
  for (int64_t i = 0; i < g.n; i++)
    if (below(3)) where.i()[i] = -1;
  std::vector<array> in = {g.packed, maybe_coded(floats({g.m, d})), where};
  weigh(in, &node, g);
  compare(&node, in, sums_of(g), -1);
}

static void neighborhood(const graph &g) {
  tkg_node node = graph_op(g, TKG_OP_NEIGHBORHOOD, TKG_I32, {g.m});
  std::vector<array> in = {g.packed, ids({some_rows()}, g.n)};
  spoil(in.back(), g.n);
  weigh(in, &node, g);
  for (int64_t e = 0; e < g.e && in.size() > 2; e++)
    if (below(2)) in[2].f()[e] = 0;
  compare(&node, in, 0, -1);
  const int64_t k = g.m > 0 ? (int64_t)below(g.m + 1) : 0;
  node = node_of(TKG_OP_MERGE_INDEX, TKG_I32, {g.m});
  array a = ids({g.m}, g.m + 1), b = ids({k}, g.m + 1);
  for (int64_t i = 0; i < g.m; i++) a.i()[i]--;
  for (int64_t i = 0; i < k; i++) b.i()[i]--;
  in = {a, b};
  compare(&node, in, 0, -1);
}

static void edges_where(const graph &g) {
  tkg_node node = graph_op(g, TKG_OP_EDGE_WHERE, TKG_F32, {g.e});
  array where = ids({g.n}, g.n);
  for (int64_t i = 0; i < g.n; i++)
    if (below(3)) where.i()[i] = -1;
  std::vector<array> in = {g.packed, floats({g.e}), where};
  compare(&node, in, 0, -1);
}

static void by_relation(const graph &g, int64_t d) {
  tkg_node node = graph_op(g, TKG_OP_AGGREGATE_RELATION, TKG_F32, {g.relations, d});
  std::vector<array> in = {g.packed, maybe_coded(floats({g.n, d})), floats({g.m, d})};
  weigh(in, &node, g);
  compare(&node, in, sums_of(g), -1);
  const int64_t b = some_rows();
  node = graph_op(g, TKG_OP_AGGREGATE_RELATION_ROWS, TKG_F32, {g.relations, d});
  in = {g.packed, floats({b, d}), maybe_coded(floats({g.m, d}), true), ids({b}, g.n)};
  spoil(in.back(), g.n);
  weigh(in, &node, g);
  compare(&node, in, sums_of(g, b), -1);
}

/* Some of the heads, ascending; now and then a bad one. */
static void by_one_relation(const graph &g, int64_t d) {
  if (g.e == 0) return;
  std::vector<int32_t> heads;
  for (int64_t h = 0; h < g.n; h++)
    if (below(4)) heads.push_back((int32_t)h);
  if (below(10) == 0) heads.push_back((int32_t)g.n);
  tkg_node node = graph_op(g, TKG_OP_SDDMM_RELATION, TKG_F32, {g.e});
  node.f[0] = (double)below(tkg__graph_kinds(g.i[3]));
  std::vector<array> in = {g.packed, floats({(int64_t)heads.size(), d}), floats({g.m, d}),
                           list(heads), floats({g.e})};
  compare(&node, in, SUMS, below(2) ? 4 : -1);
}

static void by_edge(const graph &g, int64_t d) {
  tkg_node node = graph_op(g, TKG_OP_SDDMM, TKG_F32, {g.e});
  std::vector<array> in = {g.packed, maybe_coded(floats({g.n, d})), maybe_coded(floats({g.m, d}))};
  if (below(2)) in.push_back(vectors(g, d));
  node.inputs = (uint8_t)in.size();
  compare(&node, in, SUMS, -1);
  node = graph_op(g, TKG_OP_EDGE_SOFTMAX, TKG_F32, {g.e});
  in = {g.packed, floats({g.e}, -9, 9)};
  if (g.e > 40 && below(4) == 0) in[1].f()[below(g.e)] = NAN;
  compare(&node, in, SUMS, -1);
  node = graph_op(g, TKG_OP_EDGE_SOFTMAX_GRAD, TKG_F32, {g.e});
  in = {g.packed, floats({g.e}), floats({g.e}, 0, 1)};
  compare(&node, in, SUMS, -1);
  node = graph_op(g, TKG_OP_PARALLEL_SUM, TKG_F32, {g.e});
  node.f[0] = (double)below(3) - 1;
  in = {g.packed, floats({g.e})};
  compare(&node, in, 0, -1);
  if (g.i[3] & TKG_GRAPH_BACKWARD) return;
  by_one_relation(g, d);
  const bool all = below(2);
  const int64_t n = all ? g.e : some_rows();
  node = graph_op(g, TKG_OP_TRIPLES, TKG_I32, {3, n});
  in = {g.packed};
  if (!all) in.push_back(ids({n}, g.e));
  if (!all) spoil(in[1], g.e);
  node.inputs = (uint8_t)in.size();
  compare(&node, in, 0, -1);
}

static void largest(const graph &g, int64_t d) {
  tkg_node node = graph_op(g, TKG_OP_AGGREGATE_ARGMAX, TKG_I32, {g.n, d});
  std::vector<array> in = {g.packed, floats({g.m, d}, -1, 1)};
  for (int64_t k = below(5); k > 0 && count_of(&in[1].node) > 0; k--)
    in[1].f()[below(count_of(&in[1].node))] = below(2) ? NAN : -INFINITY;
  compare(&node, in, 0, -1);
  array picked = {node_of(TKG_OP_LEAF, TKG_I32, {g.n, d}), run_on(cpu, &node, in, -1).out};
  if (g.e > 0 && g.n * d > 0 && below(5) == 0)
    picked.i()[below(g.n * d)] = (int32_t)(below(2) ? -1 : below(g.e + 3));
  node = graph_op(g, TKG_OP_AGGREGATE_MAX, TKG_F32, {g.n, d});
  in.push_back(picked);
  compare(&node, in, 0, -1);
  if (g.i[3] & TKG_GRAPH_ONE_WAY) return;
  node = graph_op(g, TKG_OP_AGGREGATE_MAX_GRAD, TKG_F32, {g.m, d});
  in[1] = floats({g.n, d});
  compare(&node, in, sums_of(g), -1);
}

static void graphs(void) {
  const graph g = random_graph(some_edges());
  sums_by_head(g, some_width());
  sums_by_rows(g, some_width());
  sums_indexed(g, some_width());
  sums_where(g, some_width());
  neighborhood(g);
  edges_where(g);
  by_relation(g, some_width());
  by_edge(g, some_width());
  largest(g, some_width());
  array by = ids({some_rows()}, g.n);
  spoil(by, g.n);
  tkg_node node = node_of(TKG_OP_INVERSE_INDEX, TKG_I32, {g.n});
  std::vector<array> in = {by};
  compare(&node, in, 0, -1);
  node = node_of(TKG_OP_FIRST_INDEX, TKG_I32, {count_of(&by.node)});
  node.i[0] = g.n;
  compare(&node, in, 0, -1);
}

/* A hub whose edges fill more chunks than one group adds up, in both orientations. Runs once. */
static void hub_of_a_graph(void) {
  edges all;
  for (int64_t k = 0; k < 9000; k++) {
    all.add(below(9) ? 5 : 40 + below(2000), below(7), below(2) ? below(300) : 17);
    if (below(2)) std::swap(all.heads.back(), all.tails.back());
  }
  for (int k = 0; k < 4; k++) {
    const graph g = pack(all, 2100, 2100, 7, TKG_GRAPH_RELATIONS);
    sums_by_head(g, k ? 4 : 20);
    sums_by_rows(g, k ? 4 : 20);
    by_relation(g, 4);
    by_edge(g, 3);
    largest(g, 3);
  }
}

/* ---- rows through matrices of their own kind ---- */

static void grouped(void) {
  static const int64_t widths[] = {1, 3, 8, 16, 17, 31, 64, 65, 130, 0};
  const int64_t d = widths[below(10)], k = widths[below(10)];
  const int64_t n = below(4) ? some_rows() : 300 + below(1000), kinds = 1 + below(12);
  for (int t = 0; t < 2; t++) {
    tkg_node node = node_of(TKG_OP_GROUPED_MATMUL, TKG_F32, {n, k});
    std::vector<array> in = {floats({n, d}), floats(t ? dims{kinds, k, d} : dims{kinds, d, k}),
                             ids({n}, kinds)};
    spoil(in[2], kinds);
    node.i[0] = t;
    compare(&node, in, sums_of(d), -1);
  }
  tkg_node node = node_of(TKG_OP_GROUPED_OUTER, TKG_F32, {kinds, d, k});
  std::vector<array> in = {floats({n, d}), floats({n, k}), ids({n}, kinds)};
  spoil(in[2], kinds);
  compare(&node, in, 2 * sums_of(most_equal(in[2])), -1);
}

#endif
