/* prune_rows: if only some rows of a value are gathered, only these are computed.
 *
 * A ranking loss reads a few thousand of the hundred thousand rows of a model's last layer. If only
 * gathers read a value, and each of its rows depends on the same row of its inputs, then
 * gather(f(x), ids) = f(gather(x, ids)). The pass moves gathers up through such ops; a sum over the
 * edges of a graph becomes one over the edges of those heads; dropout drops each row as in the
 * whole value. The numbers of these rows are the same; work and saved tensors shrink, and recipes
 * stay as the papers have them. Nodes that nothing reads are dropped. */
#include "prune_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "record_neighborhoods.h"
#include "rows.h"

/* ---- which values can be computed row by row ---- */

/* Whether rows of the value can be computed alone. */
static bool row_local(const rows *z, int v) {
  const tkg_node *n = node_of(z, v), *in[TKG_MAX_INPUTS];
  if (n->rank != 2 || n->dtype != TKG_F32 || n->shape[0] < 2) return false;
  if (n->op == TKG_OP_GATHER) return tkg__gathers_rows(z, n) && node_of(z, n->in[1])->rank == 1;
  if (n->op == TKG_OP_WIDEN) return false;  /* a gather will read the leaf itself (fuse_widen.c) */
  if (n->op == TKG_OP_RANDOM) return false; /* its numbers go by their places in the whole */
  if (tkg__op_is(n->op, TKG_BASE)) return false; /* it names rows of the whole by number */
  tkg__inputs_of(z->old, n, in);
  return tkg__rows_apart(n, in);
}

/* Whether so many rows of a sum over a graph are gathered that it is better computed as a whole: it
 * may then be written over what it sums (sums_in_place.c). */
static bool is_asked_for_many(const rows *z, int v) {
  const tkg_node *n = node_of(z, v);
  return z->forward_only && is_sum(n) && 3 * z->asked[v] > n->shape[0];
}

/* Goes backward over the tape: a value is needed as a whole unless only gathers read it, each of at
 * most half of its rows. */
static void find_whole(rows *z) {
  for (int i = z->old->n; i-- > 0;) {
    const tkg_node *n = node_of(z, i);
    if (!z->read[i]) continue;
    z->whole[i] |= !row_local(z, i) || is_asked_for_many(z, i);
    for (int k = 0; k < n->inputs; k++) {
      z->read[n->in[k]] = true;
      bool by_rows = !z->whole[i] && tkg__reads_own_row(z, n, k);
      int64_t asked = z->asked[i];
      if (k == 0 && tkg__gathers_rows(z, n)) {
        asked = tkg__count(node_of(z, n->in[1]));
        by_rows = 2 * asked <= node_of(z, n->in[0])->shape[0];
      }
      if (by_rows && asked > z->asked[n->in[k]]) z->asked[n->in[k]] = asked;
      if (!by_rows) z->whole[n->in[k]] = true;
    }
  }
}

/* ---- the new tape ---- */

/* Finds of each value what it is computed from. A sum over a graph needs a whole value, which does
 * not die with its rows if others do too. */
static void find_origins(rows *z) {
  for (int v = 0; v < z->old->n; v++) {
    const tkg_node *n = node_of(z, v);
    z->sums[v] = !z->whole[v] && is_sum(n);
    z->last[v] = z->whole[v] && n->op != TKG_OP_LEAF ? v : -1;
    for (int k = 0; k < n->inputs && !z->whole[v]; k++) {
      z->sums[v] |= tkg__reads_own_row(z, n, k) && z->sums[n->in[k]];
      if (z->last[n->in[k]] > z->last[v]) z->last[v] = z->last[n->in[k]];
    }
  }
}

/* Computes what can be computed of the rows `ids` of old value v once values up to `after` exist,
 * for a later tkg__rows_of, but for sums over a graph and rows of leaves, which do not die. */
static int begin_rows(rows *z, int v, int ids, int after) {
  const tkg_node *n = node_of(z, v);
  if (n->op == TKG_OP_LEAF || !is_new(z, v)) return TKG_OK;
  if (z->last[v] <= after && !z->sums[v])
    return tkg__rows_of(z, v, ids) < 0 ? TKG_E_MEMORY : TKG_OK;
  for (int k = 0; k < n->inputs && !z->whole[v]; k++) {
    int status = tkg__reads_own_row(z, n, k) ? begin_rows(z, n->in[k], ids, after) : TKG_OK;
    if (status) return status;
  }
  return TKG_OK;
}

/* Gathers rows as soon as they can be computed. Nothing is saved of a forward pass alone: a layer
 * is then dead once its rows are gathered and the next one is there. */
static int begin_gathers(rows *z, int after) {
  int status = TKG_OK;
  for (int i = after + 1; i < z->old->n && !status; i++) {
    const tkg_node *n = node_of(z, i);
    if (!z->whole[i] || !tkg__gathers_rows(z, n) || z->whole[n->in[0]]) continue;
    int ids = z->map[n->in[1]];
    if (ids < 0 || z->fresh->nodes[ids].rank != 1) continue;
    begin_walk(z);
    status = begin_rows(z, n->in[0], ids, after);
  }
  return status;
}

static int rewrite(rows *z) {
  int status = TKG_OK;
  find_origins(z);
  for (int i = 0; i < z->old->n; i++) z->map[i] = -1;
  if (z->neighborhoods) status = tkg__record_neighborhoods(z);
  for (int i = 0; i < z->old->n && !status && z->forward_only; i++)
    if (node_of(z, i)->op == TKG_OP_LEAF) status = tkg__emit_once(z, i);
  for (int i = 0; i < z->old->n && !status; i++) {
    status = tkg__emit_once(z, i);
    if (!status && z->forward_only) status = begin_gathers(z, i);
  }
  return status;
}

/* ---- the pass ---- */

static bool changes(const rows *z) {
  for (int i = 0; i < z->old->n; i++)
    if (!z->whole[i]) return true;
  return false;
}

static void replace(tkg_program *p, rows *z, int *loss) {
  if (*loss >= 0) *loss = z->map[*loss];
  for (int i = 0; i < p->output_count; i++) p->outputs[i] = z->map[p->outputs[i]];
  tkg_tape_release(p->tape);
  p->tape = z->fresh;
  p->forward = p->tape->n;
}

static void ask_for(rows *z, int v) { z->read[v] = z->whole[v] = true; }

int tkg__prune_rows(tkg_program *p, int *loss) {
  size_t n = (size_t)p->tape->n + 1;
  rows z = {.old = p->tape,
            .read = calloc(4 * n, sizeof *z.read),
            .asked = calloc(n, sizeof *z.asked),
            .map = calloc(2 * n, sizeof *z.map)};
  int status = z.read && z.asked && z.map ? TKG_OK : tkg__fail(TKG_E_MEMORY, "rows: no memory");
  z.forward_only = *loss < 0;
  z.neighborhoods = !z.forward_only;
  if (!status) {
    z.whole = z.read + n;
    z.sums = z.read + 2 * n;
    z.seen = z.read + 3 * n;
    z.last = z.map + n;
    if (*loss >= 0) ask_for(&z, *loss);
    for (int i = 0; i < p->output_count; i++) ask_for(&z, p->outputs[i]);
    find_whole(&z);
  }
  if (!status && changes(&z)) {
    status = tkg_tape_create(p->tape->engine, &z.fresh);
    if (!status) status = rewrite(&z);
    if (!status)
      replace(p, &z, loss);
    else
      tkg_tape_release(z.fresh);
  }
  free(z.read);
  free(z.asked);
  free(z.map);
  free(z.memo);
  return status;
}
