/* Losses, regularizers and their gradients are long chains of ops on few numbers. Where a device
 * has rules for them (tkg_tile_rules.small), such ops run together in one launch.
 *
 * They stand between others in the order of recording. So each waits until a node that is not small
 * reads it; then all that wait run, in groups. Other nodes move before those that wait: they read
 * none of them, and lifetimes are found in the order that results. A group of tiles, with the views
 * between its members, moves as one. */
#include "small_groups.h"

#include <stdlib.h>

#include "base/error.h"

typedef struct waiting {
  tkg_program *p;
  int32_t *nodes; /* that wait, in order, with their views */
  int count;
  bool *waits; /* by storage */
  int placed;  /* places of the order that are final; all others before the current one wait */
} waiting;

static const tkg_tile_rules *rules_of(const tkg_program *p) {
  return p->tape->engine->backend->tiles;
}

static bool is_small(const tkg_program *p, int i) {
  const tkg_node *n = &p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(p->tape, n, in);
  return p->group_of[i] < 0 && rules_of(p)->runs_small(n, in);
}

bool tkg__adds_up_small(const tkg_node *n) {
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
    adds |= tkg__adds_up_small(&p->tape->nodes[i]);
  }
  if (members < 2 && !adds) return;
  for (int o = first; o < end; o++)
    if (p->storage[p->order[o]] == p->order[o]) p->group_of[p->order[o]] = p->group_count;
  p->groups[p->group_count++] = (tkg_group){.rows = 0};
}

/* Puts all that wait into the order, in groups of at most most_nodes. */
static void place_waiting(waiting *w) {
  tkg_program *p = w->p;
  int first = w->placed, members = 0;
  for (int k = 0; k < w->count; k++) {
    const int i = w->nodes[k];
    if (p->storage[i] == i && members++ == rules_of(p)->most_nodes) {
      make_group(p, first, w->placed);
      first = w->placed;
      members = 1;
    }
    p->order[w->placed++] = i;
    w->waits[p->storage[i]] = false;
  }
  make_group(p, first, w->placed);
  w->count = 0;
}

/* The place of the last member of the group of tiles that begins at place o; o if none does. */
static int end_of_tiles(const tkg_program *p, int o) {
  const int group = p->group_of[p->order[o]];
  int last = o;
  for (int r = o + 1; group >= 0 && r < p->order_count; r++)
    if (p->group_of[p->order[r]] == group) last = r;
  return last;
}

static bool reads_waiting(const waiting *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i];
  for (int k = 0; k < n->inputs; k++)
    if (w->waits[w->p->storage[n->in[k]]]) return true;
  return false;
}

/* Whether node i is a sum that is to be written over what a waiting node reads (sums_in_place.c).
 */
static bool waited_for(const waiting *w, int i) {
  const tkg_tape *tape = w->p->tape;
  if (w->p->slice[i] == 0) return false;
  for (int o = 0; o < w->count; o++) {
    const tkg_node *n = &tape->nodes[w->nodes[o]];
    for (int k = 0; k < n->inputs; k++)
      if (w->p->storage[n->in[k]] == w->p->storage[tape->nodes[i].in[1]]) return true;
  }
  return false;
}

/* Places nodes first..last, behind those that wait if they read one. */
static void place(waiting *w, int first, int last) {
  tkg_program *p = w->p;
  bool reads = false;
  for (int o = first; o <= last; o++)
    reads |= reads_waiting(w, p->order[o]) || waited_for(w, p->order[o]);
  if (reads) place_waiting(w);
  for (int o = first; o <= last; o++) p->order[w->placed++] = p->order[o];
}

/* Places or holds back node i, or the group of tiles that begins at place o. Returns the last place
 * that this takes. */
static int place_next(waiting *w, int o) {
  const tkg_program *p = w->p;
  const int i = p->order[o], last = end_of_tiles(p, o);
  const bool view = p->storage[i] != i;
  if (view ? w->waits[p->storage[i]] : is_small(p, i)) {
    w->nodes[w->count++] = i;
    w->waits[p->storage[i]] = true;
    return o;
  }
  place(w, o, last);
  return last;
}

int tkg__group_small(tkg_program *p) {
  const size_t n = (size_t)p->tape->n + 1;
  waiting w = {.p = p, .nodes = calloc(n, sizeof *w.nodes), .waits = calloc(n, sizeof *w.waits)};
  const bool ok = w.nodes && w.waits;
  for (int o = 0; ok && o < p->order_count; o++) o = place_next(&w, o);
  if (ok) place_waiting(&w);
  free(w.nodes);
  free(w.waits);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "small groups: no memory");
}
