/* What a node can be in a group of tiles: row by row, a sum over rows, a list of numbers. */
#include "tile.h"

enum { SMALL_SUM = 1024 }; /* elements */

static const tkg_tile_rules *rules_of(const tkg_tape *tape) { return tape->engine->backend->tiles; }

/* Whether the node makes a number per row of matrices. */
static bool is_number_per_row(const tkg_node *n) {
  return n->rank == 1 && (n->op == TKG_OP_DOT || (n->op == TKG_OP_SUM && n->i[0] == 2));
}

/* Whether input x of a list has an element, or a row, for each of its elements. */
static bool has_element_per_one_of(const tkg_node *list, const tkg_node *x) {
  if (is_number_per_row(list)) return x->rank == 2 && x->shape[0] == list->shape[0];
  return x->rank < 2 && tkg__count(x) == tkg__count(list);
}

/* Whether the node picks elements of a list by a list of ids. */
static bool picks_elements(const tkg_tape *tape, const tkg_node *n) {
  return n->op == TKG_OP_GATHER && n->rank == 1 && tape->nodes[n->in[0]].dtype == TKG_F32 &&
         tape->nodes[n->in[0]].rank == 1 && tape->nodes[n->in[1]].rank == 1;
}

bool tkg__is_list(const tkg_tape *tape, const tkg_node *n) {
  bool list = rules_of(tape)->most_bytes > 0 && n->dtype == TKG_F32 && n->rank < 2;
  list = list && (is_number_per_row(n) || tkg__count(n) > rules_of(tape)->small);
  if (picks_elements(tape, n)) return list;
  for (int k = 0; k < n->inputs && list; k++) {
    const tkg_node *x = &tape->nodes[n->in[k]];
    list = x->dtype == TKG_F32 && (tkg__count(x) == 1 || has_element_per_one_of(n, x));
  }
  return list;
}

/* Whether a device whose tiles have memory of their own adds up all elements, or rows to a small
 * result, tile by tile however few they are: its partial sums then take little. */
static bool sums_in_tiles(const tkg_tape *tape, const tkg_node *n, const tkg_node *const *in) {
  return rules_of(tape)->most_bytes > 0 && n->inputs > 0 && in[0]->dtype == TKG_F32 &&
         tkg__row_access(n, in, 0) == TKG_ACCESS_REDUCES &&
         (tkg__sums_all(n, in) || (in[0]->whole_rows == 0 && tkg__count(n) <= SMALL_SUM));
}

enum tkg_part tkg__part(const tkg_tape *tape, const tkg_node *n) {
  const tkg_node *in[TKG_MAX_INPUTS];
  if (n->op == TKG_OP_LEAF || (n->dtype == TKG_I32 && n->op != TKG_OP_GATHER)) return TKG_PART_NONE;
  tkg__inputs_of(tape, n, in);
  if (!rules_of(tape)->runs(n, in) || tkg__for_library(tape->engine, n)) return TKG_PART_NONE;
  if (tkg__row_parts(n, in) > 0 || sums_in_tiles(tape, n, in)) return TKG_PART_REDUCES;
  if (tkg__is_list(tape, n) || tkg__rows_by_position(n)) return TKG_PART_ROWS;
  return tkg__rows_apart_by_list(n, in) ? TKG_PART_ROWS : TKG_PART_NONE;
}

bool tkg__aligned(const tkg_tape *tape, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(tape, n, in);
  if (picks_elements(tape, n)) return k == 1;
  if (tkg__is_list(tape, n)) return has_element_per_one_of(n, in[k]);
  return tkg__row_access(n, in, k) != TKG_ACCESS_WHOLE || tkg__row_of_position(n, in, k);
}
