/* The tile pass finds groups of nodes that run a block of rows at a time: all of them for one
 * block, then all of them for the next.
 *
 * Most of a graph network's layer depends row by row on its inputs. Run node by node, each of its
 * values is written to memory as a whole and read again; run in tiles of a few hundred rows, they
 * stay in cache, and a value that only the group reads never exists as a whole. Sums over all rows
 * - weight gradients, biases - are formed along the way, one partial sum per chunk of tiles. What
 * is read as a whole (by a gather, by a sum over a graph) must be finished before: there a group
 * ends.
 *
 * Chunks are the parts of tkg__row_parts, whatever the tile, so a sum has the same bits in every
 * group and alone. */
#include "tile.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "chunks.h"
#include "small_groups.h"
#include "wide_groups.h"

enum { FEW = 8 };    /* a node with so many times fewer rows may run before a group */
enum { WEIGHT = 4 }; /* a weight has at most so many times the elements of a small value */

static const tkg_tile_rules *rules_of(const tkg_tape *tape) { return tape->engine->backend->tiles; }

/* ---- what a node can be ---- */

bool tkg__in_small_group(const tkg_program *p, int i) {
  return p->group_of[i] >= 0 && p->groups[p->group_of[i]].rows == 0;
}

bool tkg__makes_parts(const tkg_program *p, int i) {
  return p->group_of[i] >= 0 && !tkg__in_small_group(p, i) &&
         tkg__part(p->tape, &p->tape->nodes[i]) == TKG_PART_REDUCES;
}

static tkg_row_range rows_of(const tkg_tape *tape, const tkg_node *n, enum tkg_part part) {
  if (tkg__is_list(tape, n)) return (tkg_row_range){.rows = tkg__count(n)};
  return tkg__row_range(part == TKG_PART_REDUCES ? &tape->nodes[n->in[0]] : n);
}

/* Returns the least rows such that a tile of the node is a whole number of flat blocks. */
static int64_t tile_for(const tkg_tile_rules *rules, const tkg_node *n, enum tkg_part part) {
  int64_t tile = rules->tile;
  while (part == TKG_PART_ROWS && tile < rules->block && tile * tkg__tile_cols(n) % rules->block)
    tile *= 2;
  return tile;
}

/* ---- groups ---- */

typedef struct grouping {
  tkg_program *p;
  const tkg_tape *tape;
  const tkg_tile_rules *rules;
  int first; /* of the group being made: position in the order */
  int members;
  bool adds;  /* one adds up in an order of its own: it runs so in a group of one as well */
  int nodes;  /* its members, but for those that add few rows: they gain nothing from tiles */
  int serial; /* counts groups that were begun */
  tkg_row_range rows;
  int64_t tile;
  int32_t *made;  /* by node: the group that it was made in, by its serial number */
  bool *early;    /* by node: it runs in the first part of a group that is split */
  int32_t *later; /* the other nodes of that group */
  int deferred;   /* small nodes that stand behind the group being made until it ends */
  bool *waits;    /* by storage: it is made by one of these */
} grouping;

static bool runs_small(const grouping *z, int i) {
  const tkg_node *n = &z->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  return z->rules->small > 0 && z->rules->runs_small(n, in);
}

/* Whether a small group could have all nodes of the group being made, which ends at `end`: there
 * they can run together with others that surround them. */
static bool all_small(const grouping *z, int end) {
  bool small = z->rules->small > 0;
  for (int o = z->first; o < end && small; o++)
    small = z->p->storage[z->p->order[o]] != z->p->order[o] || runs_small(z, z->p->order[o]);
  return small;
}

static void close_group(grouping *z, int end) {
  tkg_program *p = z->p;
  bool worth = (z->nodes > 1 || z->adds) && z->rows.rows >= z->rules->least_tiles * z->tile;
  worth = worth && !all_small(z, end);
  if (worth) {
    const int finer = tkg__finer_of(z->rules, &z->rows);
    p->groups[p->group_count] = (tkg_group){.rows = z->rows.rows,
                                            .tile = z->tile,
                                            .first_row = z->rows.first,
                                            .whole_rows = z->rows.whole,
                                            .chunks = tkg__chunks_of(z->rules, &z->rows, finer),
                                            .finer = finer};
    for (int o = z->first; o < end; o++)
      if (p->storage[p->order[o]] == p->order[o]) p->group_of[p->order[o]] = p->group_count;
    p->group_count++;
  }
  z->nodes = z->members = 0;
  z->adds = false;
}

