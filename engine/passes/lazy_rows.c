/* Lazy updates change only the rows of a table that a batch reads, and need only their gradients:
 * as PyTorch's SparseAdam (torch/optim/_functional.py, sparse_adam), moments of other rows do not
 * decay. Such a gradient is a chain of scatters, or a sum of chains, each of which adds to what the
 * one before has made. Here the scatters get another destination: of all ids of the chains
 * together, row i of the new gradient is that of the id at place i if it occurs there first, and
 * empty otherwise. So it has as many rows as there are ids, and each is summed in the order in
 * which it would have been in the table. */
#include "lazy_rows.h"

#include "base/error.h"
#include "shared/moments.h"

/* The place of the ids in a scatter's inputs, -1 of another op; a base comes behind them. */
static int ids_input(const tkg_node *n) {
  return n->op == TKG_OP_SCATTER_ADD ? 1 : n->op == TKG_OP_NEIGHBOR_SCATTER ? 2 : -1;
}

static bool has_base(const tkg_node *n) { return n->inputs > ids_input(n) + 1; }

/* Whether the gradient is a sum that rows may be added to. */
static bool is_sum(const tkg_tape *tape, const tkg_node *n) {
  return n->op == TKG_OP_ADD && tkg__count(&tape->nodes[n->in[0]]) == tkg__count(n) &&
         tkg__count(&tape->nodes[n->in[1]]) == tkg__count(n);
}

/* ---- what a gradient is made of ---- */

typedef struct parts {
  int scatters;
  int dense;                   /* a node that is neither scatter nor sum, -1 if there is none */
  int32_t ids[TKG_MAX_INPUTS]; /* flat ids of the scatters, to be concatenated */
  int waiting;
} parts;

static void find_parts(const tkg_tape *tape, int g, parts *all) {
  const tkg_node *n = &tape->nodes[g];
  const int ids = ids_input(n);
  if (is_sum(tape, n)) {
    find_parts(tape, n->in[0], all);
    find_parts(tape, n->in[1], all);
  } else if (ids >= 0) {
    if (has_base(n)) find_parts(tape, n->in[ids + 1], all);
    all->scatters++;
  } else {
    all->dense = g;
  }
}

/* ---- the ids of all scatters ---- */

static int record(tkg_tape *tape, tkg_node *node, int op, int n, const int32_t *inputs) {
  return tkg__record(tape, node, op, n, inputs, NULL);
}

/* Concatenates the ids that wait, so that one list does. Returns it, or -1. */
static int join(tkg_tape *tape, parts *all) {
  tkg_node node = {0};
  if (all->waiting == 1) return all->ids[0];
  all->ids[0] = record(tape, &node, TKG_OP_CONCAT, all->waiting, all->ids);
  all->waiting = 1;
  return all->ids[0];
}

static bool add_ids(tkg_tape *tape, int ids, parts *all) {
  tkg_node flat = {.rank = 1};
  flat.shape[0] = tkg__count(&tape->nodes[ids]);
  if (tape->nodes[ids].rank != 1) ids = record(tape, &flat, TKG_OP_RESHAPE, 1, (int32_t[]){ids});
  if (ids < 0 || (all->waiting == TKG_MAX_INPUTS && join(tape, all) < 0)) return false;
  all->ids[all->waiting++] = ids;
  return true;
}

/* Lists ids in the order in which their rows are added. */
static bool list_ids(tkg_tape *tape, int g, parts *all) {
  const tkg_node n = tape->nodes[g];
  const int ids = ids_input(&n);
  if (is_sum(tape, &n)) return list_ids(tape, n.in[0], all) && list_ids(tape, n.in[1], all);
  return (!has_base(&n) || list_ids(tape, n.in[ids + 1], all)) && add_ids(tape, n.in[ids], all);
}

/* ---- the gradient of those rows ---- */

/* Records gradient g again, with `rows` rows, to which `places` leads by id. Returns it, or -1. */
static int compact(tkg_tape *tape, int g, int places, int64_t rows) {
  tkg_node n = tape->nodes[g], place = {0};
  const int ids = ids_input(&n);
  if (is_sum(tape, &n)) {
    for (int k = 0; k < 2; k++)
      if ((n.in[k] = compact(tape, n.in[k], places, rows)) < 0) return -1;
    return record(tape, &n, TKG_OP_ADD, 2, n.in);
  }
  if (has_base(&n) && (n.in[ids + 1] = compact(tape, n.in[ids + 1], places, rows)) < 0) return -1;
  n.in[ids] = record(tape, &place, TKG_OP_GATHER, 2, (int32_t[]){places, n.in[ids]});
  n.shape[0] = rows;
  return n.in[ids] < 0 ? -1 : tkg__record(tape, &n, n.op, n.inputs, n.in, tape->side[g].where);
}

static int refuse(const tkg_tape *tape, int leaf, int dense) {
  char text[TKG_SHAPE_TEXT];
  const char *where = tape->side[dense].where;
  tkg__say("lazy: the gradient of the parameter %s has rows of a batch and, by %s, a whole matrix: "
           "train it without lazy, or without that term",
           tkg__shape_text(&tape->nodes[leaf], text), tkg__ops[tape->nodes[dense].op].name);
  return where ? tkg__fail_at(TKG_E_ARGUMENT, "%s", where) : TKG_E_ARGUMENT;
}

int tkg__lazy_rows(const tkg_program *p, int leaf, int32_t *gradient, tkg_rows *rows) {
  tkg_tape *tape = p->tape;
  const tkg_node *w = &tape->nodes[leaf];
  const int64_t n = w->rank == 2 && w->shape[1] > 0 ? w->shape[0] : 0;
  tkg_node index = {.rank = 1, .shape = {n}};
  parts all = {.dense = -1};
  char text[TKG_SHAPE_TEXT];
  *rows = (tkg_rows){.node = -1};
  find_parts(tape, *gradient, &all);
  if (n == 0 || all.scatters == 0) return TKG_OK;
  if (all.dense >= 0) return tkg__is_table(w) ? refuse(tape, leaf, all.dense) : TKG_OK;
  if (w->shape[1] > TKG_MOMENTS_LONGEST)
    return tkg__fail(TKG_E_SHAPE, "lazy: rows of the parameter %s have more than %d elements",
                     tkg__shape_text(w, text), TKG_MOMENTS_LONGEST);
  if (!list_ids(tape, *gradient, &all)) return TKG_E_MEMORY;
  const int ids = join(tape, &all);
  if (ids >= 0) rows->node = record(tape, &index, TKG_OP_INVERSE_INDEX, 1, (int32_t[]){ids});
  if (ids < 0 || rows->node < 0) return TKG_E_MEMORY;
  const int64_t count = tkg__count(&tape->nodes[ids]);
  rows->compact = count < n; /* else the table is no larger */
  if (rows->compact) *gradient = compact(tape, *gradient, rows->node, count);
  return *gradient < 0 ? TKG_E_MEMORY : TKG_OK;
}
