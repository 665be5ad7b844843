/* The spread pass decides how each value lies on the ranks (placement.h) and inserts the exchanges
 * between them.
 *
 * Tables of embeddings lie by columns, with their gradients and moments. So do sums over the edges
 * of a graph, gathers and scatters, which treat all columns alike: they exchange nothing. Products
 * with weights, norms, dropout and codes take whole rows: they run by rows. Elementwise ops run as
 * their readers and inputs lie. What is small, or of an op about which nothing is known, is
 * computed by every rank as a whole. A value is exchanged where a reader needs it in another way,
 * once within forward and once within backward.
 *
 * Whatever the number of ranks, each number is computed by the same operations in the same order,
 * so results are the same bits. */
#include "spread.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/placement.h"

typedef struct spread {
  tkg_program *p;
  const tkg_tape *old;
  tkg_tape *fresh;
  int rank, size;
  uint8_t *home;    /* of old nodes: the placement that they are computed in */
  uint8_t *wanted;  /* of old nodes: a bit for each placement that they are read in */
  bool *joined;     /* old codes and masks that some reader needs as a whole */
  bool *returned;   /* old nodes that the caller gets */
  int32_t *at;      /* [TKG_PLACEMENTS, n]: new node of an old one in a placement, -1: none yet */
  int32_t *decoded; /* of old codes: the new node that decodes them, -1: none yet */
} spread;

static const tkg_node *node_of(const spread *s, int v) { return &s->old->nodes[v]; }

static int32_t *place(const spread *s, int v, int placement) {
  return &s->at[(size_t)placement * (size_t)s->old->n + (size_t)v];
}

/* A value that is small on the device, of which small groups add up in an order of their own, is
 * small as a whole as well as in parts. */
static bool divides_rows(const spread *s, const tkg_node *n) {
  const tkg_backend *backend = s->old->engine->backend;
  return backend->deals_rows && tkg__divides_rows(n, s->size) &&
         tkg__first_row(n->shape[0], 1, s->size) * tkg__cols(n) > backend->tiles->small;
}

/* ---- how an op can run ---- */

enum way { AS_A_WHOLE, BY_COLUMNS, BY_ROWS, EITHER, SUM_OF_ROWS };

/* Whether an op can compute some rows of a value without knowing which: from the same rows of its
 * inputs, or as random numbers, which know. */
static bool computes_rows(const tkg_node *n, const tkg_node *const *in) {
  bool has_rows = n->op == TKG_OP_RANDOM;
  for (int k = 0; k < n->inputs; k++) has_rows |= tkg__row_access(n, in, k) == TKG_ACCESS_ROW;
  return has_rows && !tkg__op_is(n->op, TKG_BASE) && tkg__rows_apart_by_list(n, in);
}

/* Whether a row of the result needs of this input one row alone. */
static bool reads_its_row(const spread *s, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  return tkg__row_access(n, in, k) != TKG_ACCESS_WHOLE;
}

/* Whether a column of the result needs of this input one column alone. */
static bool reads_its_column(const spread *s, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  return tkg__column_access(n, in, k);
}

/* Whether an op can be computed column by column, and element by element. */
static void find_access(const spread *s, const tkg_node *n, bool *columns, bool *elements) {
  *columns = *elements = false;
  for (int k = 0; k < n->inputs; k++) {
    const bool column = reads_its_column(s, n, k);
    *columns |= column;
    *elements |= column && reads_its_row(s, n, k) && !tkg__op_is(n->op, TKG_BASE);
  }
}

static enum way way_of(const spread *s, const tkg_node *n) {
  const tkg_node *in[TKG_MAX_INPUTS];
  bool columns, elements;
  tkg__inputs_of(s->old, n, in);
  if (tkg__op_is(n->op, TKG_UPDATE)) return in[0]->i[0] ? BY_COLUMNS : AS_A_WHOLE;
  find_access(s, n, &columns, &elements);
  if (n->rank == 2 && n->dtype == TKG_F32 && (elements || n->op == TKG_OP_FULL)) return EITHER;
  if (columns && !elements && n->dtype == TKG_F32 && tkg__divides_columns(n, s->size))
    return BY_COLUMNS;
  if (tkg__row_parts(n, in) > 0 && divides_rows(s, in[0])) return SUM_OF_ROWS;
  if (n->rank != 2 || n->dtype == TKG_I32) return AS_A_WHOLE;
  return computes_rows(n, in) && divides_rows(s, n) ? BY_ROWS : AS_A_WHOLE;
}