static bool same_rows(const tkg_row_range *a, const tkg_row_range *b) {
  return a->rows == b->rows && a->first == b->first && a->whole == b->whole;
}

static bool made_here(const grouping *z, int v) { return z->made[z->p->storage[v]] == z->serial; }

/* Whether the node needs all of its input k, which the group being made makes. */
static bool needs_whole(const grouping *z, const tkg_node *n, int k) {
  int v = n->in[k];
  if (!made_here(z, v)) return false;
  return v != z->p->storage[v] || !tkg__aligned(z->tape, n, k) ||
         tkg__part(z->tape, &z->tape->nodes[v]) == TKG_PART_REDUCES;
}

static bool read_after(const grouping *z, int v, int o) {
  for (; o < z->p->order_count; o++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[o]];
    for (int k = 0; k < n->inputs; k++)
      if (z->p->storage[n->in[k]] == v) return true;
  }
  return false;
}

/* Whether the group being made, which ends at `end`, reads storage v as a whole. */
static bool reads_whole(const grouping *z, int v, int end) {
  for (int o = z->first; o < end; o++) {
    const tkg_node *m = &z->tape->nodes[z->p->order[o]];
    for (int k = 0; k < m->inputs; k++)
      if (z->p->storage[m->in[k]] == v && (v != m->in[k] || !tkg__aligned(z->tape, m, k)))
        return true;
  }
  return false;
}

/* Whether the group being made, which ends at `end`, reads as a whole, for the last time, a value
 * as large as node n: its memory is free once the group has run. */
static bool frees_as_much(const grouping *z, int end, const tkg_node *n) {
  for (int o = z->first; o < end; o++) {
    const tkg_node *m = &z->tape->nodes[z->p->order[o]];
    for (int k = 0; k < m->inputs; k++) {
      int v = z->p->storage[m->in[k]];
      const tkg_node *x = &z->tape->nodes[v];
      if (x->op == TKG_OP_LEAF || made_here(z, v) || tkg__aligned(z->tape, m, k)) continue;
      if (tkg__bytes(x) >= tkg__bytes(n) && !read_after(z, v, end)) return true;
    }
  }
  return false;
}

/* Whether the node, at place o, can be written over its first input once the group being made,
 * which reads that as a whole, has run. */
static bool waits_to_replace(const grouping *z, int o, const tkg_node *n) {
  int v = n->inputs > 0 ? n->in[0] : -1;
  if (v < 0 || !tkg__op_is(n->op, TKG_INPLACE) || !tkg__aligned(z->tape, n, 0)) return false;
  const tkg_node *x = &z->tape->nodes[v];
  if (x->op == TKG_OP_LEAF || tkg__bytes(x) != tkg__bytes(n) || made_here(z, v)) return false;
  return reads_whole(z, v, o) && !read_after(z, v, o + 1);
}

/* Whether the node is a sum over a graph of backward, larger than what it reads, none of it of the
 * group being made: alone, it can be made as late as its first reader (plan.c). */
static bool can_be_late(const grouping *z, int i) {
  const tkg_node *n = &z->tape->nodes[i];
  int64_t held = 0;
  if (i < z->p->forward || strncmp(tkg__ops[n->op].rows, "ww", 2) != 0 ||
      tkg__op_is(n->op, TKG_BASE))
    return false;
  for (int k = 0; k < n->inputs; k++) {
    const tkg_node *x = &z->tape->nodes[z->p->storage[n->in[k]]];
    if (made_here(z, n->in[k])) return false;
    if (x->op != TKG_OP_LEAF && x->dtype == TKG_F32) held += tkg__bytes(x);
  }
  return held > 0 && 2 * held < tkg__bytes(n);
}

/* Whether the node behind place o reads both of what is made there and by the group's only node:
 * neither can then be made later than the other. */
