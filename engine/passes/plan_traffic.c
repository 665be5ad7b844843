/* Two sums over a plan, both of the formulas of traffic.c.
 *
 * `bytes` are those of this plan on this device: an op reads its inputs and writes its result,
 * unless they live in a tile; a group reads a value once, however many of its ops read it row by
 * row; scratch memory is written and read once. Rows added to a value in place are read and
 * written, not the value.
 *
 * `compulsory` are those that no plan of these ops does without: a value that is made and read row
 * by row, within forward or within backward, could live in a tile and counts nothing. Others are
 * written once, read by each op that reads them as a whole, and once by all those of forward, or of
 * backward, that read them row by row; those beside which they are made row by row have them. */
#include "plan_traffic.h"

#include <stdlib.h>

#include "base/error.h"
#include "memory_plan.h"
#include "tile.h"
#include "traffic.h"

typedef struct account {
  const tkg_program *p;
  const tkg_tape *tape;
  tkg_moved *rows;
  bool *inner;     /* by storage: it could live in a tile */
  uint8_t *read;   /* by storage: the sides that have read it row by row */
  int32_t *cached; /* by storage: the group that has its rows in cache, from 1 */
} account;

static bool is_view(const tkg_program *p, int i) {
  return p->storage[i] != i && !tkg__op_is(p->tape->nodes[i].op, TKG_UPDATE);
}

/* 1: forward, 2: backward and updates. */
static uint8_t side(const tkg_program *p, int i) { return i < p->forward ? 1 : 2; }

static bool by_row(const account *a, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(a->tape, n, in);
  return a->p->storage[n->in[k]] == n->in[k] && tkg__row_access(n, in, k) != TKG_ACCESS_WHOLE;
}

/* ---- values that could live in a tile ---- */

static void find_inner(account *a) {
  const tkg_program *p = a->p;
  const tkg_node *in[TKG_MAX_INPUTS];
  for (int i = 0; i < a->tape->n; i++) {
    const tkg_node *n = &a->tape->nodes[i];
    tkg__inputs_of(a->tape, n, in);
    if (n->op == TKG_OP_LEAF || !tkg__rows_apart_by_list(n, in)) continue;
    a->inner[i] = n->dtype == TKG_F32;
    a->read[i] = side(p, i); /* as it is made */
  }
  for (int o = 0; o < p->order_count; o++) {
    const tkg_node *n = &a->tape->nodes[p->order[o]];
    for (int k = 0; k < n->inputs; k++) {
      const int s = p->storage[n->in[k]];
      if (!by_row(a, n, k) || side(p, s) != side(p, p->order[o])) a->inner[s] = false;
    }
  }
  for (int i = 0; i < p->output_count; i++) a->inner[p->storage[p->outputs[i]]] = false;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    a->inner[p->storage[p->gradient_of[i]]] = false;
}

/* ---- the two sums ---- */

/* Bytes that a node adds to its base, -1 if it has none. */
static double added(const tkg_node *n, const tkg_node *const *in) {
  const int base = tkg__op_base(n->op);
  if (base < 0 || base >= n->inputs) return -1;
  double bytes = (double)tkg__bytes(in[0]);
  if (n->op == TKG_OP_NEIGHBOR_SCATTER)
    bytes = 4 * (double)tkg__count(in[2]) * (double)tkg__cols(n);
  return bytes < (double)tkg__bytes(n) ? bytes : (double)tkg__bytes(n);
}

/* The formula, with rows added in place where they can be. */
static tkg_traffic traffic_of(const account *a, int i, bool in_place) {
  const tkg_node *n = &a->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(a->tape, n, in);
  tkg_traffic t = tkg__traffic(n, in);
  const double few = in_place ? added(n, in) : -1;
  if (few >= 0) t.read[tkg__op_base(n->op)] = t.written = few;
  return t;
}

static double compulsory(account *a, int i) {
  const tkg_program *p = a->p;
  const tkg_node *n = &a->tape->nodes[i];
  const int base = tkg__op_base(n->op);
  const bool in_place = base >= 0 && base < n->inputs && !a->inner[p->storage[n->in[base]]];
  const tkg_traffic t = traffic_of(a, i, in_place);
  double bytes = a->inner[i] ? 0 : t.written;
  for (int k = 0; k < n->inputs; k++) {
    const int s = p->storage[n->in[k]];
    const bool once = by_row(a, n, k);
    if (a->inner[s] || (once && (a->read[s] & side(p, i)))) continue;
    if (once) a->read[s] |= side(p, i);
    bytes += t.read[k];
  }
  return bytes;
}

static bool same_place(const tkg_program *p, int a, int b) {
  const int s = p->storage[a], t = p->storage[b];
  if (s == t) return p->shift[a] == p->shift[b];
  return p->offset[s] >= 0 && p->offset[s] == p->offset[t] && !p->in_tile[s] && !p->in_tile[t];
}

/* Whether an earlier input of the node is the same. */
static bool is_again(const tkg_node *n, int k) {
  for (int j = 0; j < k; j++)
    if (n->in[j] == n->in[k]) return true;
  return false;
}

