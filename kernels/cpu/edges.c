/* Values of edges: scores of them (AGGREGATE_DOT), softmax over the edges of each row, and the
 * gradients that are sums by relation. */
#include <math.h>

#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "lanes.h"
#include "wide.h"

/* Operands by row and by tail; ops.def has their places. */
typedef struct pairs {
  tkg_graph g;
  const char *op;
  const float *a, *b, *r, *w;
  const int32_t *rows;
  int64_t d;
} pairs;

static pairs pairs_of(const tkg_call *c) {
  const int op = c->node->op;
  const bool rows = op == TKG_OP_AGGREGATE_RELATION_ROWS, dot = op == TKG_OP_AGGREGATE_DOT;
  return (pairs){.g = edges_graph(c),
                 .op = tkg__ops[op].name,
                 .a = c->data[1],
                 .b = c->data[2],
                 .r = dot ? c->data[3] : NULL,
                 .w = dot ? NULL : c->data[rows ? 4 : 3],
                 .rows = rows ? c->data[3] : NULL,
                 .d = tkg__cols(c->in[1])};
}

/* Asks for the row of b some edges behind place p, if that edge lies before `end`. */
TKG_PREFETCH void prefetch_tail(const pairs *s, int64_t p, int64_t end) {
  if (p + EDGES_AHEAD < end) prefetch_row(s->b + s->g.ids[p + EDGES_AHEAD] * s->d, s->d);
}

/* ---- aggregate_dot: a[head] . (b[tail] r[relation]) ---- */

static int aggregate_dot(const tkg_call *c, int64_t begin, int64_t end) {
  const pairs s = pairs_of(c);
  float *out = c->out;
  int64_t first, last;
  edges_range(c, &s.g, begin, end, &first, &last);
  const int64_t edges_end = s.g.offsets[last];
  const bool by_relation = s.r && s.g.relations;
  if (by_relation) {
    int status = check_ids(s.op, s.g.relations, s.g.offsets[first], edges_end, tkg__rows(c->in[3]));
    if (status) return status;
  }
  for (int64_t row = first; row < last; row++)
    for (int64_t p = s.g.offsets[row]; p < s.g.offsets[row + 1]; p++) {
      const float *a = s.a + row * s.d, *b = s.b + s.g.ids[p] * s.d;
      prefetch_tail(&s, p, edges_end);
      out[edges_number(&s.g, p)] =
          by_relation ? wide_dot3(a, b, s.r + s.g.relations[p] * s.d, s.d) : wide_dot(a, b, s.d);
    }
  return TKG_OK;
}

static int64_t dot_work(const tkg_node *node, const tkg_node *const *in) {
  return node->i[2] * (tkg__cols(in[1]) + 1);
}

/* ---- aggregate_relation: by relation, the sum of w a[head] b[tail] ----
 *
 * Units are a fixed number of slices of the rows, each with a table of its own; the tables are
 * added in order. */

enum {
  RELATION_PART = 1 << 14, /* edges, at least, of a table */
  MOST_TABLES = 16,
  MOST_TABLE_ELEMENTS = 1 << 22, /* of all tables together: 16 MiB */
};

static int64_t relation_tables(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  const int64_t count = tkg__count(node), most = count ? MOST_TABLE_ELEMENTS / count : 1;
  int64_t tables = (node->i[2] + RELATION_PART - 1) / RELATION_PART;
  if (tables > MOST_TABLES) tables = MOST_TABLES;
  if (tables > most) tables = most;
  return tables < 1 ? 1 : tables;
}

static int64_t relation_scratch(const tkg_node *node, const tkg_node *const *in) {
  int64_t tables = relation_tables(node, in);
  return tables > 1 ? tables * tkg__count(node) * (int64_t)sizeof(float) : 0;
}