static bool are_read_together(const grouping *z, int o) {
  const tkg_program *p = z->p;
  if (z->members != 1 || o + 1 >= p->order_count) return false;
  const tkg_node *n = &z->tape->nodes[p->order[o + 1]];
  bool first = false, second = false;
  for (int k = 0; k < n->inputs; k++) {
    first |= n->in[k] == p->order[z->first];
    second |= n->in[k] == p->order[o];
  }
  return first && second;
}

/* Whether the node, at place o, can run in the group being made: it reads row by row what the group
 * makes. A group ends where rows are added to a sum over a graph that frees what it read: of the
 * two matrices that a layer's gradient is passed on by, one is then gone before the next two. In a
 * forward pass it also ends where a value may be written over one that it reads as a whole. */
static bool joins(const grouping *z, int o, const tkg_row_range *rows) {
  const tkg_node *n = &z->tape->nodes[z->p->order[o]];
  bool joins = z->nodes > 0 && same_rows(rows, &z->rows) && z->members < z->rules->most_nodes;
  if (joins && can_be_late(z, z->p->order[o]))
    joins = !can_be_late(z, z->p->order[z->first]) || are_read_together(z, o);
  if (joins && tkg__op_is(n->op, TKG_BASE)) joins = !frees_as_much(z, o, n);
  if (joins && tkg__forward_only(z->p)) joins = !waits_to_replace(z, o, n);
  for (int k = 0; joins && k < n->inputs; k++) joins = !needs_whole(z, n, k);
  return joins;
}

/* The rows of node i if it can run in a group, else -1 of them. What adds up in an order of its own
 * in a small group does so wherever it runs. */
static tkg_row_range group_rows(const grouping *z, int i) {
  const tkg_node *n = &z->tape->nodes[i];
  const enum tkg_part part = z->p->slice[i] > 0 ? TKG_PART_NONE : tkg__part(z->tape, n);
  const tkg_row_range none = {.rows = -1};
  const tkg_row_range range = part == TKG_PART_NONE ? none : rows_of(z->tape, n, part);
  if (range.rows < 0 || (tkg__adds_up_small(n) && runs_small(z, i))) return none;
  const bool runs =
      (tkg__is_list(z->tape, n) && range.rows == 1) || range.rows >= z->rules->least_rows;
  return runs ? range : none;
}

/* Whether the node adds up what it reads as a whole, or rows. Where tiles have memory of their own
 * it does so in another order than by itself. */
static bool adds_up(const grouping *z, const tkg_node *n) {
  return tkg__part(z->tape, n) == TKG_PART_REDUCES ||
         (!tkg__op_is(n->op, TKG_BASE) && strpbrk(tkg__ops[n->op].rows, "wW"));
}

/* Adds the node at a place in the order to the group being made, or begins another. */
static void add_to_group(grouping *z, int o) {
  int i = z->p->order[o];
  const tkg_node *n = &z->tape->nodes[i];
  if (z->p->storage[i] != i) return; /* a view runs nothing */
  const tkg_row_range rows = group_rows(z, i);
  const int64_t tile = tile_for(z->rules, n, tkg__part(z->tape, n));
  if (rows.rows < 0 || !joins(z, o, &rows)) {
    close_group(z, o);
    z->first = o;
    z->serial++;
    z->rows = rows;
    z->tile = z->rules->tile;
  }
  if (rows.rows < 0) return;
  z->nodes += !tkg__op_is(n->op, TKG_BASE);
  z->members++;
  z->adds |= z->rules->most_bytes > 0 && adds_up(z, n);
  z->made[i] = z->serial;
  if (tile > z->tile) z->tile = tile;
}

/* ---- splitting a group ---- */

/* Marks as early the codes and masks of early values alone: written behind the others they would
 * read again what has left the cache, and never exist in tiles. */
static void find_early_codes(grouping *z, int end) {
  const tkg_program *p = z->p;
  for (int o = z->first; o < end; o++) {
    const tkg_node *m = &z->tape->nodes[p->order[o]];
    bool early = m->dtype == TKG_CODES || m->dtype == TKG_MASK;
    for (int k = 0; k < m->inputs; k++)
      early = early && made_here(z, m->in[k]) && z->early[p->storage[m->in[k]]];
    if (early) z->early[p->order[o]] = true;
  }
}

