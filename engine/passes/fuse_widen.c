/* A parameter of 16 bits is recorded as a leaf and its widened copy, which everything reads. Ops
 * that read rows of it, by id or along edges, decode what they read themselves, and of neighbouring
 * rows only those are widened: the copy, twice as large as the parameter, is made only for other
 * ops, on the CPU in tiles where they are row by row. */
#include "fuse_widen.h"

/* Elements of a row; 0 of a tensor without rows. */
static int64_t row_length(const tkg_node *n) {
  return n->shape[0] > 0 ? tkg__count(n) / n->shape[0] : 0;
}

/* Widens the rows that are narrowed to, instead of narrowing what was widened. */
static void narrow_first(const tkg_tape *tape, tkg_node *n) {
  const tkg_node *widened = &tape->nodes[n->in[0]];
  if (n->op != TKG_OP_NARROW || n->i[0] != 0 || widened->op != TKG_OP_WIDEN) return;
  n->op = TKG_OP_WIDEN;
  n->i[0] = widened->i[0] + n->i[1] * row_length(widened);
  n->i[1] = 0;
  n->in[0] = widened->in[0];
}

/* Whether the rows that a node reads of its table are found along the edges of a graph, which has
 * no tail beyond the rows that were recorded. */
static bool reads_by_edges(const tkg_node *n) {
  return n->op == TKG_OP_AGGREGATE || n->op == TKG_OP_AGGREGATE_ROWS ||
         n->op == TKG_OP_AGGREGATE_WHERE || n->op == TKG_OP_AGGREGATE_MUL ||
         n->op == TKG_OP_AGGREGATE_MUL_ROWS;
}

/* Whether table t of node n is a parameter, widened: all of it or, where rows are found along
 * edges, its first rows. */
static bool is_widened(const tkg_tape *tape, const tkg_node *n, const tkg_node *t) {
  if (t->op != TKG_OP_WIDEN) return false;
  const tkg_node *whole = &tape->nodes[t->in[0]];
  if (tkg__count(t) == tkg__count(whole)) return true;
  return reads_by_edges(n) && t->i[0] == 0 && tkg__cols(t) == tkg__cols(whole);
}

void tkg__fuse_widen(const tkg_program *p) {
  const tkg_tape *tape = p->tape;
  for (int i = 0; i < tape->n; i++) {
    tkg_node *n = &tape->nodes[i];
    int32_t *table = &n->in[n->op == TKG_OP_GATHER ? 0 : 1];
    if (tkg__op_is(n->op, TKG_HALVES) && is_widened(tape, n, &tape->nodes[*table]))
      *table = tape->nodes[*table].in[0];
    if (n->inputs == 1) narrow_first(tape, n);
  }
}