static bool is_packed(const tkg_node *n) { return n->dtype == TKG_CODES || n->dtype == TKG_MASK; }

/* Whether an elementwise op can run by columns: its inputs have all of them, or one for all. */
static bool runs_by_columns(const spread *s, const tkg_node *n) {
  if (!tkg__divides_columns(n, s->size)) return false;
  for (int k = 0; k < n->inputs; k++) {
    const tkg_node *x = node_of(s, n->in[k]);
    if (is_packed(x) || (tkg__cols(x) != tkg__cols(n) && tkg__cols(x) != 1)) return false;
  }
  return true;
}

/* Whether an op can run by rows: it can be computed row by row, and packed inputs lie by rows. */
static bool runs_by_rows(const spread *s, const tkg_node *n) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  if (!divides_rows(s, n) || (n->inputs > 0 && !computes_rows(n, in))) return false;
  for (int k = 0; k < n->inputs; k++)
    if (is_packed(in[k]) && s->home[n->in[k]] != TKG_ROWS) return false;
  return true;
}

/* The placement in which an op that runs in `home` reads its input k. */
static int placement_of(const spread *s, const tkg_node *n, int k, int home) {
  if (way_of(s, n) == SUM_OF_ROWS) return TKG_ROWS;
  if (home == TKG_ROWS) return reads_its_row(s, n, k) ? TKG_ROWS : TKG_WHOLE;
  if (home != TKG_COLUMNS) return TKG_WHOLE;
  return reads_its_column(s, n, k) ? TKG_COLUMNS : TKG_WHOLE;
}

/* ---- what readers want ---- */

static void want_input(spread *s, const tkg_node *n, enum way way, int k, unsigned wanted) {
  const int v = n->in[k];
  const char reads = tkg__op_reads(n->op, k);
  const bool row = reads_its_row(s, n, k);
  if (way == BY_COLUMNS)
    s->wanted[v] |= 1U << (reads_its_column(s, n, k) ? TKG_COLUMNS : TKG_WHOLE);
  else if (way == AS_A_WHOLE || !row)
    s->wanted[v] |= 1U << TKG_WHOLE;
  else
    s->wanted[v] |= way == EITHER ? (uint8_t)wanted : 1U << TKG_ROWS;
  const bool by_rows = row && (way == BY_ROWS || (way == EITHER && divides_rows(s, n)));
  if (is_packed(node_of(s, v)) && !by_rows && (reads == 'q' || reads == 'k' || reads == 's'))
    s->joined[v] = true;
}

static void find_wanted(spread *s) {
  for (int i = 0; i < s->p->output_count; i++) s->returned[s->p->outputs[i]] = true;
  for (int i = 0; i < s->p->gradient_count && !s->p->updates; i++)
    s->returned[s->p->gradient_of[i]] = true;
  for (int i = s->old->n; i-- > 0;) {
    const tkg_node *n = node_of(s, i);
    const enum way way = way_of(s, n);
    if (s->returned[i]) s->wanted[i] |= 1U << TKG_WHOLE;
    for (int k = 0; k < n->inputs; k++) want_input(s, n, way, k, s->wanted[i]);
  }
}

/* ---- where each value is computed ---- */

/* A bit for each placement in which the inputs lie that an op does not need as a whole. */
static unsigned homes_of_inputs(const spread *s, const tkg_node *n, enum way way) {
  unsigned homes = 0;
  for (int k = 0; k < n->inputs; k++) {
    const bool divided = way == BY_COLUMNS ? reads_its_column(s, n, k) : reads_its_row(s, n, k);
    if (divided) homes |= 1U << s->home[n->in[k]];
  }
  return homes;
}

