/* Records which rows of a layer are read by the rows of a batch that are gathered of the next ones
 * (NEIGHBORHOOD): they read themselves and the tails of their edges. A layer may have several
 * readers: sums of several batches, and over several graphs, one of which may lead to its first
 * rows alone, as users to items among entities. What they read is joined (MERGE_INDEX).
 *
 * All of it comes before the layers, since it depends on the batch and on which edges are dropped
 * alone; neighborhood.c then leaves out of a layer what is not read. Of a sum that multiplies by
 * vectors of relations it leaves out edges, by weights that are zero for those of other heads
 * (EDGE_WHERE). What turns out not to be needed is no part of the plan. */
#include "record_neighborhoods.h"

#include "base/error.h"
#include "data/packed_graph.h"
#include "neighborhood.h"

/* A sum over a graph of which rows are gathered: what it sums over is read by these rows' edges. */
typedef struct reader {
  int sum, ids, base; /* old nodes; base: the matrix whose rows, or first rows, it reads */
} reader;

typedef struct reading {
  rows *z;
  int count;
  reader readers[TKG_MOST_READERS];
} reading;

/* Whether old value v, if this walk has not been there, is computed from leaves and ids alone. */
static bool is_of_ids(const rows *z, int v) {
  const tkg_node *n = node_of(z, v);
  bool ids = n->op == TKG_OP_LEAF || n->dtype == TKG_I32;
  if (!is_new(z, v)) return true;
  for (int k = 0; k < n->inputs && ids; k++) ids = is_of_ids(z, n->in[k]);
  return ids;
}

/* The weights of a sum's edges, -1 without. */
static int weights_of(const tkg_node *sum) {
  const int at = sum->op == TKG_OP_AGGREGATE_MUL ? 3 : 2;
  return at < sum->inputs ? sum->in[at] : -1;
}

/* Whether old value v, of edges, is computed from leaves and values of edges alone, by at most
 * `left` ops; and whether some are dropped: made zero. */
static bool is_of_edges(const rows *z, int v, int *left, bool *dropped) {
  const tkg_node *n = node_of(z, v);
  bool edges = (n->op == TKG_OP_LEAF || n->rank <= 1) && (*left)-- > 0;
  *dropped |= n->op == TKG_OP_DROPOUT;
  for (int k = 0; k < n->inputs && edges; k++) edges = is_of_edges(z, n->in[k], left, dropped);
  return edges;
}

static bool comes_early(const rows *z, int w, bool *dropped) {
  int left = 64;
  *dropped = false;
  return w >= 0 && is_of_edges(z, w, &left, dropped);
}

/* Weights that tell which edges of a sum are read, forward and backward; -1: all are. */
static int dropped_weights(const rows *z, const tkg_node *sum) {
  const int w = weights_of(sum);
  const bool both_ways = sum->op == TKG_OP_AGGREGATE_MUL || sum->inputs < 4;
  bool dropped;
  return both_ways && comes_early(z, w, &dropped) && dropped ? w : -1;
}

static bool same_graph(const tkg_node *a, const tkg_node *b) {
  return a->in[0] == b->in[0] && memcmp(a->i, b->i, sizeof a->i) == 0;
}

static void note_reader(reading *all, int v, int ids) {
  const rows *z = all->z;
  const tkg_node *n = node_of(z, v), *x = node_of(z, n->in[1]);
  const bool first_rows = x->op == TKG_OP_NARROW && x->i[0] == 0 && x->i[1] == 0;
  const reader r = {v, ids, first_rows ? x->in[0] : n->in[1]};
  const int op = node_of(z, r.base)->op;
  bool known = op == TKG_OP_LEAF || !z->whole[r.base] || all->count == TKG_MOST_READERS;
  for (int i = 0; i < all->count && !known; i++) {
    const reader *other = &all->readers[i];
    const tkg_node *sum = node_of(z, other->sum);
    known = other->base == r.base && other->ids == ids && same_graph(sum, n) &&
            dropped_weights(z, sum) == dropped_weights(z, n);
  }
  if (!known) all->readers[all->count++] = r;
}

/* Notes the sums over graphs that rows `ids` of old value v, which may be whole, are computed from.
 */
static void find_readers(reading *all, int v, int ids) {
  const rows *z = all->z;
  const tkg_node *n = node_of(z, v);
  if (z->whole[v] || !is_new(z, v)) return;
  if (is_sum(n)) {
    note_reader(all, v, ids);
    return;
  }
  for (int k = 0; k < n->inputs; k++)
    if (tkg__reads_own_row(z, n, k)) find_readers(all, n->in[k], ids);
}

/* How many rows a reader reads, at most: rows have as many edges as others. */
static double rows_read(const rows *z, const reader *r) {
  const tkg_node *sum = node_of(z, r->sum);
  return (double)sum->i[2] / (double)sum->shape[0] * (double)tkg__count(node_of(z, r->ids));
}

