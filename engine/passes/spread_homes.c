#include "spread_homes.h"

#include <stdlib.h>

static const tkg_node *node_of(const tkg_spread *s, int v) { return &s->old->nodes[v]; }

/* A value that is small on the device, of which small groups add up in an order of their own, is
 * small as a whole as well as in parts. */
static bool divides_rows(const tkg_spread *s, const tkg_node *n) {
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
static bool reads_its_row(const tkg_spread *s, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  return tkg__row_access(n, in, k) != TKG_ACCESS_WHOLE;
}

/* Whether a column of the result needs of this input one column alone. */
static bool reads_its_column(const tkg_spread *s, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  return tkg__column_access(n, in, k);
}

/* Whether an op can be computed column by column, and element by element. */
static void find_access(const tkg_spread *s, const tkg_node *n, bool *columns, bool *elements) {
  *columns = *elements = false;
  for (int k = 0; k < n->inputs; k++) {
    const bool column = reads_its_column(s, n, k);
    *columns |= column;
    *elements |= column && reads_its_row(s, n, k) && !tkg__op_is(n->op, TKG_BASE);
  }
}

static enum way way_of(const tkg_spread *s, const tkg_node *n) {
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

/* Whether rows can be added into those of the value that a rank has: to a sum of other gradients,
 * which need not be exchanged then. */
static bool scatters_rows(const tkg_spread *s, const tkg_node *n) {
  return n->op == TKG_OP_SCATTER_ADD && n->inputs == 3 && n->rank == 2 && divides_rows(s, n) &&
         s->old->engine->backend->finds_dealt_rows;
}

/* Whether ranks share the edges that an op gives a score, by their tails: each then needs its rows
 * of the tails alone. What it adds to must be shared so too, or zero. */
static bool shares_edges(const tkg_spread *s, const tkg_node *n) {
  if (n->op != TKG_OP_SDDMM_RELATION || !s->old->engine->backend->finds_dealt_rows) return false;
  const tkg_node *x = node_of(s, n->in[2]), *sum = node_of(s, n->in[4]);
  const bool zero = sum->op == TKG_OP_FULL && sum->f[0] == 0;
  return (zero || s->home[n->in[4]] == TKG_PARTS) && s->home[n->in[2]] == TKG_COLUMNS &&
         x->dtype == TKG_F32 && divides_rows(s, x);
}

static bool is_packed(const tkg_node *n) { return n->dtype == TKG_CODES || n->dtype == TKG_MASK; }

/* Whether an elementwise op can run by columns: its inputs have all of them, or one for all. */
static bool runs_by_columns(const tkg_spread *s, const tkg_node *n) {
  if (!tkg__divides_columns(n, s->size)) return false;
  for (int k = 0; k < n->inputs; k++) {
    const tkg_node *x = node_of(s, n->in[k]);
    if (is_packed(x) || (tkg__cols(x) != tkg__cols(n) && tkg__cols(x) != 1)) return false;
  }
  return true;
}

/* Whether an op can run by rows: it can be computed row by row, and packed inputs lie by rows. */
static bool runs_by_rows(const tkg_spread *s, const tkg_node *n) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(s->old, n, in);
  if (!divides_rows(s, n) || (n->inputs > 0 && !computes_rows(n, in))) return false;
  for (int k = 0; k < n->inputs; k++)
    if (is_packed(in[k]) && s->home[n->in[k]] != TKG_ROWS) return false;
  return true;
}

/* The placement in which an op that runs in `home` reads its input k. */
int tkg__placement_of(const tkg_spread *s, const tkg_node *n, int k, int home) {
  if (way_of(s, n) == SUM_OF_ROWS) return TKG_ROWS;
  if (home == TKG_PARTS)
    return k == 2 ? TKG_ROWS : k == 4 && s->home[n->in[4]] == TKG_PARTS ? TKG_PARTS : TKG_WHOLE;
  if (home == TKG_ROWS && n->op == TKG_OP_SCATTER_ADD) return k == 2 ? TKG_ROWS : TKG_WHOLE;
  if (home == TKG_ROWS) return reads_its_row(s, n, k) ? TKG_ROWS : TKG_WHOLE;
  if (home != TKG_COLUMNS) return TKG_WHOLE;
  return reads_its_column(s, n, k) ? TKG_COLUMNS : TKG_WHOLE;
}

/* ---- what readers want ---- */

static void want_input(tkg_spread *s, const tkg_node *n, enum way way, int k, unsigned wanted) {
  const int v = n->in[k];
  const char reads = tkg__op_reads(n->op, k);
  const bool row = reads_its_row(s, n, k), divided = wanted & (1U << TKG_COLUMNS | 1U << TKG_ROWS);
  if (k == 2 && divided && scatters_rows(s, n))
    s->wanted[v] |= (uint8_t)wanted;
  else if (way == BY_COLUMNS)
    s->wanted[v] |= 1U << (reads_its_column(s, n, k) ? TKG_COLUMNS : TKG_WHOLE);
  else if (way == AS_A_WHOLE || !row)
    s->wanted[v] |= 1U << TKG_WHOLE;
  else
    s->wanted[v] |= way == EITHER ? (uint8_t)wanted : 1U << TKG_ROWS;
  const bool by_rows = row && (way == BY_ROWS || (way == EITHER && divides_rows(s, n)));
  if (is_packed(node_of(s, v)) && !by_rows && (reads == 'q' || reads == 'k' || reads == 's'))
    s->joined[v] = true;
}

/* Whether an output can lie by columns, however few: sums do not read it. */
static bool can_be_dealt(const tkg_spread *s, const tkg_node *n) {
  return s->p->divides && n->dtype == TKG_F32 && tkg__divides_rows(n, s->size) &&
         tkg__cols(n) % s->size == 0;
}

void tkg__find_wanted(tkg_spread *s) {
  for (int i = 0; i < s->p->output_count; i++) {
    const int v = s->p->outputs[i];
    s->p->divided[i] = s->dealt[v] = can_be_dealt(s, node_of(s, v));
    s->returned[v] = !s->dealt[v];
  }
  for (int i = 0; i < s->p->gradient_count && !s->p->updates; i++)
    s->returned[s->p->gradient_of[i]] = true;
  for (int i = s->old->n; i-- > 0;) {
    const tkg_node *n = node_of(s, i);
    const enum way way = way_of(s, n);
    if (s->returned[i]) s->wanted[i] |= 1U << TKG_WHOLE;
    if (s->dealt[i]) s->wanted[i] |= 1U << TKG_COLUMNS;
    for (int k = 0; k < n->inputs; k++) want_input(s, n, way, k, s->wanted[i]);
  }
}

/* ---- where each value is computed ---- */

/* A bit for each placement in which the inputs lie that an op does not need as a whole. */
static unsigned homes_of_inputs(const tkg_spread *s, const tkg_node *n, enum way way) {
  unsigned homes = 0;
  for (int k = 0; k < n->inputs; k++) {
    const bool divided = way == BY_COLUMNS ? reads_its_column(s, n, k) : reads_its_row(s, n, k);
    if (divided) homes |= 1U << s->home[n->in[k]];
  }
  return homes;
}

/* ---- what it costs ---- */

/* Bytes that a rank sends so that old value v, computed in `home`, is in another placement. */
static int64_t sent(const tkg_spread *s, int v, int home, int to) {
  const int64_t others = s->size - 1, bytes = 4 * tkg__count(node_of(s, v));
  if (home == to || home == TKG_WHOLE) return 0;
  return bytes / s->size * others / (to == TKG_WHOLE ? 1 : s->size);
}

/* Bytes that a rank sends if old node i runs in `home`: of the inputs that are not there yet, and
 * of the result for its readers. */
static int64_t cost_of(const tkg_spread *s, int i, int home) {
  const tkg_node *n = node_of(s, i);
  int64_t bytes = 0;
  for (int k = 0; k < n->inputs; k++) {
    const int v = n->in[k], to = tkg__placement_of(s, n, k, home);
    bool counted = *tkg__spread_at(s, v, to) >= 0;
    for (int j = 0; j < k; j++) counted |= n->in[j] == v && tkg__placement_of(s, n, j, home) == to;
    if (!counted) bytes += sent(s, v, s->home[v], to);
  }
  for (int to = 0; to < TKG_PLACEMENTS; to++)
    if (s->wanted[i] >> to & 1) bytes += sent(s, i, home, to);
  return bytes;
}

static bool is_cheaper(const tkg_spread *s, int i, int home, int than) {
  return home != than && cost_of(s, i, home) < cost_of(s, i, than);
}

/* Of two that cost the same, that of the inputs: what follows may need less of the result. */
static int home_of_either(const tkg_spread *s, int i, unsigned inputs) {
  const tkg_node *n = node_of(s, i);
  const unsigned columns = 1U << TKG_COLUMNS, rows = 1U << TKG_ROWS, wanted = s->wanted[i];
  const bool by_rows = runs_by_rows(s, n), by_columns = runs_by_columns(s, n);
  int home = TKG_WHOLE;
  if (by_columns && wanted & columns && !(wanted & rows))
    home = by_rows && inputs & rows && !(inputs & columns) ? TKG_ROWS : TKG_COLUMNS;
  else if (by_rows && (wanted | inputs) & rows)
    home = TKG_ROWS;
  else if (by_columns && inputs & columns)
    home = TKG_COLUMNS;
  if (home == TKG_WHOLE) return home;
  if (by_columns && is_cheaper(s, i, TKG_COLUMNS, home)) home = TKG_COLUMNS;
  if (by_rows && is_cheaper(s, i, TKG_ROWS, home)) home = TKG_ROWS;
  return wanted == 1U << TKG_WHOLE && is_cheaper(s, i, TKG_WHOLE, home) ? TKG_WHOLE : home;
}

/* Some rows, which are read as a whole, of a value by rows: it is joined once, unless they are but
 * a small part of it. */
static bool narrows_joined(const tkg_spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  return n->op == TKG_OP_NARROW && s->wanted[i] == 1U << TKG_WHOLE &&
         s->home[n->in[0]] == TKG_ROWS && 4 * tkg__count(n) >= tkg__count(node_of(s, n->in[0]));
}

static int home_by_columns(const tkg_spread *s, int i, unsigned inputs) {
  const tkg_node *n = node_of(s, i);
  const unsigned divided = 1U << TKG_COLUMNS | 1U << TKG_ROWS;
  if (!(inputs & divided || tkg__divides_rows(n, s->size)) || narrows_joined(s, i))
    return TKG_WHOLE;
  return scatters_rows(s, n) && is_cheaper(s, i, TKG_ROWS, TKG_COLUMNS) ? TKG_ROWS : TKG_COLUMNS;
}

int tkg__home_of(const tkg_spread *s, int i) {
  const tkg_node *n = node_of(s, i);
  const enum way way = way_of(s, n);
  const unsigned inputs = homes_of_inputs(s, n, way), divided = 1U << TKG_COLUMNS | 1U << TKG_ROWS;
  if (n->op == TKG_OP_LEAF) return n->i[0] ? TKG_COLUMNS : TKG_WHOLE;
  if (tkg__op_is(n->op, TKG_UPDATE)) return s->home[n->in[0]];
  switch (way) {
  case BY_COLUMNS:
    return home_by_columns(s, i, inputs);
  case BY_ROWS:
    if (s->joined[i] || !runs_by_rows(s, n)) return TKG_WHOLE;
    return (inputs | s->wanted[i]) & divided ? TKG_ROWS : TKG_WHOLE;
  case EITHER:
    return home_of_either(s, i, inputs);
  default:
    return shares_edges(s, n) ? TKG_PARTS : TKG_WHOLE;
  }
}