static void add_relations(const pairs *s, int64_t row, const float *a, int64_t ahead,
                          float *table) {
  for (int64_t p = s->g.offsets[row]; p < s->g.offsets[row + 1]; p++) {
    const float *restrict b = s->b + s->g.ids[p] * s->d;
    const float weight = s->w ? s->w[edges_number(&s->g, p)] : 1.0F;
    float *restrict to = table + s->g.relations[p] * s->d;
    prefetch_tail(s, p, ahead);
#pragma omp simd
    for (int64_t j = 0; j < s->d; j++) to[j] += weight * (a[j] * b[j]);
  }
}

/* One table. Rows by id are in equal parts, other rows in parts of as many edges. */
static int relation_table(const tkg_call *c, const pairs *s, int64_t unit, int64_t units,
                          float *table) {
  const int64_t k = tkg__rows(c->node), listed = s->rows ? tkg__count(c->in[3]) : 0;
  const int64_t first = s->rows ? listed * unit / units : edges_first_row(&s->g, unit, units);
  const int64_t last =
      s->rows ? listed * (unit + 1) / units : edges_first_row(&s->g, unit + 1, units);
  int status = s->rows ? check_ids(s->op, s->rows, first, last, s->g.n) : TKG_OK;
  memset(table, 0, (size_t)(k * s->d) * sizeof *table);
  for (int64_t i = first; i < last && !status; i++) {
    const int64_t row = s->rows ? s->rows[i] : i;
    const int64_t begin = s->g.offsets[row], end = s->g.offsets[row + 1];
    status = check_ids(s->op, s->g.relations, begin, end, k);
    if (!status) add_relations(s, row, s->a + i * s->d, s->rows ? end : s->g.offsets[last], table);
  }
  return status;
}

static int aggregate_relation(const tkg_call *c, int64_t begin, int64_t end) {
  const pairs s = pairs_of(c);
  const int64_t tables = relation_tables(c->node, c->in), count = tkg__count(c->node);
  int status = TKG_OK;
  if (!(c->node->i[3] & TKG_GRAPH_RELATIONS))
    return tkg__fail(TKG_E_ARGUMENT, "%s: this graph has no relations", s.op);
  for (int64_t u = begin; u < end && !status; u++)
    status = relation_table(c, &s, u, tables,
                            tables > 1 ? (float *)c->scratch + u * count : (float *)c->out);
  return status;
}

static void add_tables(const tkg_call *c) {
  const int64_t tables = relation_tables(c->node, c->in), count = tkg__count(c->node);
  const float *restrict table = c->scratch;
  float *restrict out = c->out;
  if (tables == 1) return;
  memcpy(out, table, (size_t)count * sizeof *out);
  for (int64_t u = 1; u < tables; u++)
    for (int64_t j = 0; j < count; j++) out[j] += table[u * count + j];
}

static int64_t relation_work(const tkg_node *node, const tkg_node *const *in) {
  int64_t rows = edges_rows(node), d = tkg__cols(in[1]), listed = tkg__rows(in[1]);
  return rows ? node->i[2] * d / rows * listed + tkg__count(node) : tkg__count(node);
}

/* ---- edge_softmax ---- */

enum { SOFTMAX_BLOCK = 256 }; /* edges */

/* The values of n edges from place p on. */
static void load_values(const tkg_graph *g, const float *values, int64_t p, int n, float *to) {
  if (g->order)
    for (int i = 0; i < n; i++) to[i] = values[g->order[p + i]];
  else
    memcpy(to, values + p, (size_t)n * sizeof *to);
}

static void store_values(const tkg_graph *g, float *values, int64_t p, int n, const float *from) {
  if (g->order)
    for (int i = 0; i < n; i++) values[g->order[p + i]] = from[i];
  else
    memcpy(values + p, from, (size_t)n * sizeof *from);
}

static int block_at(int64_t p, int64_t last) {
  return last - p < SOFTMAX_BLOCK ? (int)(last - p) : SOFTMAX_BLOCK;
}