static int home_of_either(const spread *s, const tkg_node *n, unsigned inputs, unsigned wanted) {
  const unsigned columns = 1U << TKG_COLUMNS, rows = 1U << TKG_ROWS;
  const bool by_rows = runs_by_rows(s, n), by_columns = runs_by_columns(s, n);
  if (by_columns && wanted & columns && !(wanted & rows)) return TKG_COLUMNS;
  if (by_rows && (wanted | inputs) & rows) return TKG_ROWS;
  return by_columns && inputs & columns ? TKG_COLUMNS : TKG_WHOLE;
}

static int home_of(const spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  const enum way way = way_of(s, n);
  const unsigned inputs = homes_of_inputs(s, n, way), divided = 1U << TKG_COLUMNS | 1U << TKG_ROWS;
  if (n->op == TKG_OP_LEAF) return n->i[0] ? TKG_COLUMNS : TKG_WHOLE;
  if (tkg__op_is(n->op, TKG_UPDATE)) return s->home[n->in[0]];
  switch (way) {
  case BY_COLUMNS:
    return inputs & divided || tkg__divides_rows(n, s->size) ? TKG_COLUMNS : TKG_WHOLE;
  case BY_ROWS:
    if (s->joined[i] || !runs_by_rows(s, n)) return TKG_WHOLE;
    return (inputs | s->wanted[i]) & divided ? TKG_ROWS : TKG_WHOLE;
  case EITHER:
    return home_of_either(s, n, inputs, s->wanted[i]);
  default:
    return TKG_WHOLE;
  }
}

/* ---- the new tape ---- */

static int emit(spread *s, const tkg_node *node, int like) {
  return tkg__append(s->fresh, node, s->old->side[like].where);
}

static void divide_columns(const spread *s, tkg_node *n) {
  n->whole_cols = n->shape[n->rank - 1];
  n->shape[n->rank - 1] /= s->size;
}

static void divide_rows(const spread *s, tkg_node *n) {
  n->whole_rows = n->shape[0];
  n->first_row = tkg__first_row(n->whole_rows, 0, s->size);
  n->shape[0] = tkg__first_row(n->whole_rows, 1, s->size) - n->first_row;
}

/* A new node that has the numbers of old value v in another shape. */
static tkg_node like(const spread *s, int v, int op, int from) {
  const tkg_node *old = node_of(s, v);
  tkg_node n = {
      .op = (uint8_t)op, .rank = old->rank, .inputs = 1, .bits = old->bits, .nth = old->nth};
  n.dtype = s->fresh->nodes[from].dtype;
  n.in[0] = from;
  memcpy(n.shape, old->shape, sizeof n.shape);
  return n;
}

/* A part of a value that is whole on each rank. */
static int emit_part(spread *s, int v, int from, int placement) {
  tkg_node n = like(s, v, TKG_OP_NARROW, from);
  if (placement == TKG_ROWS) {
    divide_rows(s, &n);
    n.i[1] = n.first_row;
  } else {
    divide_columns(s, &n);
    n.i[0] = n.rank - 1;
    n.i[1] = s->rank * n.shape[n.rank - 1];
  }
  return emit(s, &n, v);
}

static int emit_exchange(spread *s, int v, int from, int placement) {
  const int home = s->home[v];
  tkg_node n = like(s, v, TKG_OP_EXCHANGE, from);
  if (placement == TKG_ROWS) divide_rows(s, &n);
  if (placement == TKG_COLUMNS) divide_columns(s, &n);
  if (placement == TKG_WHOLE)
    n.i[0] = home == TKG_ROWS ? TKG_JOIN_ROWS : TKG_JOIN_COLUMNS;
  else
    n.i[0] = placement == TKG_ROWS ? TKG_TO_ROWS : TKG_TO_COLUMNS;
  n.i[1] = n.rank == 2 ? node_of(s, v)->shape[0] : 0;
  return emit(s, &n, v);
}

/* The numbers of codes, by rows. */
static int decode(spread *s, int v) {
  if (s->decoded[v] >= 0) return s->decoded[v];
  const int codes = *place(s, v, TKG_ROWS);
  tkg_node n = s->fresh->nodes[codes];
  n.op = TKG_OP_DECODE;
  n.dtype = TKG_F32;
  n.in[0] = codes;
  return s->decoded[v] = emit(s, &n, v);
}

