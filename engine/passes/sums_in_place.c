/* sums in place: y = A x over the edges of a graph, written over x.
 *
 * A row of y needs rows of x anywhere, so y is a matrix beside x. But column j of y needs column j
 * of x alone. So a sum can make a few columns of all rows in scratch memory, copy them over those
 * of x, and go on to the next: one matrix and a slice instead of two matrices. Each element is
 * summed as in one piece, in the same order.
 *
 * Where there is room for more, y has memory of its own that overlaps that of x: some of its rows
 * lie over x, the others beside it. The others are summed at once, into their place. Of the former
 * a slice of the columns is made in scratch memory, the rest over the columns of x that are dead
 * then; at last both are moved to where they belong. Their edges alone are read twice.
 *
 * x has to be dead then. A layer's rows are also read by what gathers those of a batch: such
 * readers move before the sum, with what they are computed from, unless they depend on its result.
 * Whether x is dead when the plan is made is for memory_plan.c to say; if it is not, y gets memory
 * of its own. The edges are read once per slice, and a sum in place runs in no group, so plan.c
 * makes only those without which the arena would be larger. */
#include "sums_in_place.h"

#include <string.h>

#include "tile.h"

enum { LEAST = 4096 /* bytes of a matrix that is worth it */, UNIT = 16 /* columns: a line */ };

/* The input that is summed. */
enum { SUMMED = 1 };

static bool is_result(const tkg_program *p, int v) {
  for (int i = 0; i < p->output_count; i++)
    if (p->storage[p->outputs[i]] == v) return true;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    if (p->storage[p->gradient_of[i]] == v) return true;
  return false;
}

/* Whether the backend makes the same bits in slices as without: in groups, some add up in an order
 * of their own, and so do their sums in slices. */
static bool same_bits(const tkg_planner *z, const tkg_node *n) {
  const tkg_tile_rules *rules = z->tape->engine->backend->tiles;
  if (!rules || rules->most_bytes == 0) return true;
  return tkg__part(z->tape, n) == TKG_PART_ROWS && tkg__rows(n) >= rules->least_rows &&
         tkg__count(n) > rules->small;
}

/* Whether the op can be made in slices, and takes little longer so: sums by halves take as long as
 * in one piece if they multiply by relation vectors, a half longer if not, which is too much for a
 * training step. */
static bool is_worth(const tkg_planner *z, const tkg_node *n) {
  return n->op == TKG_OP_AGGREGATE_MUL || (n->op == TKG_OP_AGGREGATE && tkg__forward_only(z->p));
}

bool tkg__may_sum_in_place(const tkg_planner *z, int i) {
  const tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  if (!is_worth(z, n)) return false;
  const int v = n->in[SUMMED];
  const tkg_node *x = &z->tape->nodes[v];
  if (!z->needed[i] || !p->tiled || !p->in_place || !z->tape->engine->backend->slice_bytes)
    return false;
  if (x->op == TKG_OP_LEAF || x->dtype != TKG_F32 || p->storage[v] != v || p->storage[i] != i)
    return false;
  if (tkg__bytes(x) != tkg__bytes(n) || tkg__cols(x) != tkg__cols(n) || tkg__bytes(n) < LEAST ||
      tkg__cols(n) < 2 * UNIT)
    return false;
  for (int k = 0; k < n->inputs; k++)
    if (k != SUMMED && p->storage[n->in[k]] == v) return false;
  return !is_result(p, v) && same_bits(z, n);
}

bool tkg__may_overlap(const tkg_planner *z, int i) {
  const tkg_node *n = &z->tape->nodes[i];
  return z->p->slice[i] > 0 && z->tape->engine->backend->overlap_bytes &&
         tkg__cols(n) % UNIT == 0 && tkg__cols(n) <= 2 * (int64_t)z->p->slice[i];
}

static bool reads(const tkg_planner *z, int o, int v) {
  const tkg_node *n = &z->tape->nodes[z->p->order[o]];
  for (int k = 0; k < n->inputs; k++)
    if (z->p->storage[n->in[k]] == v) return true;
  return false;
}

/* Marks in `early`, by node, what reads storage v behind place o, and what that is computed from.
 * Returns whether none of it reads node i, which stands there. */
static bool find_early(const tkg_planner *z, int o, int v, bool *early) {
  const int i = z->p->order[o];
  memset(early, 0, (size_t)z->tape->n * sizeof *early);
  for (int q = z->p->order_count; --q > o;) {
    const tkg_node *n = &z->tape->nodes[z->p->order[q]];
    if (!early[z->p->order[q]] && !reads(z, q, v)) continue;
    early[z->p->order[q]] = true;
    for (int k = 0; k < n->inputs; k++) {
      if (n->in[k] == i) return false;
      early[n->in[k]] = true;
    }
  }
  return true;
}

/* Moves the marked nodes behind place o before it. Returns the new place of what stood there. */
static int move_early(const tkg_planner *z, int o, const bool *early) {
  int32_t *order = z->p->order;
  for (int q = o + 1; q < z->p->order_count; q++) {
    const int32_t node = order[q];
    if (!early[node]) continue;
    memmove(order + o + 1, order + o, (size_t)(q - o) * sizeof *order);
    order[o++] = node;
  }
  return o;
}

void tkg__sums_in_place(tkg_planner *z) {
  tkg_program *p = z->p;
  bool *early = p->ids_ordered; /* not in use before memory is laid out */
  if (z->parts == 0) return;
  for (int o = 0; o < p->order_count; o++) {
    const int i = p->order[o];
    const tkg_node *n = &z->tape->nodes[i];
    if (z->without[i] || !tkg__may_sum_in_place(z, i) || !find_early(z, o, n->in[SUMMED], early))
      continue;
    o = move_early(z, o, early);
    const int64_t slice = (tkg__cols(n) + z->parts - 1) / z->parts;
    p->slice[i] = (int32_t)((slice + UNIT - 1) / UNIT * UNIT);
    p->over[i] = (int32_t)(tkg__rows(n) - tkg__rows(n) * z->beside[i] / TKG_SHARES);
  }
  memset(early, 0, (size_t)z->tape->n * sizeof *early);
}