static double moved(account *a, int i) {
  const tkg_program *p = a->p;
  const tkg_node *n = &a->tape->nodes[i];
  const int group = p->group_of[i] + 1, base = tkg__op_base(n->op);
  const bool in_place = !group && base >= 0 && base < n->inputs && same_place(p, n->in[base], i);
  const tkg_traffic t = traffic_of(a, i, in_place);
  double bytes = p->in_tile[i] ? 0 : t.written;
  for (int k = 0; k < n->inputs; k++) {
    const int s = p->storage[n->in[k]];
    if (p->in_tile[s] || is_again(n, k)) continue;
    const bool aligned =
        tkg__in_small_group(p, i) || (group && s == n->in[k] && tkg__aligned(a->tape, n, k));
    if (aligned && a->cached[s] == group) continue;
    if (aligned) a->cached[s] = group;
    bytes += t.read[k];
  }
  if (group) a->cached[i] = group;
  const double scratch = (double)tkg__scratch_bytes(p, i);
  /* The first of its parts lies in the result, to which the others are added. */
  if (n->op == TKG_OP_PRODUCT_LOGSUMEXP_GRAD && scratch > 0) bytes += 2 * t.written;
  return bytes + 2 * scratch;
}

/* ---- pieces of work ---- */

/* Addresses that nothing reads: offsets in the arena behind one, leaves and results each at one. */
static void *address(const tkg_program *p, int i) {
  const int s = p->storage[i];
  const bool own = p->tape->nodes[s].op == TKG_OP_LEAF || p->output_of[s] >= 0;
  const uintptr_t at =
      own ? 256 * ((uintptr_t)s + 1) : ((uintptr_t)1 << 40) + (uintptr_t)p->offset[s];
  return (void *)(at + (uintptr_t)p->shift[i]); // NOLINT(performance-no-int-to-ptr)
}

static tkg_tile_call call_of(const account *a, int i, const tkg_run_context *context) {
  const tkg_program *p = a->p;
  const tkg_node *n = &a->tape->nodes[i];
  tkg_tile_call t = {.call = {.node = n, .context = context}, .out_in_tile = p->in_tile[i]};
  tkg__inputs_of(a->tape, n, t.call.in);
  for (int k = 0; k < n->inputs; k++) {
    t.in_tile |= (uint32_t)p->in_tile[n->in[k]] << k;
    t.call.data[k] = address(p, n->in[k]);
  }
  t.call.out = address(p, i);
  if (p->scratch[i] >= 0) t.call.scratch = (char *)((uintptr_t)1 << 41) + p->scratch[i];
  if (p->ids_order[i] >= 0) t.call.order = (char *)((uintptr_t)1 << 42) + p->ids_order[i];
  t.call.ordered = p->ids_ordered[i];
  t.reduces = tkg__makes_parts(p, i);
  return t;
}

/* Adds what the group, or the node alone, at place o queues. Returns the place behind it. */
static int count_launches(account *a, tkg_tile_call *calls, int o) {
  const tkg_node *first = &a->tape->nodes[a->p->order[o]];
  const tkg_run_context context = {.beta1 = first->f[0], .beta2 = first->f[1]}; /* of Adam */
  const tkg_program *p = a->p;
  const tkg_backend *backend = a->tape->engine->backend;
  const int group = p->group_of[p->order[o]], last = group < 0 ? o : p->groups[group].last;
  int row = TKG_TRAFFIC_TILES, n = 0;
  for (int k = o; k <= last; k++)
    if (!is_view(p, p->order[k])) calls[n++] = call_of(a, p->order[k], &context);
  if (n == 0) return last + 1;
  tkg_tiling tiling = {0};
  if (group < 0) {
    row = calls->call.node->op;
  } else {
    const tkg_group *g = &p->groups[group];
    tiling = (tkg_tiling){.rows = g->rows,
                          .tile = g->tile,
                          .wide = g->wide,
                          .first_row = g->first_row,
                          .whole_rows = g->whole_rows,
                          .chunks = g->chunks,
                          .finer = g->finer,
                          .tile_bytes = g->tile_bytes,
                          .memories = g->memories};
    a->rows[row].ops++;
  }
  const bool counts = backend->launches && calls->call.node->op != TKG_OP_EXCHANGE;
  a->rows[row].launches +=
      counts ? (double)backend->launches(calls, n, group < 0 ? NULL : &tiling) : 1;
  return last + 1;
}

/* ---- the pass ---- */

static void sum_up(account *a, tkg_tile_call *calls) {
  const tkg_program *p = a->p;
  find_inner(a);
  for (int o = 0; o < p->order_count; o++) {
    const int i = p->order[o];
    if (is_view(p, i)) continue;
    tkg_moved *row = &a->rows[a->tape->nodes[i].op];
    row->ops++;
    row->bytes += moved(a, i);
    row->compulsory += compulsory(a, i);
  }
  for (int o = 0; o < p->order_count;) o = count_launches(a, calls, o);
}

int tkg__plan_traffic(const tkg_program *p, tkg_moved rows[TKG_OP_COUNT + 1]) {
  const size_t n = (size_t)p->tape->n + 1;
  account a = {.p = p, .tape = p->tape, .rows = rows};
  a.inner = calloc(n, sizeof *a.inner);
  a.read = calloc(n, sizeof *a.read);
  a.cached = calloc(n, sizeof *a.cached);
  tkg_tile_call *calls = calloc(n, sizeof *calls);
  for (int r = 0; r <= TKG_TRAFFIC_TILES; r++) rows[r] = (tkg_moved){0};
  const bool ok = a.inner && a.read && a.cached && calls;
  if (ok) sum_up(&a, calls);
  free(a.inner);
  free(a.read);
  free(a.cached);
  free(calls);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "traffic: no memory");
}
