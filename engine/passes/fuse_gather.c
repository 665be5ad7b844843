/* A weighted sum over gathered rows reads the table and the ids itself, so the gathered copy, k
 * rows per node, is made neither in forward nor for backward. The gather stays on the tape for its
 * other readers; without one, prune_rows drops it and the plan does not run it. */
#include "fuse_gather.h"

static void fuse(const tkg_tape *tape, tkg_node *n) {
  const tkg_node *x = &tape->nodes[n->in[1]];
  if (n->op != TKG_OP_NEIGHBOR_SUM || n->inputs != 2 || x->op != TKG_OP_GATHER) return;
  if (tape->nodes[x->in[0]].rank != 2 || tkg__count(&tape->nodes[x->in[1]]) != tkg__rows(x)) return;
  n->in[1] = x->in[0];
  n->in[2] = x->in[1];
  n->inputs = 3;
}

void tkg__fuse_gather(const tkg_program *p) {
  for (int i = 0; i < p->tape->n; i++)
    if (p->tape->nodes[i].inputs > 1) fuse(p->tape, &p->tape->nodes[i]);
}
