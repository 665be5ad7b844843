/* Losses, regularizers and their gradients are long chains of ops on few numbers. Where a device
 * has rules for them (tkg_tile_rules.small), those that follow each other run in one launch. */
#include "small_groups.h"

static const tkg_tile_rules *rules_of(const tkg_program *p) {
  return p->tape->engine->backend->tiles;
}

static bool is_small(const tkg_program *p, int i) {
  const tkg_node *n = &p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(p->tape, n, in);
  return p->group_of[i] < 0 && rules_of(p)->runs_small(n, in);
}

/* Whether the node adds in an order of its own there, so that it must run so alone as well: results
 * do not depend on what else runs. */
static bool adds_up(const tkg_node *n) {
  return n->op == TKG_OP_SUM || n->op == TKG_OP_MATMUL || n->op == TKG_OP_DOT;
}

/* Makes a group of the small nodes at places first..end-1 of the order; the others there are views,
 * which have no kernel. */
static void make_group(tkg_program *p, int first, int end) {
  int members = 0;
  bool adds = false;
  for (int o = first; o < end; o++) {
    const int i = p->order[o];
    if (p->storage[i] != i) continue;
    members++;
    adds |= adds_up(&p->tape->nodes[i]);
  }
  if (members < 2 && !adds) return;
  for (int o = first; o < end; o++)
    if (p->storage[p->order[o]] == p->order[o]) p->group_of[p->order[o]] = p->group_count;
  p->groups[p->group_count++] = (tkg_group){.rows = 0};
}

void tkg__group_small(tkg_program *p) {
  int first = 0, members = 0;
  for (int o = 0; o < p->order_count; o++) {
    const int i = p->order[o];
    if (p->storage[i] != i) continue;
    const bool small = is_small(p, i);
    if (small && members < rules_of(p)->most_nodes) {
      members++;
      continue;
    }
    make_group(p, first, o);
    first = small ? o : o + 1;
    members = small;
  }
  make_group(p, first, p->order_count);
}