/* e^(x - most) of a block, in whole vectors; x has room for them. */
static void exp_block(float *x, int n, float most) {
  const int whole = (n + LANES - 1) / LANES * LANES;
  for (int i = n; i < whole; i++) x[i] = most;
#pragma omp simd
  for (int i = 0; i < whole; i++) x[i] = v_exp(x[i] - most);
}

static void scale_block(float *x, int n, float by) {
#pragma omp simd
  for (int i = 0; i < n; i++) x[i] *= by;
}

/* A row that fits a block is read and written once: its values may lie anywhere. */
static void softmax_short(const tkg_graph *g, const float *s, float *out, int64_t first, int n) {
  float x[SOFTMAX_BLOCK];
  x[0] = 0; /* the compiler does not know that there is an edge */
  load_values(g, s, first, n, x);
  exp_block(x, n, lanes_max(x, n));
  scale_block(x, n, 1.0F / lanes_dot(x, NULL, n));
  store_values(g, out, first, n, x);
}

static void softmax_long(const tkg_graph *g, const float *s, float *out, int64_t first,
                         int64_t last) {
  float x[SOFTMAX_BLOCK], most = -INFINITY;
  double sum = 0;
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(g, s, p, n, x);
    const float here = lanes_max(x, n);
    most = here > most || here != here ? here : most;
  }
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(g, s, p, n, x);
    exp_block(x, n, most);
    sum += (double)lanes_dot(x, NULL, n);
    store_values(g, out, p, n, x);
  }
  const float scale = 1.0F / (float)sum;
  for (int64_t p = first; p < last; p++) out[edges_number(g, p)] *= scale;
}

static void softmax_grad_row(const tkg_graph *graph, const float *g, const float *y, float *out,
                             int64_t first, int64_t last) {
  float gs[SOFTMAX_BLOCK], ys[SOFTMAX_BLOCK];
  double sum = 0;
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(graph, g, p, n, gs);
    load_values(graph, y, p, n, ys);
    sum += (double)lanes_dot(gs, ys, n);
  }
  const float mean = (float)sum;
  const bool held = last - first <= SOFTMAX_BLOCK; /* by the loop above */
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    if (!held) load_values(graph, g, p, n, gs);
    if (!held) load_values(graph, y, p, n, ys);
#pragma omp simd
    for (int i = 0; i < n; i++) ys[i] *= gs[i] - mean;
    store_values(graph, out, p, n, ys);
  }
}

static int edge_softmax(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++) {
    const int64_t begins = g.offsets[row], ends = g.offsets[row + 1];
    if (ends - begins > SOFTMAX_BLOCK)
      softmax_long(&g, c->data[1], c->out, begins, ends);
    else if (ends > begins)
      softmax_short(&g, c->data[1], c->out, begins, (int)(ends - begins));
  }
  return TKG_OK;
}

static int edge_softmax_grad(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++)
    softmax_grad_row(&g, c->data[1], c->data[2], c->out, g.offsets[row], g.offsets[row + 1]);
  return TKG_OK;
}

static int64_t softmax_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 8 * node->i[2];
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_edge)[] = {
    {.op = TKG_OP_AGGREGATE_DOT, .run = aggregate_dot, .units = edges_units, .work = dot_work},
    {.op = TKG_OP_AGGREGATE_RELATION,
     .run = aggregate_relation,
     .units = relation_tables,
     .work = relation_work,
     .scratch = relation_scratch,
     .combine = add_tables},
    {.op = TKG_OP_AGGREGATE_RELATION_ROWS,
     .run = aggregate_relation,
     .units = relation_tables,
     .work = relation_work,
     .scratch = relation_scratch,
     .combine = add_tables},
    {.op = TKG_OP_EDGE_SOFTMAX, .run = edge_softmax, .units = edges_units, .work = softmax_work},
    {.op = TKG_OP_EDGE_SOFTMAX_GRAD,
     .run = edge_softmax_grad,
     .units = edges_units,
     .work = softmax_work},
    {0},
};
