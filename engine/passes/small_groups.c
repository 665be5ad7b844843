/* Losses, regularizers and their gradients are long chains of ops on few numbers. Where a device
 * has rules for them (tkg_tile_rules.small), such ops run together in one launch.
 *
 * They stand between others in the order of recording. So each waits until a node that is not small
 * reads it; then all that wait run, in groups. Other nodes move before those that wait: they read
 * none of them, and lifetimes are found in the order that results. A group of tiles, with the views
 * between its members, moves as one. A few numbers that stand behind and read nothing that is still
 * to come, such as the factors of a loss's terms in backward, run with those that wait. */
#include "small_groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { NUMBERS = 64 }; /* elements of a value that may be made long before it is read */

typedef struct waiting {
  tkg_program *p;
  int32_t *from;  /* the order as it was */
  int32_t *nodes; /* that wait, in order, with their views */
  int count;
  bool *waits; /* by storage */
  bool *taken; /* by node: it is placed, or waits */
  int placed;  /* places of the order that are final */
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

static void wait_for_reader(waiting *w, int i) {
  w->nodes[w->count++] = i;
  w->waits[w->p->storage[i]] = w->taken[i] = true;
}

static bool is_ready(const waiting *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i];
  for (int k = 0; k < n->inputs; k++)
    if (w->p->tape->nodes[n->in[k]].op != TKG_OP_LEAF && !w->taken[n->in[k]]) return false;
  return true;
}

/* Lets the few numbers behind place o that are ready wait as well, and their views. */
static void fetch_numbers(waiting *w, int o) {
  const tkg_program *p = w->p;
  for (o++; o < p->order_count; o++) {
    const int i = w->from[o];
    if (w->taken[i] || tkg__count(&p->tape->nodes[i]) > NUMBERS || !is_ready(w, i)) continue;
    if (p->storage[i] != i ? w->waits[p->storage[i]] : is_small(p, i)) wait_for_reader(w, i);
  }
}

/* Puts all that wait into the order, in groups of at most most_nodes. Places up to o are placed or
 * wait. */
static void place_waiting(waiting *w, int o) {
  tkg_program *p = w->p;
  if (w->count > 0) fetch_numbers(w, o);
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
static int end_of_tiles(const waiting *w, int o) {
  const tkg_program *p = w->p;
  const int group = p->group_of[w->from[o]];
  int last = o;
  for (int r = o + 1; group >= 0 && r < p->order_count; r++)
    if (p->group_of[w->from[r]] == group) last = r;
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
    reads |= reads_waiting(w, w->from[o]) || waited_for(w, w->from[o]);
  if (reads) place_waiting(w, last);
  for (int o = first; o <= last; o++) {
    if (w->taken[w->from[o]]) continue;
    w->taken[w->from[o]] = true;
    p->order[w->placed++] = w->from[o];
  }
}

/* Places or holds back node i, or the group of tiles that begins at place o. Returns the last place
 * that this takes. */
static int place_next(waiting *w, int o) {
  const tkg_program *p = w->p;
  const int i = w->from[o], last = end_of_tiles(w, o);
  const bool view = p->storage[i] != i;
  if (w->taken[i]) return o;
  if (view ? w->waits[p->storage[i]] : is_small(p, i)) {
    wait_for_reader(w, i);
    return o;
  }
  place(w, o, last);
  return last;
}

int tkg__group_small(tkg_program *p) {
  const size_t n = (size_t)p->tape->n + 1;
  int32_t *nodes = calloc(2 * n, sizeof *nodes);
  bool *flags = calloc(2 * n, sizeof *flags);
  const bool ok = nodes && flags;
  if (ok) {
    waiting w = {.p = p, .nodes = nodes, .from = nodes + n, .waits = flags, .taken = flags + n};
    memcpy(w.from, p->order, (size_t)p->order_count * sizeof *w.from);
    for (int o = 0; o < p->order_count; o++) o = place_next(&w, o);
    place_waiting(&w, p->order_count);
  }
  free(nodes);
  free(flags);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "small groups: no memory");
}
