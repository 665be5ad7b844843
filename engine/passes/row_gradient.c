/* The gradient of a table of which a batch reads some rows is a chain of scatters, or a sum of
 * chains, each of which adds to what the one before has made. Here the scatters get another
 * destination: a row per id of all the chains together, row k of which is the gradient of the id at
 * place k if that is the id's first place, and empty otherwise. Each row is summed in the order in
 * which it would have been in the table, so its bits are the same, and no gradient of the table is
 * cleared, written or read.
 *
 * Updates find these rows in two ways. By default all rows are updated: an index of the table,
 * whose bytes are few beside the table's, says for each row where its gradient is, if it has one.
 * Lazy updates change only the rows that a batch reads, and cost by these: as PyTorch's SparseAdam
 * (torch/optim/_functional.py, sparse_adam), moments of other rows do not decay. */
#include "row_gradient.h"

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
  int64_t count;               /* of their ids */
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
    all->count += tkg__count(&tape->nodes[n->in[ids]]);
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

/* Where the scatters add to: places of rows by id, or of all ids in the order of list_ids. */
typedef struct destination {
  int32_t index, places; /* nodes; one is -1 */
  int64_t rows, used;    /* of `places`, the ids that scatters before this one have */
} destination;

/* Records the places of a scatter's ids, in their shape. Returns a node, or -1. */
static int places_of(tkg_tape *tape, int ids, destination *to) {
  const tkg_node given = tape->nodes[ids];
  const int64_t count = tkg__count(&given);
  tkg_node part = {.rank = 1, .shape = {count}, .i = {0, to->used}}, whole = {.rank = given.rank};
  int places = to->places;
  if (to->index >= 0)
    return record(tape, &(tkg_node){0}, TKG_OP_GATHER, 2, (int32_t[]){to->index, ids});
  if (count < to->rows) places = record(tape, &part, TKG_OP_NARROW, 1, (int32_t[]){places});
  to->used += count;
  if (places < 0 || given.rank == 1) return places;
  for (int d = 0; d < given.rank; d++) whole.shape[d] = given.shape[d];
  return record(tape, &whole, TKG_OP_RESHAPE, 1, (int32_t[]){places});
}

/* Records gradient g again with the rows of the destination. Returns it, or -1. */
static int compact(tkg_tape *tape, int g, destination *to) {
  tkg_node n = tape->nodes[g];
  const int ids = ids_input(&n);
  if (is_sum(tape, &n)) {
    for (int k = 0; k < 2; k++)
      if ((n.in[k] = compact(tape, n.in[k], to)) < 0) return -1;
    return record(tape, &n, TKG_OP_ADD, 2, n.in);
  }
  if (has_base(&n) && (n.in[ids + 1] = compact(tape, n.in[ids + 1], to)) < 0) return -1;
  n.in[ids] = places_of(tape, n.in[ids], to);
  n.shape[0] = to->rows;
  return n.in[ids] < 0 ? -1 : tkg__record(tape, &n, n.op, n.inputs, n.in, tape->side[g].where);
}

/* ---- of a parameter ---- */

static int refuse(const tkg_tape *tape, int leaf, int dense) {
  char text[TKG_SHAPE_TEXT];
  const char *where = tape->side[dense].where;
  tkg__say("lazy: the gradient of the parameter %s has rows of a batch and, by %s, a whole matrix: "
           "train it without lazy, or without that term",
           tkg__shape_text(&tape->nodes[leaf], text), tkg__ops[tape->nodes[dense].op].name);
  return where ? tkg__fail_at(TKG_E_ARGUMENT, "%s", where) : TKG_E_ARGUMENT;
}

/* Makes the gradient one of the listed rows, which alone are updated. */
static int list_rows(tkg_tape *tape, int64_t n, int ids, int32_t *gradient, tkg_rows *rows) {
  const int64_t count = tkg__count(&tape->nodes[ids]);
  tkg_node first = {.i = {n}};
  rows->ids = ids;
  rows->places = record(tape, &first, TKG_OP_FIRST_INDEX, 1, (int32_t[]){ids});
  if (rows->places < 0) return TKG_E_MEMORY;
  destination to = {.index = -1, .places = rows->places, .rows = count};
  rows->compact = count < n; /* else the table is no larger */
  if (rows->compact) *gradient = compact(tape, *gradient, &to);
  return *gradient < 0 ? TKG_E_MEMORY : TKG_OK;
}

/* Makes the gradient one of the listed rows, which an index of all n finds. */
static int index_rows(tkg_tape *tape, int64_t n, int ids, int32_t *gradient, tkg_rows *rows) {
  tkg_node index = {.rank = 1, .shape = {n}};
  destination to = {.places = -1, .rows = tkg__count(&tape->nodes[ids])};
  rows->index = to.index = record(tape, &index, TKG_OP_INVERSE_INDEX, 1, (int32_t[]){ids});
  if (rows->index >= 0) *gradient = compact(tape, *gradient, &to);
  return rows->index < 0 || *gradient < 0 ? TKG_E_MEMORY : TKG_OK;
}

/* A table has this many rows per id at least if its rows are to be found by an index: clearing and
 * reading its gradient takes longer then. */
enum { ROWS_PER_ID = 2 };

int tkg__row_gradient(const tkg_program *p, const tkg_optimizer *optimizer, int leaf,
                      int32_t *gradient, tkg_rows *rows) {
  tkg_tape *tape = p->tape;
  const tkg_node w = tape->nodes[leaf];
  const int64_t n = w.rank == 2 && w.shape[1] > 0 ? w.shape[0] : 0;
  const bool lazy = optimizer->lazy != 0,
             fits = tkg__updates_rows(optimizer, p->tape->side[leaf].tensor);
  parts all = {.dense = -1};
  char text[TKG_SHAPE_TEXT];
  *rows = (tkg_rows){.index = -1, .ids = -1, .places = -1};
  find_parts(tape, *gradient, &all);
  if (n == 0 || all.scatters == 0) return TKG_OK;
  if (all.dense >= 0) return lazy && tkg__is_table(&w) ? refuse(tape, leaf, all.dense) : TKG_OK;
  if (lazy && !fits)
    return tkg__fail(TKG_E_SHAPE, "lazy: rows of the parameter %s have more than %d elements",
                     tkg__shape_text(&w, text), TKG_MOMENTS_LONGEST);
  if (!lazy && (!fits || !tkg__is_table(&w) || n < ROWS_PER_ID * all.count)) return TKG_OK;
  const int ids = list_ids(tape, *gradient, &all) ? join(tape, &all) : -1;
  if (ids < 0) return TKG_E_MEMORY;
  return lazy ? list_rows(tape, n, ids, gradient, rows) : index_rows(tape, n, ids, gradient, rows);
}
