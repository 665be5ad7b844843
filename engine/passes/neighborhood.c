/* neighborhood: of the layer below a batch's rows, only what the batch reaches is computed.
 *
 * Behind prune_rows the last layer of a model on a graph has the rows of a batch alone. Of the
 * layer below it, which is a whole matrix, they read themselves and the tails of their edges: their
 * neighborhood, a third of the nodes where a batch has a hundredth. record_neighborhoods.c has
 * recorded it before that layer, since which nodes these are is known once the batch is.
 *
 * For each neighborhood this pass asks two things of every value whose rows are its nodes, or the
 * first of them.
 *
 * Are the rows outside zero? So are those of gradients: what a batch's rows are passed back to lies
 * in the neighborhood, and ops that are linear in a gradient keep it there.
 *
 * Are they unread? Nobody reads them, or only to multiply them with zero.
 *
 * Sums over edges then leave out unread rows, and edges to tails whose rows are zero; those with
 * vectors of relations, and by relation, edges of such heads, whose weights are made zero; products
 * of matrices leave out rows of both kinds. Values keep their shapes, so nothing else changes: rows
 * that are left out are zero, and what is computed from them is some finite number that nobody
 * reads. The numbers that are read are the same, but that zeros are not added to them. */
#include "neighborhood.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "data/packed_graph.h"

/* The rows of one neighborhood: what its readers, sums over graphs of which a batch's rows are
 * gathered, read. */
typedef struct outside {
  const tkg_program *p;
  const tkg_tape *tape;
  int within;                                /* the node that has it */
  const tkg_node *readers[TKG_MOST_READERS]; /* the NEIGHBORHOOD nodes that it is joined from */
  int count;
  bool *zero, *unread;
} outside;

static const tkg_node *node_of(const outside *z, int i) { return &z->tape->nodes[i]; }

/* Whether these are ids of rows that the neighborhood has: of a graph whose heads and tails are the
 * same nodes. */
static bool is_within(const outside *z, int ids) {
  for (int k = 0; k < z->count; k++)
    if (z->readers[k]->in[1] == ids && z->readers[k]->i[0] == z->readers[k]->i[1]) return true;
  return false;
}

/* Whether the edges that a sum has of heads `ids`, by weights w (-1: none), are those of a reader;
 * `back`: gone through the other way. */
static bool is_read(const outside *z, const tkg_node *sum, int ids, int w, bool back) {
  for (int k = 0; k < z->count; k++) {
    const tkg_node *to = z->readers[k];
    const int64_t way = back ? to->i[3] ^ TKG_GRAPH_BACKWARD : to->i[3];
    const bool same = sum->in[0] == to->in[0] && sum->i[0] == to->i[0] && sum->i[1] == to->i[1] &&
                      (sum->i[3] == way || (back && sum->i[3] & TKG_GRAPH_SYMMETRIC));
    if (same && to->in[1] == ids && (to->inputs < 3 || to->in[2] == w)) return true;
  }
  return false;
}

static int64_t rows_within(const outside *z) { return node_of(z, z->within)->shape[0]; }

/* Whether the value is a matrix with a row for each node of the neighborhood, or for the first ones
 * that a reader reads. */
static bool has_its_rows(const outside *z, int i) {
  const tkg_node *n = node_of(z, i);
  bool known = n->shape[0] == rows_within(z);
  for (int k = 0; k < z->count && !known; k++) known = n->shape[0] == z->readers[k]->shape[0];
  return known && n->dtype == TKG_F32 && n->rank == 2;
}

static bool has_all_rows(const outside *z, int i) {
  return has_its_rows(z, i) && node_of(z, i)->shape[0] == rows_within(z);
}

/* Whether row i of node n reads row i of its input k. */
static bool is_aligned(const outside *z, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  return tkg__row_access(n, in, k) == TKG_ACCESS_ROW && has_its_rows(z, n->in[k]);
}

/* Whether the node takes the first rows of a matrix, or puts zeros behind them. */
static bool has_first_rows(const outside *z, const tkg_node *n) {
  return (n->op == TKG_OP_NARROW || n->op == TKG_OP_PAD) && n->i[0] == 0 && n->i[1] == 0 &&
         has_its_rows(z, n->in[0]);
}

/* ---- rows that are zero ---- */

/* Whether a sum, by head, of rows of the batch stays in the neighborhood: it goes its edges back.
 */
