/* neighborhood: of the layer below a batch's rows, only what the batch reaches is computed.
 *
 * Behind prune_rows the last layer of a model on a graph has the rows of a batch alone. Of the
 * layer below it, which is a whole matrix, they read themselves and the tails of their edges: their
 * neighborhood, a third of the nodes where a batch has a hundredth. prune_rows records it
 * (NEIGHBORHOOD) before that layer, since which nodes these are is known once the batch is.
 *
 * For each neighborhood this pass asks of every value whose rows are the graph's nodes:
 *   zero    are its rows outside zero? So are gradients: what a batch's rows are passed back to
 * lies in its neighborhood, and ops that are linear in a gradient keep it there. unread  does
 * nobody read its rows outside, or only to multiply them with zero? Sums over edges then leave out
 * unread rows, and edges to tails whose rows are zero; products of matrices leave out rows of both
 * kinds. Values keep their shapes, so nothing else changes: rows that are left out are zero, and
 * what is computed from them is some finite number that nobody reads. The numbers that are read are
 * the same, but that zeros are not added to them. */
#include "neighborhood.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "data/packed_graph.h"

typedef struct outside {
  const tkg_program *p;
  const tkg_tape *tape;
  int within; /* the NEIGHBORHOOD node */
  bool *zero, *unread;
} outside;

static const tkg_node *node_of(const outside *z, int i) { return &z->tape->nodes[i]; }

/* Whether node i has the ids that the neighborhood is of. */
static bool is_batch(const outside *z, int i) { return i == node_of(z, z->within)->in[1]; }

/* Whether these are ids of rows that the neighborhood has: of a graph whose heads and tails are the
 * same nodes. */
static bool is_within(const outside *z, int i) {
  const tkg_node *to = node_of(z, z->within);
  return is_batch(z, i) && to->i[0] == to->i[1];
}

/* Whether the value is a matrix with a row for each node of the neighborhood's graph. */
static bool has_its_rows(const outside *z, int i) {
  const tkg_node *n = node_of(z, i);
  return n->dtype == TKG_F32 && n->rank == 2 && n->shape[0] == node_of(z, z->within)->shape[0];
}

/* Whether row i of node n reads row i of its input k. */
static bool is_aligned(const outside *z, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  return tkg__row_access(n, in, k) == TKG_ACCESS_ROW && has_its_rows(z, n->in[k]);
}

/* ---- rows that are zero ---- */

/* Whether a sum, by head, of rows of the batch stays in the neighborhood: it goes its edges back.
 */
static bool goes_back(const outside *z, const tkg_node *n) {
  const tkg_node *to = node_of(z, z->within), *row_of = node_of(z, n->in[2]);
  const bool other_way =
      n->i[3] & TKG_GRAPH_SYMMETRIC || n->i[3] == (to->i[3] ^ TKG_GRAPH_BACKWARD);
  return n->in[0] == to->in[0] && other_way && row_of->op == TKG_OP_INVERSE_INDEX &&
         is_batch(z, row_of->in[0]);
}

/* Whether rows outside of node n are zero whatever those of its input `but` are; -1: none. An op
 * makes zeros of zeros if it multiplies by one, or adds up nothing else. */
static bool is_zero(const outside *z, const tkg_node *n, int but) {
  bool adds = false, all = true, any = false;
  if (n->op == TKG_OP_AGGREGATE_INDEXED) return but < 0 && goes_back(z, n);
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

/* Whether node i reads no row outside of its input k, or to no effect. */
static bool leaves_out(const outside *z, int i, int k) {
  const tkg_node *n = node_of(z, i), *to = node_of(z, z->within), *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  if (n->op == TKG_OP_GATHER) return k == 0 && is_within(z, n->in[1]);
  if (n->op == TKG_OP_AGGREGATE_ROWS)
    return k == 1 && n->in[0] == to->in[0] && is_batch(z, n->in[2]) &&
           memcmp(n->i, to->i, sizeof n->i) == 0;
  if (!tkg__stays_finite(n)) return false; /* 0 times infinity is NaN */
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
  const bool tails = z->zero[n->in[1]], weighted = n->inputs > 2;
  const int w = weighted ? n->in[2] : 0;
  if (!z->unread[i] && !tails) return;
  n->op = z->unread[i] ? TKG_OP_AGGREGATE_WHERE : TKG_OP_AGGREGATE_INDEXED;
  n->inputs = (uint8_t)(3 + weighted);
  n->in[2] = z->within;
  n->in[3] = w;
}

static void leave_out_of_product(const outside *z, int i) {
  tkg_node *n = &z->tape->nodes[i];
  const bool zero = z->zero[n->in[0]] || (n->i[0] && z->zero[n->in[1]]);
  const bool sums = n->i[0] && !n->i[1];
  if (n->inputs > 2 || !(zero || (!sums && z->unread[i]))) return;
  if (!has_its_rows(z, n->in[0]) || (n->i[0] && !sums)) return;
  n->in[n->inputs++] = z->within;
}

static void leave_out(const outside *z) {
  for (int i = z->within + 1; i < z->tape->n; i++) {
    if (node_of(z, i)->op == TKG_OP_AGGREGATE) leave_out_of_sum(z, i);
    if (node_of(z, i)->op == TKG_OP_MATMUL) leave_out_of_product(z, i);
  }
}

int tkg__leave_out_rows(tkg_program *p) {
  const size_t nodes = (size_t)p->tape->n + 1;
  outside z = {.p = p, .tape = p->tape, .zero = calloc(2 * nodes, sizeof *z.zero)};
  if (!z.zero) return tkg__fail(TKG_E_MEMORY, "neighborhood: no memory");
  z.unread = z.zero + nodes;
  for (z.within = 0; z.within < p->forward; z.within++) {
    if (node_of(&z, z.within)->op != TKG_OP_NEIGHBORHOOD) continue;
    find_zero(&z);
    find_unread(&z);
    leave_out(&z);
  }
  free(z.zero);
  return TKG_OK;
}