/* Marks as early what node n needs as a whole of the group, and what that is computed from. */
static void find_early(grouping *z, int end, const tkg_node *n) {
  const tkg_program *p = z->p;
  for (int o = z->first; o < end; o++) z->early[p->order[o]] = false;
  for (int k = 0; k < n->inputs; k++)
    if (needs_whole(z, n, k)) z->early[p->storage[n->in[k]]] = true;
  for (int o = end; o-- > z->first;) {
    const tkg_node *m = &z->tape->nodes[p->order[o]];
    for (int k = 0; z->early[p->order[o]] && k < m->inputs; k++)
      if (made_here(z, m->in[k])) z->early[p->storage[m->in[k]]] = true;
  }
  find_early_codes(z, end);
}

/* Whether a split makes no further value exist as a whole: the other nodes read no early value but
 * those that n reads as a whole in any case. */
static bool worth_splitting(const grouping *z, int end, const tkg_node *n) {
  const tkg_program *p = z->p;
  bool others = false;
  for (int o = z->first; o < end; o++) {
    int i = p->order[o];
    const tkg_node *m = &z->tape->nodes[i];
    if (z->early[p->storage[i]] || p->storage[i] != i) continue;
    others = true;
    for (int k = 0; k < m->inputs; k++) {
      bool whole = false;
      for (int j = 0; j < n->inputs; j++)
        whole |= p->storage[n->in[j]] == p->storage[m->in[k]] && needs_whole(z, n, j);
      if (made_here(z, m->in[k]) && z->early[p->storage[m->in[k]]] && !whole) return false;
    }
  }
  return others;
}

/* Puts the early nodes of the group, which ends at `end`, before the others. Returns the place of
 * the first of these. */
static int sort_early(grouping *z, int end) {
  tkg_program *p = z->p;
  int early = z->first, later = 0;
  for (int o = z->first; o < end; o++) {
    int i = p->order[o];
    if (z->early[p->storage[i]])
      p->order[early++] = i;
    else
      z->later[later++] = i;
  }
  for (int k = 0; k < later; k++) p->order[early + k] = z->later[k];
  return early;
}

/* Node n at place `end` could join the group but for values that it needs as a whole. Only these
 * are computed before it; the other nodes of the group join n, so that fewer values exist as a
 * whole. */
static void split_group(grouping *z, int end, const tkg_node *n) {
  int first = z->first;
  find_early(z, end, n);
  if (!worth_splitting(z, end, n)) return;
  int later = sort_early(z, end);
  z->nodes = z->members = 0;
  for (int o = first; o < end; o++) z->made[z->p->order[o]] = 0;
  for (int o = first; o < end; o++) {
    if (o == later) close_group(z, o);
    add_to_group(z, o);
  }
}

/* Whether the node is of ids, or has few rows, and reads nothing that the group being made makes.
 */
static bool may_run_before(const grouping *z, const tkg_node *n) {
  const bool ids = z->rules->most_bytes > 0 && n->op == TKG_OP_GATHER && n->dtype == TKG_I32;
  const bool few = (tkg__op_is(n->op, TKG_TILED) || ids) && FEW * tkg__rows(n) <= z->rows.rows;
  if (z->nodes == 0 || (!few && n->op != TKG_OP_NEIGHBORHOOD)) return false;
  for (int k = 0; k < n->inputs; k++)
    if (made_here(z, n->in[k])) return false;
  return true;
}

/* Moves the node at place o before the group being made. */
static void move_before(grouping *z, int o) {
  int32_t *order = z->p->order, node = order[o];
  for (; o > z->first; o--) order[o] = order[o - 1];
  order[z->first++] = node;
}

/* ---- deferred nodes ----
 *
 * Small nodes that do not run in tiles would end each group that they stand in, such as numbers
 * that are made of its sums. They wait behind it, in their order, until another node reads one. */

static bool reads_deferred(const grouping *z, const tkg_node *n) {
  for (int k = 0; z->deferred > 0 && k < n->inputs; k++)
    if (z->waits[z->p->storage[n->in[k]]]) return true;
  return false;
}