static bool goes_back(const outside *z, const tkg_node *n) {
  const int at = n->op == TKG_OP_AGGREGATE_MUL_INDEXED ? 3 : 2;
  const tkg_node *row_of = node_of(z, n->in[at]);
  const int w = n->inputs > at + 1 ? n->in[at + 1] : -1;
  return row_of->op == TKG_OP_INVERSE_INDEX && is_read(z, n, row_of->in[0], w, true);
}

/* Whether rows outside of node n are zero whatever those of its input `but` are; -1: none. An op
 * makes zeros of zeros if it multiplies by one, or adds up nothing else. */
static bool is_zero(const outside *z, const tkg_node *n, int but) {
  bool adds = false, all = true, any = false;
  if (n->op == TKG_OP_AGGREGATE_INDEXED || n->op == TKG_OP_AGGREGATE_MUL_INDEXED)
    return but < 0 && goes_back(z, n);
  if (has_first_rows(z, n))
    return but < 0 && z->zero[n->in[0]] && (n->inputs < 2 || z->zero[n->in[1]]);
  if (n->op == TKG_OP_SCATTER_ADD)
    return but < 0 && is_within(z, n->in[1]) && (n->inputs < 3 || z->zero[n->in[2]]);
  if (n->op == TKG_OP_AFFINE && n->f[1] != 0) return false;
  for (int k = 0; k < n->inputs; k++) {
    const bool zero = k != but && z->zero[n->in[k]] && is_aligned(z, n, k);
    const char reads = tkg__op_reads(n->op, k);
    adds |= reads == 'l';
    all &= zero || reads != 'l';
    any |= zero && reads == 'm';
  }
  return adds ? all : any;
}

static void find_zero(const outside *z) {
  for (int i = 0; i < z->tape->n; i++)
    z->zero[i] = has_its_rows(z, i) && is_zero(z, node_of(z, i), -1);
}

/* ---- rows that nobody reads ---- */

/* Whether the node makes finite numbers of finite ones: a mean divides by what is at least 1. */
static bool stays_finite(const outside *z, const tkg_node *n) {
  const tkg_node *by = n->op == TKG_OP_DIV ? node_of(z, n->in[1]) : NULL;
  return tkg__stays_finite(n) || (by && by->op == TKG_OP_CLAMP && by->f[0] > 0);
}

/* Whether the node sums over the edges of some heads, and reads its input k by their tails. */
static bool sums_by_rows(const tkg_node *n, int k) {
  return (k == 1 && (n->op == TKG_OP_AGGREGATE_ROWS || n->op == TKG_OP_AGGREGATE_MUL_ROWS)) ||
         (k == 2 && n->op == TKG_OP_AGGREGATE_RELATION_ROWS);
}

static bool reads_within(const outside *z, const tkg_node *n) {
  const int at = n->op == TKG_OP_AGGREGATE_ROWS ? 2 : 3;
  return is_read(z, n, n->in[at], n->inputs > at + 1 ? n->in[at + 1] : -1, false);
}

/* Whether node i reads no row outside of its input k, or to no effect. */
static bool leaves_out(const outside *z, int i, int k) {
  const tkg_node *n = node_of(z, i), *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  if (n->op == TKG_OP_GATHER) return k == 0 && is_within(z, n->in[1]);
  if (sums_by_rows(n, k)) return reads_within(z, n);
  if (has_first_rows(z, n)) return has_its_rows(z, i) && z->unread[i];
  if (!stays_finite(z, n)) return false; /* 0 times infinity is NaN */
  if (n->op == TKG_OP_MATMUL && tkg__row_access(n, in, k) == TKG_ACCESS_REDUCES)
    return k < 2 && z->zero[n->in[1 - k]];
  const bool grows = n->op == TKG_OP_NORMALIZE_GRAD; /* it divides by norms, which may be small */
  return is_aligned(z, n, k) && ((z->unread[i] && !grows) || is_zero(z, n, k));
}

static void find_unread(const outside *z) {
  const tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++)
    z->unread[i] = has_its_rows(z, i) && node_of(z, i)->op != TKG_OP_LEAF;
  for (int i = 0; i < p->output_count; i++) z->unread[p->outputs[i]] = false;
  for (int i = 0; i < p->gradient_count; i++) z->unread[p->gradient_of[i]] = false;
  for (int i = z->tape->n; i-- > 0;)
    for (int k = 0; k < node_of(z, i)->inputs; k++) {
      const int v = node_of(z, i)->in[k];
      z->unread[v] = z->unread[v] && leaves_out(z, i, k);
    }
}

/* ---- what is left out ---- */

