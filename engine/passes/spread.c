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
#include "spread_homes.h"

static const tkg_node *node_of(const tkg_spread *s, int v) { return &s->old->nodes[v]; }

/* ---- the new tape ---- */

static int emit(tkg_spread *s, const tkg_node *node, int like) {
  return tkg__append(s->fresh, node, s->old->side[like].where);
}

static void divide_columns(const tkg_spread *s, tkg_node *n) {
  n->whole_cols = n->shape[n->rank - 1];
  n->shape[n->rank - 1] /= s->size;
}

static void divide_rows(const tkg_spread *s, tkg_node *n) {
  n->whole_rows = n->shape[0];
  n->first_row = tkg__first_row(n->whole_rows, 0, s->size);
  n->shape[0] = tkg__first_row(n->whole_rows, 1, s->size) - n->first_row;
}

/* A new node that has the numbers of old value v in another shape. */
static tkg_node like(const tkg_spread *s, int v, int op, int from) {
  const tkg_node *old = node_of(s, v);
  tkg_node n = {
      .op = (uint8_t)op, .rank = old->rank, .inputs = 1, .bits = old->bits, .nth = old->nth};
  n.dtype = s->fresh->nodes[from].dtype;
  n.in[0] = from;
  memcpy(n.shape, old->shape, sizeof n.shape);
  return n;
}

/* A part of a value that is whole on each rank. */
static int emit_part(tkg_spread *s, int v, int from, int placement) {
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

/* Whether the value has as many rows as some table that ranks share. */
static bool has_rows_of_table(const tkg_spread *s, const tkg_node *n) {
  for (int i = 0; i < s->old->n && n->rank == 2; i++) {
    const tkg_node *leaf = node_of(s, i);
    if (leaf->op == TKG_OP_LEAF && leaf->i[0] && leaf->shape[0] == n->shape[0]) return true;
  }
  return false;
}

/* What an exchange of old value v is counted as. */
static enum tkg_sent kind_of(const tkg_spread *s, int v) {
  if (s->home[v] == TKG_PARTS) return TKG_SENT_SUMS;
  if (!has_rows_of_table(s, node_of(s, v))) return TKG_SENT_ROWS;
  return s->backward && !s->gradient[v] ? TKG_SENT_AGAIN : TKG_SENT_LAYERS;
}

/* Streams of the noise of exchanges: no tape gives them. */
enum { FIRST_STREAM = 0x60000000 };

/* The attribute i3 of an exchange of old value v: gradients of layers may travel in codes. */
static int64_t coding_of(tkg_spread *s, int v, int relay) {
  const bool moves = relay == TKG_TO_ROWS || relay == TKG_TO_COLUMNS;
  const bool host = !s->old->engine->backend->interleave;
  const bool coded = s->p->rank_bits == 8 && host && moves && s->gradient[v];
  return coded ? 1 + FIRST_STREAM + s->coded++ : 0;
}

static int emit_exchange(tkg_spread *s, int v, int from, int placement) {
  const int home = s->home[v];
  tkg_node n = like(s, v, TKG_OP_EXCHANGE, from);
  if (placement == TKG_ROWS) divide_rows(s, &n);
  if (placement == TKG_COLUMNS) divide_columns(s, &n);
  if (placement == TKG_WHOLE)
    n.i[0] = home == TKG_PARTS  ? TKG_ADD_PARTS
             : home == TKG_ROWS ? TKG_JOIN_ROWS
                                : TKG_JOIN_COLUMNS;
  else
    n.i[0] = placement == TKG_ROWS ? TKG_TO_ROWS : TKG_TO_COLUMNS;
  n.i[1] = n.rank == 2 ? node_of(s, v)->shape[0] : 0;
  n.i[2] = kind_of(s, v);
  n.i[3] = coding_of(s, v, (int)n.i[0]);
  return emit(s, &n, v);
}

/* The numbers of codes, by rows. */
static int decode(tkg_spread *s, int v) {
  if (s->decoded[v] >= 0) return s->decoded[v];
  const int codes = *tkg__spread_at(s, v, TKG_ROWS);
  tkg_node n = s->fresh->nodes[codes];
  n.op = TKG_OP_DECODE;
  n.dtype = TKG_F32;
  n.in[0] = codes;
  return s->decoded[v] = emit(s, &n, v);
}

/* Returns the new node that has old value v in a placement; -1 if there is no memory. */
static int value_in(tkg_spread *s, int v, int placement) {
  int32_t *known = tkg__spread_at(s, v, placement);
  const int home = s->home[v];
  if (*known >= 0) return *known;
  int from = *tkg__spread_at(s, v, home);
  if (node_of(s, v)->dtype == TKG_CODES) from = decode(s, v);
  if (from < 0) return -1;
  *known =
      home == TKG_WHOLE ? emit_part(s, v, from, placement) : emit_exchange(s, v, from, placement);
  return *known;
}

/* NEIGHBOR_DOT takes rows of a table by id. Of one that is divided, only those rows are joined. */
static int emit_rows_read(tkg_spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  tkg_node flat = {.op = TKG_OP_RESHAPE, .dtype = TKG_I32, .rank = 1, .inputs = 1};
  flat.in[0] = value_in(s, n->in[2], TKG_WHOLE);
  flat.shape[0] = tkg__count(node_of(s, n->in[2]));
  tkg_node rows = {.op = TKG_OP_GATHER, .rank = 2, .inputs = 2, .bits = n->bits};
  rows.in[0] = *tkg__spread_at(s, n->in[1], TKG_COLUMNS);
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
  joined.i[2] = TKG_SENT_ROWS;
  return joined.in[0] < 0 ? -1 : emit(s, &joined, i);
}

static bool reads_divided_rows(const tkg_spread *s, const tkg_node *n) {
  return n->op == TKG_OP_NEIGHBOR_DOT && n->inputs == 3 && s->home[n->in[1]] == TKG_COLUMNS;
}

static int emit_node(tkg_spread *s, int i) {
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
    node.in[k] = value_in(s, old->in[k], tkg__placement_of(s, old, k, home));
    if (node.in[k] < 0) return TKG_E_MEMORY;
  }
  if (home == TKG_ROWS) divide_rows(s, &node);
  if (home == TKG_COLUMNS) divide_columns(s, &node);
  const int at = *tkg__spread_at(s, i, home) = emit(s, &node, i);
  if (at < 0) return TKG_E_MEMORY;
  const tkg_side *side = &s->old->side[i];
  if (side->tensor) s->fresh->side[at].tensor = tkg_tensor_retain(side->tensor);
  s->fresh->side[at].origin = side->origin;
  if (s->returned[i] && value_in(s, i, TKG_WHOLE) < 0) return TKG_E_MEMORY;
  return s->dealt[i] && value_in(s, i, TKG_COLUMNS) < 0 ? TKG_E_MEMORY : TKG_OK;
}

