/* SDDMM, a sampled dense-dense matrix product: out[e] = a[head] . (b[tail] r[relation]) for each
 * edge e of a graph; r is optional, a and b may be codes. SDDMM_RELATION adds a[i] . b[tail] for
 * the edges of one relation whose head is heads[i]. Units are slices of edges (edges.h). Rows of b
 * lie anywhere and are prefetched some edges ahead. */
#include <string.h>

#include "coded_rows.h"
#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "shared/search.h"
#include "wide.h"

static int sddmm(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->in[1]);
  const float *r = c->node->i[3] & TKG_GRAPH_RELATIONS ? c->data[3] : NULL;
  float *out = c->out;
  coded_rows a, b;
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  const int64_t edges_end = g.offsets[last];
  TKG_ISA_NAME(tkg__coded_open)(&a, c, 1, NULL);
  TKG_ISA_NAME(tkg__coded_open)(&b, c, 2, g.ids);
  for (int64_t row = first; row < last; row++) {
    if (g.offsets[row] == g.offsets[row + 1]) continue;
    const float *left = coded_row(&a, row);
    for (int64_t p = g.offsets[row]; p < g.offsets[row + 1]; p++) {
      const float *right = coded_at(&b, p, edges_end);
      if (g.order && p + EDGES_AHEAD < edges_end) prefetch_numbered(&g, p + EDGES_AHEAD, out, r);
      const int64_t edge = tkg__edge_number(&g, p);
      out[edge] = r ? wide_dot3(left, right, r + tkg__relation_at(g.relations, edge) * d, d)
                    : wide_dot(left, right, d);
    }
  }
  return TKG_OK;
}

static int64_t dot_work(const tkg_node *node, const tkg_node *const *in) {
  return node->i[2] * (tkg__cols(in[1]) + 1);
}

/* ---- one relation ---- */

enum {
  FOUND = 64,     /* edges that are found, and their rows of b fetched, before they are computed */
  HEADS_AHEAD = 8 /* prefetch the edges of a head so many heads ahead, its offsets twice as many */
};

typedef struct products {
  tkg_graph g;
  const float *b;
  float *out;
  int64_t d;
  int64_t tail, tails; /* the first that b has a row of, and how many: ranks share edges by tails */
  int count;
  int64_t edge[2 * FOUND];
  const float *a[2 * FOUND];
} products;

static inline const float *row_of_edge(const products *s, int64_t edge) {
  return s->b + (s->g.ids[edge] - s->tail) * s->d;
}

/* `d`: a constant where it is inlined, or s->d. */
TKG_INLINE void add_products(int64_t d, const products *s) {
  int i = 0;
  for (; d % 16 == 0 && i + 4 <= s->count; i += 4) {
    const void *rows[4];
    float sums[4];
    for (int k = 0; k < 4; k++) rows[k] = row_of_edge(s, s->edge[i + k]);
    wide_dots_of(s->a + i, rows, d, false, sums);
    for (int k = 0; k < 4; k++) s->out[s->edge[i + k]] += sums[k];
  }
  for (; i < s->count; i++) s->out[s->edge[i]] += wide_dot(s->a[i], row_of_edge(s, s->edge[i]), d);
}

static void add_found(products *s) {
  EACH_COLUMNS(add_products, s->d, s);
  s->count = 0;
}

/* Prefetches what find_edges and add_found read and write of an edge that was found. */
TKG_PREFETCH void prefetch_found(const products *s, int64_t edge) {
  prefetch_far(row_of_edge(s, edge), 4 * s->d);
  __builtin_prefetch(s->out + edge, 1);
}

/* Finds the edges of a row that have the relation and a tail of these. No branch depends on a
 * relation, as none could be predicted. */