/* Makes a sum over all edges one of the heads, or of the tails, of the neighborhood alone. */
static void leave_out_of_sum(const outside *z, int i) {
  tkg_node *n = &z->tape->nodes[i];
  const bool heads = z->unread[i] && has_all_rows(z, i), weighted = n->inputs > 2;
  const bool tails = z->zero[n->in[1]] && has_all_rows(z, n->in[1]);
  const int w = weighted ? n->in[2] : 0;
  if (!heads && !tails) return;
  n->op = heads ? TKG_OP_AGGREGATE_WHERE : TKG_OP_AGGREGATE_INDEXED;
  n->inputs = (uint8_t)(3 + weighted);
  n->in[2] = z->within;
  n->in[3] = w;
}

/* The weights w of a graph's edges, those of heads outside made zero; -1: prune_rows has not
 * recorded them. */
static int mask_of(const outside *z, const tkg_node *sum, int w) {
  for (int i = z->within + 1; i < z->p->forward; i++) {
    const tkg_node *n = node_of(z, i);
    if (n->op == TKG_OP_EDGE_WHERE && n->in[0] == sum->in[0] && n->in[1] == w &&
        n->in[2] == z->within && ((n->i[3] ^ sum->i[3]) & ~(int64_t)TKG_GRAPH_BACKWARD) == 0)
      return i;
  }
  return -1;
}

/* Gives the edges of heads outside no weight in a sum with vectors of relations, or in a sum by
 * relation, if these heads' rows are not read, or zero. */
static void mask_sum(const outside *z, int i) {
  tkg_node *n = &z->tape->nodes[i];
  const bool made = n->op == TKG_OP_AGGREGATE_MUL && !(n->i[3] & TKG_GRAPH_BACKWARD);
  const int heads = made ? i : n->in[1];
  if (n->inputs < 4 || !has_all_rows(z, heads) || !(made ? z->unread : z->zero)[heads]) return;
  const int mask = mask_of(z, n, n->in[3]);
  if (mask >= 0) n->in[3] = mask;
}

static void leave_out_of_product(const outside *z, int i) {
  tkg_node *n = &z->tape->nodes[i];
  const bool zero = z->zero[n->in[0]] || (n->i[0] && z->zero[n->in[1]]);
  const bool sums = n->i[0] && !n->i[1];
  if (n->inputs > 2 || !(zero || (!sums && z->unread[i]))) return;
  if (!has_all_rows(z, n->in[0]) || (n->i[0] && !sums)) return;
  n->in[n->inputs++] = z->within;
}

static void leave_out(const outside *z) {
  for (int i = z->within + 1; i < z->tape->n; i++) {
    const int op = node_of(z, i)->op;
    if (op == TKG_OP_AGGREGATE) leave_out_of_sum(z, i);
    if (op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_RELATION) mask_sum(z, i);
    if (op == TKG_OP_MATMUL) leave_out_of_product(z, i);
  }
}

/* ---- the pass ---- */

/* Lists the readers of which node i is joined. */
static void find_readers(outside *z, int i) {
  const tkg_node *n = node_of(z, i);
  for (int k = 0; n->op == TKG_OP_MERGE_INDEX && k < n->inputs; k++) find_readers(z, n->in[k]);
  if (n->op == TKG_OP_NEIGHBORHOOD && z->count < TKG_MOST_READERS) z->readers[z->count++] = n;
}

/* Whether node i is a neighborhood, and not a part of another. */
static bool is_whole(const outside *z, int i) {
  const int op = node_of(z, i)->op;
  bool whole = op == TKG_OP_NEIGHBORHOOD || op == TKG_OP_MERGE_INDEX;
  for (int k = i + 1; k < z->p->forward && whole; k++) {
    const tkg_node *n = node_of(z, k);
    whole = n->op != TKG_OP_MERGE_INDEX || (n->in[0] != i && n->in[1] != i);
  }
  return whole;
}

int tkg__leave_out_rows(tkg_program *p) {
  const size_t nodes = (size_t)p->tape->n + 1;
  outside z = {.p = p, .tape = p->tape, .zero = calloc(2 * nodes, sizeof *z.zero)};
  if (!z.zero) return tkg__fail(TKG_E_MEMORY, "neighborhood: no memory");
  z.unread = z.zero + nodes;
  for (z.within = 0; z.within < p->forward; z.within++) {
    if (!is_whole(&z, z.within)) continue;
    z.count = 0;
    find_readers(&z, z.within);
    find_zero(&z);
    find_unread(&z);
    leave_out(&z);
  }
  free(z.zero);
  return TKG_OK;
}