/* Returns the new node that has old value v in a placement; -1 if there is no memory. */
static int value_in(spread *s, int v, int placement) {
  int32_t *known = place(s, v, placement);
  const int home = s->home[v];
  if (*known >= 0) return *known;
  int from = *place(s, v, home);
  if (node_of(s, v)->dtype == TKG_CODES) from = decode(s, v);
  if (from < 0) return -1;
  *known =
      home == TKG_WHOLE ? emit_part(s, v, from, placement) : emit_exchange(s, v, from, placement);
  return *known;
}

/* NEIGHBOR_DOT takes rows of a table by id. Of one that is divided, only those rows are joined. */
static int emit_rows_read(spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  tkg_node flat = {.op = TKG_OP_RESHAPE, .dtype = TKG_I32, .rank = 1, .inputs = 1};
  flat.in[0] = value_in(s, n->in[2], TKG_WHOLE);
  flat.shape[0] = tkg__count(node_of(s, n->in[2]));
  tkg_node rows = {.op = TKG_OP_GATHER, .rank = 2, .inputs = 2, .bits = n->bits};
  rows.in[0] = *place(s, n->in[1], TKG_COLUMNS);
  rows.in[1] = flat.in[0] < 0 ? -1 : emit(s, &flat, i);
  if (rows.in[1] < 0) return -1;
  rows.shape[0] = flat.shape[0];
  rows.shape[1] = s->fresh->nodes[rows.in[0]].shape[1];
  tkg_node joined = {.op = TKG_OP_EXCHANGE, .rank = 2, .inputs = 1};
  joined.in[0] = emit(s, &rows, i);
  joined.shape[0] = rows.shape[0];
  joined.shape[1] = rows.shape[1] * s->size;
  joined.i[0] = TKG_JOIN_COLUMNS;
  joined.i[1] = rows.shape[0];
  return joined.in[0] < 0 ? -1 : emit(s, &joined, i);
}

static bool reads_divided_rows(const spread *s, const tkg_node *n) {
  return n->op == TKG_OP_NEIGHBOR_DOT && n->inputs == 3 && s->home[n->in[1]] == TKG_COLUMNS;
}

static int emit_node(spread *s, int i) {
  const int home = s->home[i];
  tkg_node node = *node_of(s, i);
  const bool by_id = reads_divided_rows(s, &node);
  if (by_id) {
    const int rows = emit_rows_read(s, i);
    if (rows < 0) return TKG_E_MEMORY;
    node.inputs = 2;
    node.in[2] = 0;
    node.in[1] = rows;
  }
  for (int k = 0; k < node.inputs; k++) {
    const tkg_node *old = node_of(s, i);
    if (by_id && k == 1) continue;
    node.in[k] = value_in(s, old->in[k], placement_of(s, old, k, home));
    if (node.in[k] < 0) return TKG_E_MEMORY;
  }
  if (home == TKG_ROWS) divide_rows(s, &node);
  if (home == TKG_COLUMNS) divide_columns(s, &node);
  const int at = *place(s, i, home) = emit(s, &node, i);
  if (at < 0) return TKG_E_MEMORY;
  const tkg_side *side = &s->old->side[i];
  if (side->tensor) s->fresh->side[at].tensor = tkg_tensor_retain(side->tensor);
  s->fresh->side[at].origin = side->origin;
  return s->returned[i] && value_in(s, i, TKG_WHOLE) < 0 ? TKG_E_MEMORY : TKG_OK;
}

/* Backward exchanges anew what it reads: what forward exchanged need not live so long. */
static void forget_exchanged(spread *s) {
  for (int v = 0; v < s->old->n; v++) {
    s->decoded[v] = -1;
    for (int k = 0; k < TKG_PLACEMENTS; k++)
      if (k != s->home[v] && !s->returned[v]) *place(s, v, k) = -1;
  }
}