static void find_edges(products *s, int64_t row, int32_t relation, const float *a) {
  const int64_t last = s->g.offsets[row + 1];
  for (int64_t p = s->g.offsets[row]; p < last;) {
    const int64_t end = p + FOUND < last ? p + FOUND : last;
    int found = s->count;
    for (; p < end; p++) {
      s->edge[found] = p;
      found += (tkg__relation_at(s->g.relations, p) == relation) &
               ((uint64_t)(s->g.ids[p] - s->tail) < (uint64_t)s->tails);
    }
    for (; s->count < found; s->count++) {
      prefetch_found(s, s->edge[s->count]);
      s->a[s->count] = a;
    }
    if (found >= FOUND) add_found(s);
  }
}

/* Prefetches the offsets of a head that is to come, and the edges of one before it if that is among
 * rows first..last-1: heads are checked by one thread, which need not be this one. */
TKG_PREFETCH void prefetch_heads(const tkg_graph *g, const int32_t *heads, int64_t first,
                                 int64_t last) {
  const int64_t head = heads[HEADS_AHEAD];
  __builtin_prefetch(g->offsets + heads[2 * HEADS_AHEAD]);
  if (head < first || head >= last) return;
  const int64_t p = g->offsets[head];
  __builtin_prefetch((const char *)g->relations.ids + p * g->relations.bytes);
  __builtin_prefetch(g->ids + p);
}

/* The rows of units begin..end-1. All heads may have numbers that are close together, so it is the
 * rows from the first to the last of them that are cut into slices; rows that no head follows or
 * precedes belong to the first unit and the last. */
static void rows_of_units(const tkg_call *c, const tkg_graph *g, const int32_t *heads,
                          int64_t count, int64_t begin, int64_t end, int64_t *first,
                          int64_t *last) {
  const int64_t units = edges_units(c->node, c->in);
  int64_t from = 0, to = g->n;
  if (count && heads[0] >= 0 && heads[count - 1] < g->n && heads[0] <= heads[count - 1]) {
    from = heads[0];
    to = heads[count - 1] + 1;
  }
  *first = begin > 0 ? edges_cut(g, from, to, begin, units) : 0;
  *last = end < units ? edges_cut(g, from, to, end, units) : g->n;
}

/* The first unit checks all heads. */
static int sddmm_relation(const tkg_call *c, int64_t begin, int64_t end) {
  const int32_t *heads = c->data[3];
  const int64_t count = tkg__count(c->in[3]), d = tkg__cols(c->in[1]);
  const float *a = c->data[1], *s = c->data[4];
  products found = {.g = edges_graph(c),
                    .b = c->data[2],
                    .out = c->out,
                    .d = d,
                    .tail = c->in[2]->first_row,
                    .tails = c->in[2]->shape[0]};
  const int32_t *offsets = found.g.offsets;
  int64_t first, last;
  const int status = begin > 0 ? TKG_OK : check_ids("sddmm_relation", heads, 0, count, found.g.n);
  if (status) return status;
  rows_of_units(c, &found.g, heads, count, begin, end, &first, &last);
  if (s != found.out)
    memcpy(found.out + offsets[first], s + offsets[first],
           (size_t)(offsets[last] - offsets[first]) * sizeof *s);
  int64_t i = tkg__lower_bound(heads, count, (int32_t)first);
  for (; i < count && heads[i] >= first && heads[i] < last; i++) {
    if (i + 2 * HEADS_AHEAD < count) prefetch_heads(&found.g, heads + i, first, last);
    find_edges(&found, heads[i], (int32_t)c->node->f[0], a + i * d);
  }
  add_found(&found);
  return TKG_OK;
}

/* An estimate: a pass over relation ids, and the edges of as many relations as there are. */
static int64_t relation_work(const tkg_node *node, const tkg_node *const *in) {
  return node->i[2] + dot_work(node, in) / tkg__graph_kinds(node->i[3]);
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_sddmm)[] = {
    {.op = TKG_OP_SDDMM, .run = sddmm, .units = edges_units, .work = dot_work},
    {.op = TKG_OP_SDDMM_RELATION,
     .run = sddmm_relation,
     .units = edges_units,
     .work = relation_work},
    {0},
};