/* Whether the node is as small as a weight, and all that it reads, as where two gradients of a
 * weight are added: it gains nothing from tiles, and holds little memory while it waits. */
static bool is_few(const grouping *z, int i) {
  const tkg_node *n = &z->tape->nodes[i];
  const int64_t most = WEIGHT * z->rules->small;
  const int64_t rows = z->rows.whole > 0 ? z->rows.whole : z->rows.rows; /* ranks agree */
  bool few = tkg__part(z->tape, n) == TKG_PART_ROWS && !adds_up(z, n) && n->rank == 2 &&
             FEW * tkg__rows(n) <= rows && tkg__count(n) <= most;
  for (int k = 0; k < n->inputs; k++) few = few && tkg__count(&z->tape->nodes[n->in[k]]) <= most;
  return few;
}

static bool may_wait(const grouping *z, int i) {
  const tkg_node *n = &z->tape->nodes[i];
  if (z->p->storage[i] != i) return z->deferred > 0 && z->waits[z->p->storage[i]];
  if (z->nodes == 0 && !reads_deferred(z, n)) return false;
  return is_few(z, i) || (runs_small(z, i) && group_rows(z, i).rows < 0);
}

/* The group being made ends before the deferred nodes, which stand before place o. */
static void place_deferred(grouping *z, int o) {
  close_group(z, o - z->deferred);
  for (int k = o - z->deferred; k < o; k++) z->waits[z->p->storage[z->p->order[k]]] = false;
  z->deferred = 0;
  z->first = o;
}

/* Moves the node at place o before the deferred ones. Returns its place. */
static int move_before_deferred(const grouping *z, int o) {
  int32_t *order = z->p->order, node = order[o];
  for (int k = 0; k < z->deferred; k++, o--) order[o] = order[o - 1];
  order[o] = node;
  return o;
}

static void add_node(grouping *z, int o) {
  const int i = z->p->order[o];
  const tkg_node *n = &z->tape->nodes[i];
  const bool view = z->p->storage[i] != i;
  if (!view && !reads_deferred(z, n) && may_run_before(z, n)) {
    move_before(z, move_before_deferred(z, o));
    return;
  }
  if (may_wait(z, i)) {
    z->waits[z->p->storage[i]] = true;
    z->deferred++;
    return;
  }
  if (reads_deferred(z, n) || z->p->slice[i] > 0) place_deferred(z, o);
  o = move_before_deferred(z, o);
  const tkg_row_range rows = group_rows(z, i);
  if (!view && z->nodes > 1 && same_rows(&rows, &z->rows) && !joins(z, o, &rows))
    split_group(z, o, n);
  add_to_group(z, o);
}

/* Nodes of few rows that were moved before a group can form groups of their own. */
static void group_rest(grouping *z) {
  const tkg_program *p = z->p;
  for (int o = 0; o < p->order_count; o++) {
    if (p->group_of[p->order[o]] < 0) {
      add_to_group(z, o);
      continue;
    }
    close_group(z, o);
    z->first = o + 1;
  }
  close_group(z, p->order_count);
}

int tkg__tile(tkg_program *p) {
  grouping z = {.p = p, .tape = p->tape, .rules = rules_of(p->tape)};
  size_t nodes = (size_t)p->tape->n + 1;
  z.made = calloc(nodes, sizeof *z.made);
  z.early = calloc(nodes, sizeof *z.early);
  z.later = calloc(nodes, sizeof *z.later);
  z.waits = calloc(nodes, sizeof *z.waits);
  bool ok = z.made && z.early && z.later && z.waits;
  for (int o = 0; ok && o < p->order_count; o++) add_node(&z, o);
  if (ok) place_deferred(&z, p->order_count);
  if (ok) group_rest(&z);
  int status = ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "tile: no memory");
  if (!status && z.rules->runs_wide) status = tkg__group_wide(p);
  if (!status && z.rules->small > 0) status = tkg__group_small(p);
  free(z.made);
  free(z.early);
  free(z.later);
  free(z.waits);
  return status;
}
