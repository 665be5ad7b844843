/* Where a pass computes only the rows that are gathered, an op that the recipe gave no ids reads
 * those of a gather on another line. A bad id is then told at the line of the gather. */
#include "ids_lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* The leaf whose numbers node v has, in another shape or its own; -1: they are computed. */
static int leaf_of(const tkg_tape *tape, int v) {
  while (tape->nodes[v].op == TKG_OP_RESHAPE) v = tape->nodes[v].in[0];
  return tape->nodes[v].op == TKG_OP_LEAF ? v : -1;
}

static bool reads(const tkg_tape *tape, const tkg_node *n, int leaf) {
  for (int k = 0; k < n->inputs; k++)
    if (n->in[k] >= 0 && leaf_of(tape, n->in[k]) == leaf) return true;
  return false;
}

/* The line of the gather with these ids; NULL where the op's own line, `own`, was given them. Of
 * several gathers that of the fewest rows: it has a bad id if any other has. */
static const char *line_of_gather(const tkg_tape *recorded, int leaf, const char *own) {
  const char *line = NULL;
  int64_t least = INT64_MAX;
  for (int i = 0; i < recorded->n; i++) {
    const tkg_node *n = &recorded->nodes[i];
    const char *where = recorded->side[i].where;
    if (!where || !reads(recorded, n, leaf)) continue;
    if (own && strcmp(own, where) == 0) return NULL;
    if (n->op != TKG_OP_GATHER || recorded->nodes[n->in[0]].shape[0] >= least) continue;
    least = recorded->nodes[n->in[0]].shape[0];
    line = where;
  }
  return line;
}

/* Whether a pass may have given the op its ids. */
static bool may_have_got_ids(const tkg_node *n) {
  return n->op == TKG_OP_GATHER || n->op == TKG_OP_AGGREGATE_ROWS ||
         n->op == TKG_OP_AGGREGATE_MUL_ROWS || n->op == TKG_OP_DROPOUT;
}

int tkg__ids_lines(tkg_program *p, const tkg_tape *recorded) {
  p->ids_line = calloc((size_t)p->tape->n + 1, sizeof *p->ids_line);
  if (!p->ids_line) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  for (int i = 0; i < p->forward; i++) {
    const tkg_node *n = &p->tape->nodes[i];
    for (int k = 0; k < n->inputs && may_have_got_ids(n) && !p->ids_line[i]; k++) {
      const int leaf = n->in[k] < 0 ? -1 : leaf_of(p->tape, n->in[k]);
      if (leaf < 0 || p->tape->nodes[leaf].dtype != TKG_I32 || !p->tape->side[leaf].origin)
        continue;
      const char *own = p->tape->side[i].where;
      const char *line = line_of_gather(recorded, p->tape->side[leaf].origin - 1, own);
      p->ids_line[i] = tkg__tape_line(p->tape, line);
    }
  }
  return TKG_OK;
}