/* Backward exchanges anew what it reads: what forward exchanged need not live so long. */
static void forget_exchanged(tkg_spread *s) {
  for (int v = 0; v < s->old->n; v++) {
    s->decoded[v] = -1;
    for (int k = 0; k < TKG_PLACEMENTS; k++)
      if (k != s->home[v] && !s->returned[v]) *tkg__spread_at(s, v, k) = -1;
  }
}

/* Marks old node i if it depends on the gradient of the loss, which is the first node of backward:
 * a one that no line recorded. */
static void mark_gradient(tkg_spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  s->gradient[i] = n->op == TKG_OP_FULL && i >= s->p->forward && !s->old->side[i].where;
  for (int k = 0; k < n->inputs; k++) s->gradient[i] |= s->gradient[n->in[k]];
}

static int rewrite(tkg_spread *s, int *forward, int *arrived) {
  int status = TKG_OK;
  memset(s->at, 0xff, (TKG_PLACEMENTS + 1) * ((size_t)s->old->n + 1) * sizeof *s->at);
  for (int i = 0; i < s->old->n && !status; i++) {
    if (i == s->p->forward) {
      *forward = s->fresh->n;
      s->backward = true;
      forget_exchanged(s);
    }
    if (i == s->p->arrived) *arrived = s->fresh->n;
    mark_gradient(s, i);
    s->home[i] = (uint8_t)tkg__home_of(s, i);
    status = emit_node(s, i);
  }
  if (s->old->n == s->p->forward) *forward = s->fresh->n;
  if (s->old->n == s->p->arrived) *arrived = s->fresh->n;
  return status ? tkg__fail(TKG_E_MEMORY, "spread: no memory") : TKG_OK;
}

/* ---- the pass ---- */

static int32_t renumbered(const tkg_spread *s, int v) {
  return *tkg__spread_at(s, v, s->returned[v] ? TKG_WHOLE : s->dealt[v] ? TKG_COLUMNS : s->home[v]);
}

static void replace(tkg_spread *s, int forward, int arrived) {
  tkg_program *p = s->p;
  for (int i = 0; i < p->output_count; i++) p->outputs[i] = renumbered(s, p->outputs[i]);
  for (int i = 0; i < p->gradient_count; i++) {
    p->leaf_of[i] = *tkg__spread_at(s, p->leaf_of[i], s->home[p->leaf_of[i]]);
    p->gradient_of[i] = renumbered(s, p->gradient_of[i]);
  }
  for (int i = 0; i < p->saved_count; i++) /* the old tape owns its lines */
    p->saved[i].where = tkg__tape_line(s->fresh, p->saved[i].where);
  tkg_tape_release(p->tape);
  p->tape = s->fresh;
  p->forward = forward;
  p->arrived = arrived;
}

static bool allocate(tkg_spread *s) {
  const size_t n = (size_t)s->old->n + 1;
  s->home = calloc(2 * n, 1);
  s->joined = calloc(4 * n, sizeof *s->joined);
  s->at = malloc((TKG_PLACEMENTS + 1) * n * sizeof *s->at);
  if (!s->home || !s->joined || !s->at) return false;
  s->wanted = s->home + n;
  s->returned = s->joined + n;
  s->gradient = s->returned + n;
  s->dealt = s->gradient + n;
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
  tkg_spread s = {
      .p = p, .old = p->tape, .rank = p->tape->engine->rank, .size = p->tape->engine->ranks};
  if (s.size < 2 || !reads_divided(p->tape)) return TKG_OK;
  int forward = 0, arrived = 0, status = tkg_tape_create(p->tape->engine, &s.fresh);
  if (!status && !allocate(&s)) status = tkg__fail(TKG_E_MEMORY, "spread: no memory");
  if (!status) {
    tkg__find_wanted(&s);
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
