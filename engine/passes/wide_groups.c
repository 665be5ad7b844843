/* A tile has whole rows. Where one row is as large as the memory of a tile, as of a matrix with a
 * column per entity, nodes would run one by one, and each would move all of the matrix. What they
 * compute is mostly element by element: so, where a device has rules for them
 * (tkg_tile_rules.runs_wide), they run together a piece of the matrix at a time, wherever its rows
 * end.
 *
 * Nodes of such a group stand apart in the order of recording. Others between them that read
 * nothing of the group, and make less than it, run before it: they are placed at once, while the
 * group waits. Codes of its values, and sums of their rows, are made behind it. Any other reader
 * ends it. */
#include "wide_groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum { HALF = 2 }; /* a value so many times smaller than the group's may be made before it */

typedef struct wide_group {
  tkg_program *p;
  const tkg_tile_rules *rules;
  int32_t *from;    /* the order as it was */
  int32_t *members; /* of the group being made, and what waits to stand behind it: */
  int32_t *behind;
  int count, waiting;
  bool *made; /* by storage: it is made by one of these */
  int placed; /* places of the order that are final */
  int64_t rows, cols;
} wide_group;

bool tkg__in_wide_group(const tkg_program *p, int i) {
  return p->group_of[i] >= 0 && p->groups[p->group_of[i]].wide > 0;
}

bool tkg__is_wide_value(const tkg_program *p, int i) {
  if (!tkg__in_wide_group(p, i)) return false;
  const tkg_group *g = &p->groups[p->group_of[i]];
  return tkg__count(&p->tape->nodes[i]) == g->rows * g->wide;
}

/* The value that has the rows which node i goes through: its result, or what it takes columns of.
 */
static const tkg_node *rows_of(const tkg_program *p, int i) {
  const tkg_node *n = &p->tape->nodes[i];
  return n->op == TKG_OP_NARROW ? &p->tape->nodes[n->in[0]] : n;
}

static bool runs_wide(const wide_group *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(w->p->tape, n, in);
  return w->p->storage[i] == i && w->p->group_of[i] < 0 && w->p->slice[i] == 0 &&
         w->rules->runs_wide(n, in);
}

static bool reads(const wide_group *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i];
  for (int k = 0; k < n->inputs; k++)
    if (w->made[w->p->storage[n->in[k]]]) return true;
  return false;
}

/* Whether node n reads its input k, which the group makes, element by element. */
static bool reads_elements(const wide_group *w, const tkg_node *n, int k) {
  const int v = n->in[k];
  const bool moved = n->op == TKG_OP_PAD && k == 0;
  return w->p->storage[v] == v && !moved && tkg__count(&w->p->tape->nodes[v]) == w->rows * w->cols;
}

/* Whether a node that can run in a wide group can run in that being made. */
static bool joins(const wide_group *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i], *x = rows_of(w->p, i);
  if (w->count == 0 || w->count == w->rules->most_nodes) return false;
  if (tkg__rows(x) != w->rows || tkg__cols(x) != w->cols) return false;
  for (int b = 0; b < w->waiting; b++)
    for (int k = 0; k < n->inputs; k++)
      if (w->p->storage[n->in[k]] == w->p->storage[w->behind[b]]) return false;
  for (int k = 0; k < n->inputs; k++)
    if (w->made[w->p->storage[n->in[k]]] && !reads_elements(w, n, k)) return false;
  return true;
}

static void place(wide_group *w, int i) { w->p->order[w->placed++] = i; }

static void close_group(wide_group *w) {
  tkg_program *p = w->p;
  for (int k = 0; k < w->count; k++) {
    if (w->count > 1) p->group_of[w->members[k]] = p->group_count;
    w->made[w->members[k]] = false;
    place(w, w->members[k]);
  }
  for (int k = 0; k < w->waiting; k++) {
    w->made[p->storage[w->behind[k]]] = false;
    place(w, w->behind[k]);
  }
  if (w->count > 1)
    p->groups[p->group_count++] =
        (tkg_group){.rows = w->rows, .wide = w->cols, .tile = w->rules->wide_tile, .chunks = 1};
  w->count = w->waiting = 0;
}

static void join(wide_group *w, int i) {
  const tkg_node *x = rows_of(w->p, i);
  if (w->count == 0) {
    w->rows = tkg__rows(x);
    w->cols = tkg__cols(x);
  }
  w->made[i] = true;
  w->members[w->count++] = i;
}

/* The place behind the group of tiles, with the views between its members, that begins at place o,
 * or behind the node there. */
static int unit_end(const wide_group *w, int o, int count) {
  const tkg_program *p = w->p;
  const int group = p->group_of[w->from[o]];
  int end = o + 1;
  for (int r = end; group >= 0 && r < count; r++)
    if (p->group_of[w->from[r]] == group) end = r + 1;
  return end;
}

/* Whether the nodes at places o..end-1 can run before the group being made. */
static bool may_run_before(const wide_group *w, int o, int end) {
  for (int r = o; r < end; r++) {
    const int i = w->from[r];
    if (reads(w, i)) return false;
    if (w->p->storage[i] == i && HALF * tkg__count(&w->p->tape->nodes[i]) > w->rows * w->cols)
      return false;
  }
  return true;
}

/* Whether node i stands behind the group being made without ending it: codes of a value, a sum or
 * length of each of its rows, what is computed from so few numbers, or a view of what is made. */
static bool may_stand_behind(const wide_group *w, int i) {
  const tkg_node *n = &w->p->tape->nodes[i];
  if (w->p->storage[i] != i) return true;
  if (w->p->group_of[i] >= 0) return false;
  return n->op == TKG_OP_ENCODE || tkg__count(n) <= w->rules->small;
}

/* Takes the nodes at places o..end-1, a group of tiles or a single one. */
static void take(wide_group *w, int o, int end) {
  const int i = w->from[o];
  if (end == o + 1 && runs_wide(w, i)) {
    if (!joins(w, i)) close_group(w);
    join(w, i);
    return;
  }
  const bool before = w->count == 0 || may_run_before(w, o, end);
  if (!before && end == o + 1 && may_stand_behind(w, i)) {
    w->made[w->p->storage[i]] = true;
    w->behind[w->waiting++] = i;
    return;
  }
  if (!before) close_group(w);
  for (int r = o; r < end; r++) place(w, w->from[r]);
}

int tkg__group_wide(tkg_program *p) {
  const size_t n = (size_t)p->tape->n + 1;
  wide_group w = {.p = p, .rules = p->tape->engine->backend->tiles};
  w.from = calloc(3 * n, sizeof *w.from);
  w.made = calloc(n, sizeof *w.made);
  const bool ok = w.from && w.made;
  if (ok) {
    w.members = w.from + n;
    w.behind = w.from + 2 * n;
    memcpy(w.from, p->order, (size_t)p->order_count * sizeof *w.from);
    for (int o = 0; o < p->order_count;) {
      const int end = unit_end(&w, o, p->order_count);
      take(&w, o, end);
      o = end;
    }
    close_group(&w);
  }
  free(w.from);
  free(w.made);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "wide groups: no memory");
}
