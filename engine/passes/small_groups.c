/* Losses, regularizers and their gradients are long chains of ops on few numbers. Where a device
 * has rules for them (tkg_tile_rules.small), such ops run together in one launch.
 *
 * Those that stand side by side in the order form groups. */
#include "small_groups.h"

#include <string.h>

typedef struct waiting {
  tkg_program *p;
  int32_t *nodes;
  bool *marks; /* by storage: its node waits */
  int count;
  int placed; /* nodes that are in their final places */
} waiting;

static const tkg_tile_rules *rules_of(const tkg_program *p) {
  return p->tape->engine->backend->tiles;
}

static bool is_small(const tkg_program *p, int i) {
  const tkg_node *n = &p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(p->tape, n, in);
  return p->group_of[i] < 0 && p->storage[i] == i && rules_of(p)->runs_small(n, in);
}

/* Whether the node adds in an order of its own there, so that it must run so alone as well: results
 * do not depend on what else runs. */
static bool adds_up(const tkg_node *n) {
  return n->op == TKG_OP_SUM || n->op == TKG_OP_MATMUL || n->op == TKG_OP_DOT;
}

/* Makes a group of nodes first..last-1 of those that wait. */
static void make_group(waiting *w, int first, int last) {
  tkg_program *p = w->p;
  int members = 0;
  bool adds = false;
  for (int k = first; k < last; k++) {
    const int i = w->nodes[k];
    if (p->storage[i] != i) continue;
    members++;
    adds |= adds_up(&p->tape->nodes[i]);
  }
  if (members < 2 && !adds) return;
  for (int k = first; k < last; k++)
    if (p->storage[w->nodes[k]] == w->nodes[k]) p->group_of[w->nodes[k]] = p->group_count;
  p->groups[p->group_count++] = (tkg_group){.rows = 0};
}

/* Puts all that wait into the order, in groups of at most most_nodes. */
static void flush(waiting *w) {
  tkg_program *p = w->p;
  int first = 0, members = 0;
  for (int k = 0; k < w->count; k++) {
    const int i = w->nodes[k];
    if (p->storage[i] == i && members++ == rules_of(p)->most_nodes) {
      make_group(w, first, k);
      first = k;
      members = 1;
    }
    p->order[w->placed++] = i;
    w->marks[p->storage[i]] = false;
  }
  make_group(w, first, w->count);
  w->count = 0;
}

void tkg__group_small(tkg_program *p,
                      int32_t *nodes, // NOLINT(readability-non-const-parameter): written
                      bool *marks) {  // NOLINT(readability-non-const-parameter): written
  waiting w = {.p = p, .nodes = nodes, .marks = marks};
  memset(marks, 0, (size_t)p->tape->n * sizeof *marks);
  for (int o = 0, last; o < p->order_count; o = last + 1) {
    const int i = p->order[o], group = p->group_of[i];
    last = o;
    if (is_small(p, i) || (p->storage[i] != i && marks[p->storage[i]])) {
      w.nodes[w.count++] = i;
      marks[p->storage[i]] = true;
      continue;
    }
    while (group >= 0 && last + 1 < p->order_count && (p->group_of[p->order[last + 1]] == group))
      last++;
    flush(&w);
    for (int k = o; k <= last; k++) p->order[w.placed++] = p->order[k];
  }
  flush(&w);
}
