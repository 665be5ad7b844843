/* A parameter of 16 bits is recorded as a leaf and its widened copy, which everything reads. Ops
 * that read rows of it, by id or along edges, decode what they read themselves: the copy, twice as
 * large as the parameter, is made only for others, on the CPU in tiles where they are row by row.
 */
#include "fuse_widen.h"

void tkg__fuse_widen(const tkg_program *p) {
  const tkg_tape *tape = p->tape;
  for (int i = 0; i < tape->n; i++) {
    tkg_node *n = &tape->nodes[i];
    int32_t *table = &n->in[n->op == TKG_OP_GATHER ? 0 : 1];
    if (tkg__op_is(n->op, TKG_HALVES) && tape->nodes[*table].op == TKG_OP_WIDEN)
      *table = tape->nodes[*table].in[0];
  }
}
