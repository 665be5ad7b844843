#include "share_ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Whether two nodes are the same computation, whatever line recorded them. */
static bool is_same(const tkg_node *a, const tkg_node *b) {
  return a->op == b->op && a->dtype == b->dtype && a->rank == b->rank && a->inputs == b->inputs &&
         memcmp(a->in, b->in, sizeof a->in) == 0 &&
         memcmp(a->shape, b->shape, sizeof a->shape) == 0 && tkg__same_attributes(a, b);
}

/* The first node from `first` on that is the same as node i, or i. */
static int first_of(const tkg_tape *tape, int first, int i) {
  const tkg_node *n = &tape->nodes[i];
  if (n->dtype != TKG_I32 || n->op == TKG_OP_LEAF) return i;
  for (int j = first; j < i; j++)
    if (is_same(&tape->nodes[j], n)) return j;
  return i;
}

int tkg__share_ids(tkg_program *p) {
  tkg_tape *tape = p->tape;
  int32_t *shared = malloc(((size_t)tape->n + 1) * sizeof *shared);
  if (!shared) return tkg__fail(TKG_E_MEMORY, "share_ids: no memory");
  for (int i = 0; i < tape->n; i++) {
    tkg_node *n = &tape->nodes[i];
    for (int k = 0; k < n->inputs; k++) n->in[k] = shared[n->in[k]];
    shared[i] = first_of(tape, i < p->forward ? 0 : p->forward, i);
  }
  for (int k = 0; k < p->output_count; k++) p->outputs[k] = shared[p->outputs[k]];
  free(shared);
  return TKG_OK;
}
