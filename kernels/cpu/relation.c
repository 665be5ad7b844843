/* Sums by relation, which are the gradients of relation vectors: AGGREGATE_RELATION and
 * AGGREGATE_RELATION_ROWS. out[r] = sum of w a[head] b[tail] over the edges of relation r.
 *
 * Units are a fixed number of slices of the rows, each with a table of all relations; the tables
 * are added in order, so the sum does not depend on the number of threads. Rows of b are
 * prefetched, and edges whose weight is zero skipped where there are many (kept_edges.h). To decode
 * a row of codes for each edge that leads to it would take several times as long, so the whole sum
 * decodes b in scratch memory, a slice of the columns at a time. */
#include <string.h>

#include "coded_rows.h"
#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "kept_edges.h"
#include "wide.h"

typedef struct terms {
  tkg_graph g;
  const char *op;
  const float *w;      /* by edge, or NULL */
  const int32_t *list; /* the rows to sum over, or NULL: all */
  int64_t d;           /* columns of a table */
  int64_t begin, cols; /* of a slice of them */
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

static int64_t tables_bytes(const tkg_node *node, const tkg_node *const *in) {
  const int64_t tables = relation_tables(node, in), line = 64;
  const int64_t bytes = tables > 1 ? tables * tkg__count(node) * (int64_t)sizeof(float) : 0;
  return (bytes + line - 1) / line * line;
}

/* Columns of b that are decoded at a time; 0: none are, as their rows are not read in codes or are
 * those of a list. */
static int64_t slice_of(const tkg_node *node, const tkg_node *const *in) {
  const bool decodes = node->op == TKG_OP_AGGREGATE_RELATION && in[2]->dtype == TKG_CODES;
  return decodes ? tkg__decoded_slice(tkg__cols(in[2])) : 0;
}

static int64_t relation_scratch(const tkg_node *node, const tkg_node *const *in) {
  const int64_t slice = slice_of(node, in) * tkg__rows(in[2]) * (int64_t)sizeof(float);
  return tables_bytes(node, in) + slice;
}

/* Each slice takes two phases: it is decoded, then summed. */
static int phases(const tkg_call *c) {
  const int64_t slice = slice_of(c->node, c->in);
  return slice ? (int)(2 * ((tkg__cols(c->node) + slice - 1) / slice)) : 1;
}

/* ---- adding the edges of a row to the table ---- */

/* A row of a, some of whose columns stay in registers where they are few. */
enum { HELD = 64 / WIDTH };

typedef struct head {
  wide held[HELD];
  const float *row;
  bool is_held;
} head;

/* `cols`: a constant where it is inlined, or s->cols. */
TKG_INLINE head open_head(const float *row, int64_t cols) {
  head h = {.row = row, .is_held = cols % WIDTH == 0 && cols <= HELD * WIDTH};
  for (int k = 0; h.is_held && k < cols / WIDTH; k++) h.held[k] = wide_load(row + k * WIDTH);
  return h;
}

/* to += weight (head * tail). */
TKG_INLINE void add_product(const head *h, const float *tail, float weight, int64_t cols,
                            float *to) {
  for (int k = 0; h->is_held && k < cols / WIDTH; k++)
    wide_store(to + k * WIDTH,
               wide_load(to + k * WIDTH) + weight * (h->held[k] * wide_load(tail + k * WIDTH)));
  for (int64_t j = 0; !h->is_held && j < cols; j++) to[j] += weight * (h->row[j] * tail[j]);
}

/* Adds the products of row `a` and the tails of its edges to the table. */
TKG_INLINE void add_edges(int64_t cols, const terms *s, int64_t row, const float *a,
                          coded_rows *tails, int64_t ahead, float *table) {
  const head h = open_head(a, cols);
  for (int64_t p = s->g.offsets[row]; p < s->g.offsets[row + 1]; p++) {
    if (s->g.order && p + EDGES_AHEAD < ahead)
      prefetch_numbered(&s->g, p + EDGES_AHEAD, s->w, true);
    const float *b = coded_at(tails, p, ahead);
    const int64_t edge = tkg__edge_number(&s->g, p);
    add_product(&h, b, s->w ? s->w[edge] : 1.0F, cols,
                table + tkg__relation_at(s->g.relations, edge) * s->d);
  }
}

static void add_relations(const terms *s, int64_t row, const float *a, coded_rows *tails,
                          int64_t ahead, float *table) {
  EACH_COLUMNS(add_edges, s->cols, s, row, a, tails, ahead, table);
}

/* The same of those edges of the row that are kept. */
TKG_INLINE void add_kept_edges(int64_t cols, const terms *s, int64_t row, const float *a,
                               const coded_rows *b, kept_edges *k, float *table) {
  const int64_t end = s->g.offsets[row + 1];
  const head h = open_head(a, cols);
  for (; is_kept_before(k, end, 4 * cols); k->at++)
    add_product(&h, b->x + k->row[k->at] * b->cols, k->weight[k->at], cols,
                table + tkg__relation_at(s->g.relations, k->number[k->at]) * s->d);
}

static void add_kept(const terms *s, int64_t row, const float *a, const coded_rows *b,
                     kept_edges *k, float *table) {
  EACH_COLUMNS(add_kept_edges, s->cols, s, row, a, b, k, table);
}

/* ---- a table ---- */

/* Row i of a, all of whose rows up to `last` are read in turn; of a list, row by row. */
static const float *next_row(const terms *s, coded_rows *a, int64_t i, int64_t last) {
  return a->x || s->list ? coded_row(a, i) : TKG_ISA_NAME(tkg__coded_in_turn)(a, i, last);
}

/* Adds rows first..last-1, or those of the list, to a slice of the columns of a table. */
static void add_rows(const terms *s, int64_t first, int64_t last, coded_rows *a, coded_rows *b,
                     float *table) {
  for (int64_t i = first; i < last; i++) {
    const int64_t row = s->list ? s->list[i] : i;
    const int64_t end = s->g.offsets[row + 1];
    if (s->g.offsets[row] < end)
      add_relations(s, row, next_row(s, a, i, last) + s->begin, b,
                    s->list ? end : s->g.offsets[last], table);
  }
}

/* The same of all rows' edges that are kept; b has rows of floats. */
static void add_kept_rows(const terms *s, int64_t first, int64_t last, coded_rows *a,
                          const coded_rows *b, float *table) {
  kept_edges k;
  begin_kept(&k, &s->g, s->w, b->x, 4 * b->cols, s->g.offsets[first], s->g.offsets[last]);
  for (int64_t row = first; row < last; row++)
    if (is_kept_before(&k, s->g.offsets[row + 1], 4 * s->cols))
      add_kept(s, row, next_row(s, a, row, last) + s->begin, b, &k, table);
}

/* Computes a slice of the columns of one table. A list is cut into equal parts, all rows into parts
 * of as many edges. `slice`: that of b, decoded, or NULL. */
static int relation_table(const tkg_call *c, const terms *s, int64_t unit, const float *slice) {
  const int64_t units = relation_tables(c->node, c->in), count = tkg__count(c->node);
  const int64_t listed = s->list ? tkg__count(c->in[3]) : 0;
  const int64_t first = s->list ? listed * unit / units : edges_first_row(&s->g, unit, units);
  const int64_t last =
      s->list ? listed * (unit + 1) / units : edges_first_row(&s->g, unit + 1, units);
  const int status = s->list ? check_ids(s->op, s->list, first, last, s->g.n) : TKG_OK;
  float *table = units > 1 ? (float *)c->scratch + unit * count : c->out;
  coded_rows a, b;
  TKG_ISA_NAME(tkg__coded_open)(&a, c, 1, NULL);
  TKG_ISA_NAME(tkg__coded_open)(&b, c, 2, s->g.ids);
  if (slice_of(c->node, c->in)) {
    b.x = slice;
    b.cols = s->cols;
  }
  if (s->begin == 0) memset(table, 0, (size_t)count * sizeof *table);
  table += s->begin;
  if (!status && !s->list && b.x &&
      leaves_out_edges(&s->g, s->w, s->g.offsets[first], s->g.offsets[last]))
    add_kept_rows(s, first, last, &a, &b, table);
  else if (!status)
    add_rows(s, first, last, &a, &b, table);
  return status;
}

/* Decodes a slice of b's rows first..last-1. */
static void decode_slice(const tkg_call *c, const terms *s, int64_t first, int64_t last,
                         float *slice) {
  coded_rows b;
  TKG_ISA_NAME(tkg__coded_open)(&b, c, 2, NULL);
  if (!coded_apart(&b)) {
    TKG_ISA_NAME(tkg__coded_columns)(&b, first, last, s->begin, s->cols, slice + first * s->cols);
    return;
  }
  for (int64_t i = first; i < last; i++)
    memcpy(slice + i * s->cols, TKG_ISA_NAME(tkg__coded_in_turn)(&b, i, last) + s->begin,
           (size_t)s->cols * sizeof *slice);
}

static int aggregate_relation(const tkg_call *c, int64_t begin, int64_t end) {
  terms s = terms_of(c);
  const int64_t units = relation_tables(c->node, c->in), rows = tkg__rows(c->in[2]);
  const int64_t width = slice_of(c->node, c->in);
  float *slice = width ? (float *)c->scratch + tables_bytes(c->node, c->in) / 4 : NULL;
  int status = TKG_OK;
  s.begin = c->phase / 2 * width;
  s.cols = width && s.begin + width < s.d ? width : s.d - s.begin;
  if (width && c->phase % 2 == 0)
    decode_slice(c, &s, rows * begin / units, rows * end / units, slice);
  else
    for (int64_t u = begin; u < end && !status; u++) status = relation_table(c, &s, u, slice);
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
     .phases = phases,
     .scratch = relation_scratch,
     .combine = add_tables},
    {.op = TKG_OP_AGGREGATE_RELATION_ROWS,
     .run = aggregate_relation,
     .units = relation_tables,
     .work = relation_work,
     .phases = phases,
     .scratch = relation_scratch,
     .combine = add_tables},
    {0},
};