static int rewrite(spread *s, int *forward, int *arrived) {
  int status = TKG_OK;
  memset(s->at, 0xff, (TKG_PLACEMENTS + 1) * ((size_t)s->old->n + 1) * sizeof *s->at);
  for (int i = 0; i < s->old->n && !status; i++) {
    if (i == s->p->forward) {
      *forward = s->fresh->n;
      forget_exchanged(s);
    }
    if (i == s->p->arrived) *arrived = s->fresh->n;
    s->home[i] = (uint8_t)home_of(s, i);
    status = emit_node(s, i);
  }
  if (s->old->n == s->p->forward) *forward = s->fresh->n;
  if (s->old->n == s->p->arrived) *arrived = s->fresh->n;
  return status ? tkg__fail(TKG_E_MEMORY, "spread: no memory") : TKG_OK;
}

/* ---- the pass ---- */

static int32_t renumbered(const spread *s, int v) {
  return *place(s, v, s->returned[v] ? TKG_WHOLE : s->home[v]);
}

static void replace(spread *s, int forward, int arrived) {
  tkg_program *p = s->p;
  for (int i = 0; i < p->output_count; i++) p->outputs[i] = renumbered(s, p->outputs[i]);
  for (int i = 0; i < p->gradient_count; i++) {
    p->leaf_of[i] = *place(s, p->leaf_of[i], s->home[p->leaf_of[i]]);
    p->gradient_of[i] = renumbered(s, p->gradient_of[i]);
  }
  tkg_tape_release(p->tape);
  p->tape = s->fresh;
  p->forward = forward;
  p->arrived = arrived;
}

static bool allocate(spread *s) {
  const size_t n = (size_t)s->old->n + 1;
  s->home = calloc(2 * n, 1);
  s->joined = calloc(2 * n, sizeof *s->joined);
  s->at = malloc((TKG_PLACEMENTS + 1) * n * sizeof *s->at);
  if (!s->home || !s->joined || !s->at) return false;
  s->wanted = s->home + n;
  s->returned = s->joined + n;
  s->decoded = s->at + TKG_PLACEMENTS * n;
  return true;
}

/* Whether the program reads a divided tensor. One that does not is computed by each rank alone:
 * ranks may run different ones, such as scores of their own users. */
static bool reads_divided(const tkg_tape *tape) {
  for (int i = 0; i < tape->n; i++)
    if (tape->nodes[i].op == TKG_OP_LEAF && tape->nodes[i].i[0]) return true;
  return false;
}

int tkg__spread(tkg_program *p) {
  spread s = {
      .p = p, .old = p->tape, .rank = p->tape->engine->rank, .size = p->tape->engine->ranks};
  if (s.size < 2 || !reads_divided(p->tape)) return TKG_OK;
  int forward = 0, arrived = 0, status = tkg_tape_create(p->tape->engine, &s.fresh);
  if (!status && !allocate(&s)) status = tkg__fail(TKG_E_MEMORY, "spread: no memory");
  if (!status) {
    find_wanted(&s);
    status = rewrite(&s, &forward, &arrived);
  }
  if (!status)
    replace(&s, forward, arrived);
  else
    tkg_tape_release(s.fresh);
  free(s.home);
  free(s.joined);
  free(s.at);
  return status;
}

void tkg__take_own_rows(tkg_program *p) {
  const int rank = p->tape->engine->rank, size = p->tape->engine->ranks;
  for (int i = 0; i < p->tape->n && size > 1; i++) {
    tkg_node *n = &p->tape->nodes[i];
    if (n->whole_rows == 0) continue;
    n->first_row = tkg__first_row(n->whole_rows, rank, size);
    n->shape[0] = tkg__first_row(n->whole_rows, rank + 1, size) - n->first_row;
    if (n->op == TKG_OP_NARROW && p->tape->nodes[n->in[0]].whole_rows == 0) n->i[1] = n->first_row;
  }
  for (int g = 0; g < p->group_count && size > 1; g++) {
    tkg_group *group = &p->groups[g];
    if (group->whole_rows == 0) continue;
    group->first_row = tkg__first_row(group->whole_rows, rank, size);
    group->rows = tkg__first_row(group->whole_rows, rank + 1, size) - group->first_row;
    const tkg_row_range rows = {group->first_row, group->rows, group->whole_rows};
    group->chunks = tkg__parts_in(&rows) * group->finer;
  }
}