/* Emits which rows a reader reads. Returns the new node, or -1. */
static int emit_neighborhood(rows *z, const reader *r) {
  const tkg_node *sum = node_of(z, r->sum);
  const int w = dropped_weights(z, sum);
  tkg_node node = {.op = TKG_OP_NEIGHBORHOOD, .dtype = TKG_I32, .rank = 1, .inputs = 2};
  if (tkg__emit_early(z, sum->in[0]) || tkg__emit_early(z, r->ids) ||
      (w >= 0 && tkg__emit_early(z, w)))
    return -1;
  memcpy(node.i, sum->i, sizeof node.i);
  node.in[0] = z->map[sum->in[0]];
  node.in[1] = z->map[r->ids];
  if (w >= 0) node.in[node.inputs++] = z->map[w];
  node.shape[0] = node_of(z, sum->in[1])->shape[0];
  return tkg__emit(z, &node, r->sum);
}

/* Emits one of the rows that either of two new nodes has. */
static int emit_merged(rows *z, int a, int b, int like) {
  tkg_node node = {.op = TKG_OP_MERGE_INDEX, .dtype = TKG_I32, .rank = 1, .inputs = 2};
  const bool longer = z->fresh->nodes[a].shape[0] >= z->fresh->nodes[b].shape[0];
  node.in[0] = longer ? a : b;
  node.in[1] = longer ? b : a;
  node.shape[0] = z->fresh->nodes[node.in[0]].shape[0];
  return tkg__emit(z, &node, like);
}

/* Emits the weights of edges of the heads that new node `within` has, for the sums that multiply by
 * vectors of relations: those that make, and pass back, values of these heads. */
static int emit_masks(rows *z, int within) {
  const int64_t heads = z->fresh->nodes[within].shape[0];
  int status = TKG_OK;
  for (int i = 0; i < z->old->n && !status; i++) {
    const tkg_node *n = node_of(z, i);
    const int w = weights_of(n);
    bool dropped, done = false;
    if (n->op != TKG_OP_AGGREGATE_MUL || !z->whole[i] || n->i[3] & TKG_GRAPH_BACKWARD ||
        n->shape[0] != heads || !comes_early(z, w, &dropped))
      continue;
    for (int k = 0; k < i && !done; k++)
      done = node_of(z, k)->op == n->op && weights_of(node_of(z, k)) == w &&
             same_graph(node_of(z, k), n);
    if (done || (status = tkg__emit_early(z, n->in[0])) || (status = tkg__emit_early(z, w)))
      continue;
    tkg_node node = {.op = TKG_OP_EDGE_WHERE, .dtype = TKG_F32, .rank = 1, .inputs = 3};
    memcpy(node.i, n->i, sizeof node.i);
    node.in[0] = z->map[n->in[0]];
    node.in[1] = z->map[w];
    node.in[2] = within;
    node.shape[0] = node_of(z, w)->shape[0];
    if (tkg__emit(z, &node, i) < 0) status = TKG_E_MEMORY;
  }
  return status;
}

/* Emits which rows of an old value are read, if its readers are likely to read less than half: few
 * edges lead to the same row. */
static int emit_neighborhoods(reading *all, int base) {
  rows *z = all->z;
  const int64_t count = node_of(z, base)->shape[0];
  double read = 0;
  bool whole = false;
  int within = -1;
  for (int i = 0; i < all->count; i++) {
    const reader *r = &all->readers[i];
    if (r->base != base) continue;
    read += rows_read(z, r);
    whole |= node_of(z, node_of(z, r->sum)->in[1])->shape[0] == count;
  }
  if (2 * read >= (double)count || !whole) return TKG_OK;
  for (int i = 0; i < all->count; i++) {
    if (all->readers[i].base != base) continue;
    const int at = emit_neighborhood(z, &all->readers[i]);
    if (at < 0) return TKG_E_MEMORY;
    within = within < 0 ? at : emit_merged(z, at, within, all->readers[i].sum);
    if (within < 0) return TKG_E_MEMORY;
  }
  return emit_masks(z, within);
}

int tkg__record_neighborhoods(rows *z) {
  reading all = {.z = z};
  int status = TKG_OK;
  for (int i = 0; i < z->old->n; i++) {
    const tkg_node *n = node_of(z, i);
    if (!z->whole[i] || !tkg__gathers_rows(z, n) || z->whole[n->in[0]]) continue;
    begin_walk(z);
    if (!is_of_ids(z, n->in[1])) continue;
    begin_walk(z);
    find_readers(&all, n->in[0], n->in[1]);
  }
  for (int i = 0; i < all.count && !status; i++) {
    bool first = true;
    for (int k = 0; k < i; k++) first &= all.readers[k].base != all.readers[i].base;
    if (first) status = emit_neighborhoods(&all, all.readers[i].base);
  }
  return status;
}
