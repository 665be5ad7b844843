/* Sums by relation, which are the gradients of relation vectors: AGGREGATE_RELATION and
 * AGGREGATE_RELATION_ROWS. out[r] = sum of w a[head] b[tail] over the edges of relation r.
 *
 * Units are a fixed number of slices of the rows, each with a table of all relations; the tables
 * are added in order, so the sum does not depend on the number of threads. Rows of b are
 * prefetched. */
#include <string.h>

#include "coded_rows.h"
#include "edges.h"
#include "ids.h"
#include "isa.h"

typedef struct terms {
  tkg_graph g;
  const char *op;
  const float *w;      /* by edge, or NULL */
  const int32_t *list; /* the rows to sum over, or NULL: all */
  int64_t d;
} terms;

static terms terms_of(const tkg_call *c) {
  const bool rows = c->node->op == TKG_OP_AGGREGATE_RELATION_ROWS;
  return (terms){.g = edges_graph(c),
                 .op = tkg__ops[c->node->op].name,
                 .w = c->data[rows ? 4 : 3],
                 .list = rows ? c->data[3] : NULL,
                 .d = tkg__cols(c->in[1])};
}

enum {
  RELATION_PART = 1 << 14, /* least edges per table */
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

static void add_relations(const terms *s, int64_t row, const float *a, coded_rows *tails,
                          int64_t ahead, float *table) {
  for (int64_t p = s->g.offsets[row]; p < s->g.offsets[row + 1]; p++) {
    if (s->g.order && p + EDGES_AHEAD < ahead)
      prefetch_numbered(&s->g, p + EDGES_AHEAD, s->w, true);
    const float *restrict b = coded_at(tails, p, ahead);
    const int64_t edge = tkg__edge_number(&s->g, p);
    const float weight = s->w ? s->w[edge] : 1.0F;
    float *restrict to = table + tkg__relation_at(s->g.relations, edge) * s->d;
#pragma omp simd
    for (int64_t j = 0; j < s->d; j++) to[j] += weight * (a[j] * b[j]);
  }
}

/* Computes one table. A list is cut into equal parts, all rows into parts of as many edges. */
static int relation_table(const tkg_call *c, const terms *s, int64_t unit, int64_t units,
                          float *table) {
  const int64_t k = tkg__rows(c->node), listed = s->list ? tkg__count(c->in[3]) : 0;
  const int64_t first = s->list ? listed * unit / units : edges_first_row(&s->g, unit, units);
  const int64_t last =
      s->list ? listed * (unit + 1) / units : edges_first_row(&s->g, unit + 1, units);
  const int status = s->list ? check_ids(s->op, s->list, first, last, s->g.n) : TKG_OK;
  coded_rows a, b;
  TKG_ISA_NAME(tkg__coded_open)(&a, c, 1, NULL);
  TKG_ISA_NAME(tkg__coded_open)(&b, c, 2, s->g.ids);
  memset(table, 0, (size_t)(k * s->d) * sizeof *table);
  for (int64_t i = first; i < last && !status; i++) {
    const int64_t row = s->list ? s->list[i] : i;
    const int64_t begin = s->g.offsets[row], end = s->g.offsets[row + 1];
    if (begin < end)
      add_relations(s, row, coded_row(&a, i), &b, s->list ? end : s->g.offsets[last], table);
  }
  return status;
}

static int aggregate_relation(const tkg_call *c, int64_t begin, int64_t end) {
  const terms s = terms_of(c);
  const int64_t tables = relation_tables(c->node, c->in), count = tkg__count(c->node);
  int status = TKG_OK;
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

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_relation)[] = {
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
    {0},
};
