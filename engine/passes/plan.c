/* The plan pass decides which nodes run, in which order, and where each value lies (memory_plan.c).
 *
 * Liveness is known before anything runs. An update moves forward to the first place in the order
 * behind which nothing reads the old parameter, so gradients die early. A group of nodes that run
 * in tiles counts as one place. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/library_memory.h"
#include "delay.h"
#include "memory_plan.h"
#include "spread.h"
#include "sums_in_place.h"
#include "tile.h"
#include "wide_groups.h"

/* ---- order ---- */

static int mark_needed(tkg_planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) z->needed[i] = tkg__op_is(z->tape->nodes[i].op, TKG_UPDATE);
  tkg__reach(z->tape, p->outputs, p->output_count, false, z->needed);
  if (!p->updates) tkg__reach(z->tape, p->gradient_of, p->gradient_count, false, z->needed);
  for (int i = 0; i < z->tape->n; i++) {
    if (!z->needed[i] || z->tape->nodes[i].op != TKG_OP_UPSTREAM) continue;
    const char *where = z->tape->side[i].where;
    tkg__say("the gradient that a custom op's backward is called with has no numbers while that "
             "is recorded: it may only be used for the gradients that backward returns");
    return where ? tkg__fail_at(TKG_E_ARGUMENT, "%s", where) : TKG_E_ARGUMENT;
  }
  return TKG_OK;
}

/* Returns whether the node is a view, which has the memory of input 0, and its offset there. */
static bool view_of(const tkg_tape *tape, const tkg_node *n, int64_t *shift) {
  *shift = 0;
  if (n->op == TKG_OP_RESHAPE) return true;
  if (n->op != TKG_OP_NARROW) return false;
  const tkg_node *x = &tape->nodes[n->in[0]];
  int64_t inner = 4;
  for (int d = 0; d < n->rank; d++) {
    if (d < n->i[0] && n->shape[d] != 1) return false;
    if (d > n->i[0]) inner *= x->shape[d];
  }
  *shift = n->i[1] * inner;
  return true;
}

static void find_storage(tkg_planner *z) {
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    tkg_program *p = z->p;
    p->storage[i] = i;
    p->offset[i] = p->scratch[i] = p->part[i] = p->ids_order[i] = -1;
    p->shift[i] = 0;
    bool view = view_of(z->tape, n, &p->shift[i]);
    if (!view && !tkg__op_is(n->op, TKG_UPDATE)) continue;
    p->storage[i] = p->storage[n->in[0]];
    p->shift[i] += p->shift[n->in[0]];
  }
}

/* Sorts by insertion, as only the updates, which come last, are not in order yet. */
static void sort_by_key(int32_t *order, int n, const int64_t *key) {
  for (int a = 1; a < n; a++) {
    int32_t node = order[a];
    int b = a;
    for (; b > 0 && key[order[b - 1]] > key[node]; b--) order[b] = order[b - 1];
    order[b] = node;
  }
}

/* Puts all needed nodes but leaves and updates in the order of recording. */
static void list_nodes(tkg_planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    if (z->needed[i] && !tkg__op_is(n->op, TKG_UPDATE) && n->op != TKG_OP_LEAF)
      p->order[p->order_count++] = i;
  }
}

/* Keys that order the nodes: STEP times the place of each. A late gradient comes LATE before its
 * first reader, an update one behind the last node that it waits for: updates of what was read come
 * first, which frees its memory. */
enum { STEP = 4, LATE = 2 };

/* Gives the nodes their keys, and finds the last reader of each storage. */
static void number_nodes(tkg_planner *z) {
  const tkg_program *p = z->p;
  for (int o = 0; o < p->order_count; o++) {
    int i = p->order[o];
    z->key[i] = STEP * (int64_t)o;
    for (int k = 0; k < z->tape->nodes[i].inputs; k++)
      z->last[p->storage[z->tape->nodes[i].in[k]]] = i;
    z->last[p->storage[i]] = i;
  }
}

/* Returns the key after which a reader of node i can run: that of i, or of the last of its group.
 */
static int64_t end_key(const tkg_planner *z, int i) {
  int group = z->p->group_of[i];
  return z->key[group < 0 ? i : z->p->groups[group].last];
}

/* The rules of a device on which several updates run together; NULL: none do. */
static const tkg_tile_rules *update_rules(const tkg_planner *z) {
  return z->p->tiled && !z->p->checked ? z->tape->engine->backend->tiles : NULL;
}

/* Whether an update can be one of several that run together, behind everything else: of a parameter
 * so small that its gradient may live so long. */
static bool runs_together(const tkg_tile_rules *rules, const tkg_node *n) {
  return rules && n->op == TKG_OP_ADAM && tkg__count(n) <= rules->updates;
}

/* Makes groups of the updates at the end of the order that can run together. */
static void group_updates(tkg_planner *z) {
  tkg_program *p = z->p;
  const tkg_tile_rules *rules = update_rules(z);
  const tkg_node *before = NULL;
  int members = 0;
  if (!rules) return;
  for (int o = p->order_count; o-- > 0;) {
    const tkg_node *n = &z->tape->nodes[p->order[o]];
    if (!tkg__op_is(n->op, TKG_UPDATE) || !runs_together(rules, n)) return;
    const bool same = before && tkg__same_attributes(before, n);
    if (!same || members == rules->most_nodes) {
      p->groups[p->group_count++] = (tkg_group){.rows = 0};
      members = 0;
    }
    p->group_of[p->order[o]] = p->group_count - 1;
    members++;
    before = n;
  }
}

/* Puts each update right behind the last reader of its parameter and the last of its inputs. In a
 * checked step, in which any gradient may turn out not to be finite, it comes behind everything. */
static void add_updates(tkg_planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    if (!z->needed[i] || !tkg__op_is(n->op, TKG_UPDATE)) continue;
    int reader = z->last[p->storage[n->in[0]]];
    const bool last = p->checked || runs_together(update_rules(z), n);
    int64_t at = last ? STEP * (int64_t)z->tape->n : reader < 0 ? -STEP : end_key(z, reader);
    for (int k = 1; k < n->inputs; k++) {
      int v = p->storage[n->in[k]];
      if (z->tape->nodes[v].op == TKG_OP_LEAF) continue;
      if (end_key(z, v) > at) at = end_key(z, v);
      if (z->key[n->in[k]] > at) at = z->key[n->in[k]];
    }
    z->key[i] = at + 1;
    p->order[p->order_count++] = i;
  }
  sort_by_key(p->order, p->order_count, z->key);
  group_updates(z);
}

/* ---- late gradients ---- */

/* Whether a gradient can be computed as late as its first reader: its inputs take less memory than
 * it does, and none is a parameter, which could be updated before. */
static bool may_wait(const tkg_planner *z, int i) {
  const tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  const int group = p->group_of[i];
  int64_t held = 0;
  if (!z->needed[i] || p->storage[i] != i) return false;
  if (group >= 0 && p->groups[group].first != p->groups[group].last) return false;
  for (int k = 0; k < n->inputs; k++) {
    const tkg_node *x = &z->tape->nodes[p->storage[n->in[k]]];
    if (x->parameter && x->op == TKG_OP_LEAF) return false;
    if (x->op != TKG_OP_LEAF) held += tkg__bytes(x);
  }
  return held < tkg__bytes(n);
}

/* The position of the first node that reads node i, or of that node's group. A view runs nothing,
 * and may stand between the members of a group. Returns i's own position when nothing reads it, or
 * when the reader is an update, which is placed by i. */
static int64_t first_read(const tkg_planner *z, int i) {
  const tkg_program *p = z->p;
  int64_t first = INT64_MAX;
  for (int r = i + 1; r < z->tape->n; r++) {
    const tkg_node *n = &z->tape->nodes[r];
    bool reads = false;
    for (int k = 0; k < n->inputs; k++) reads |= p->storage[n->in[k]] == i;
    if (!reads || !z->needed[r]) continue;
    if (tkg__op_is(n->op, TKG_UPDATE)) return z->key[i];
    if (p->storage[r] != r) continue;
    int at = p->group_of[r] < 0 ? r : p->groups[p->group_of[r]].first;
    if (z->key[at] < first) first = z->key[at];
  }
  return first < INT64_MAX ? first : z->key[i];
}

/* Moves a gradient that is larger than its inputs, such as few rows scattered into a whole matrix,
 * to the place right before its first reader. */
static void make_late(tkg_planner *z) {
  for (int i = z->tape->n; i-- > z->p->forward;)
    if (may_wait(z, i)) {
      int64_t at = first_read(z, i);
      if (at > z->key[i]) z->key[i] = at % STEP ? at : at - LATE;
    }
}

/* Finds the first and last node of each group. */
static void end_groups(tkg_program *p) {
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    if (group >= 0) p->groups[group].last = p->order[o];
  }
  for (int o = p->order_count; o-- > 0;) {
    int group = p->group_of[p->order[o]];
    if (group >= 0) p->groups[group].first = p->order[o];
  }
}

/* Turns the first and last node of each group into places in the final order. */
static void place_groups(tkg_program *p) {
  for (int g = 0; g < p->group_count; g++) p->groups[g].first = -1;
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    if (group < 0) continue;
    if (p->groups[group].first < 0) p->groups[group].first = o;
    p->groups[group].last = o;
  }
}

/* ---- values that exist in tiles only ---- */

/* A value exists in tiles only if all its readers are in its group and read it row by row, or as
 * they like in a small group. */
static void find_inside(tkg_planner *z) {
  tkg_program *p = z->p;
  const tkg_tape *tape = p->tape;
  for (int i = 0; i < tape->n; i++)
    p->in_tile[i] = p->group_of[i] >= 0 && tape->nodes[i].dtype == TKG_F32 &&
                    (tkg__in_small_group(p, i) || tkg__is_wide_value(p, i) ||
                     tkg__part(tape, &tape->nodes[i]) == TKG_PART_ROWS);
  for (int i = 0; i < tape->n; i++) {
    const tkg_node *n = &tape->nodes[i];
    for (int k = 0; z->needed[i] && k < n->inputs; k++) {
      int v = n->in[k];
      if (p->group_of[v] < 0 || p->group_of[i] != p->group_of[v] ||
          (!tkg__in_small_group(p, i) && !tkg__in_wide_group(p, i) && !tkg__aligned(tape, n, k)))
        p->in_tile[p->storage[v]] = false;
    }
  }
  for (int i = 0; i < p->output_count; i++) p->in_tile[p->storage[p->outputs[i]]] = false;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    p->in_tile[p->storage[p->gradient_of[i]]] = false;
}

/* ---- the order ---- */

static int put_in_order(tkg_planner *z) {
  tkg_program *p = z->p;
  int status = TKG_OK;
  list_nodes(z);
  if (tkg__forward_only(p)) tkg__delay(z);
  tkg__sums_in_place(z);
  for (int i = 0; i < z->tape->n; i++) p->group_of[i] = z->last[i] = -1;
  if (z->tape->engine->backend->tiles && p->tiled) status = tkg__tile(p);
  if (!p->checked) find_inside(z);
  end_groups(p);
  number_nodes(z);
  make_late(z);
  add_updates(z);
  place_groups(p);
  return status;
}

/* ---- liveness ---- */

static void find_last_readers(tkg_planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) z->last[i] = -1;
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    const tkg_node *n = &z->tape->nodes[p->order[o]];
    z->time[o] = group < 0 ? o : p->groups[group].first;
    z->last[p->storage[p->order[o]]] = z->time[o];
    for (int k = 0; k < n->inputs; k++) z->last[p->storage[n->in[k]]] = z->time[o];
  }
  for (int i = 0; i < p->output_count; i++) z->last[p->storage[p->outputs[i]]] = p->order_count;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    z->last[p->storage[p->gradient_of[i]]] = p->order_count;
}

/* ---- results ---- */

/* Large outputs of a forward pass are computed in the tensor that is returned, and so are the
 * values that they are written over. Small ones are copied, since a replayed run needs the same
 * addresses each time, which a new tensor rarely has. */
enum { LARGE_RESULT = 1 << 20 };

static void find_outputs_in_place(tkg_planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) p->output_of[i] = -1;
  if (p->updates || p->gradient_count) return;
  for (int i = 0; i < p->output_count; i++) {
    int output = p->outputs[i];
    const tkg_node *n = &z->tape->nodes[output];
    if (p->storage[output] == output && n->op != TKG_OP_LEAF && tkg__bytes(n) >= LARGE_RESULT)
      p->output_of[output] = output;
  }
  for (int o = p->order_count; o-- > 0;) {
    int i = p->order[o], output = p->output_of[i];
    int from = output < 0 ? -1 : tkg__replaced(z, i, o);
    if (from >= 0 && p->output_of[from] < 0) p->output_of[from] = output;
  }
}

/* ---- the pass ---- */

static bool allocate(tkg_planner *z) {
  tkg_program *p = z->p;
  size_t n = (size_t)p->tape->n + 1;
  p->order = calloc(6 * n, sizeof *p->order);
  p->offset = calloc(5 * n, sizeof *p->offset);
  p->groups = calloc(n, sizeof *p->groups);
  p->in_tile = calloc(2 * n, sizeof *p->in_tile);
  z->needed = calloc(2 * n, sizeof *z->needed);
  z->time = calloc(2 * n, sizeof *z->time);
  z->key = calloc(n, sizeof *z->key);
  z->arena = calloc(4 * n, sizeof *z->arena);
  z->tile = calloc(n, sizeof *z->tile);
  z->beside = calloc(n, sizeof *z->beside);
  if (!p->order || !p->offset || !p->groups || !p->in_tile || !z->needed || !z->time || !z->key ||
      !z->arena || !z->tile || !z->beside)
    return false;
  p->storage = p->order + n;
  p->group_of = p->order + 2 * n;
  p->output_of = p->order + 3 * n;
  p->slice = p->order + 4 * n;
  p->shift = p->offset + n;
  p->scratch = p->offset + 2 * n;
  p->ids_order = p->offset + 3 * n;
  p->part = p->offset + 4 * n;
  p->ids_ordered = p->in_tile + n;
  z->last = z->time + n;
  p->over = p->order + 5 * n;
  z->without = z->needed + n;
  return true;
}

/* Forgets what an earlier arrangement left. */
static void clear(tkg_planner *z) {
  tkg_program *p = z->p;
  size_t n = (size_t)p->tape->n + 1;
  p->order_count = p->group_count = 0;
  p->arena_bytes = z->fullest = 0;
  z->arena_count = 0;
  memset(p->slice, 0, n * sizeof *p->slice);
  memset(p->groups, 0, n * sizeof *p->groups);
  memset(p->in_tile, 0, 2 * n * sizeof *p->in_tile);
  memset(p->at_peak, 0, sizeof p->at_peak);
  memset(z->in_use, 0, sizeof z->in_use);
}

/* Finds order, lifetimes and offsets, with the sums in place that z->parts and z->without say. */
static int arrange(tkg_planner *z) {
  clear(z);
  find_storage(z);
  int status = put_in_order(z);
  if (status) return status;
  if (!z->trying) {
    tkg__take_own_rows(z->p);
    find_storage(z); /* views of rows begin elsewhere now */
  }
  find_last_readers(z);
  find_outputs_in_place(z);
  return tkg__lay_out(z);
}

/* ---- sums in place ---- */

/* Sums are made in slices if the arena shrinks by a LEAST_GAIN-th of it. In a forward pass alone,
 * of which there is one per evaluation, also in quarters, which take a third longer than halves, if
 * it shrinks by another MORE-th. */
enum { LEAST_GAIN = 32, MORE = 64, HALVES = 2, QUARTERS = 4 };

/* The bytes of the arena with sums in place in so many slices. */
static int64_t bytes_with(tkg_planner *z, int parts, int *status) {
  z->parts = parts;
  if (!*status) *status = arrange(z);
  return z->p->arena_bytes;
}

/* Leaves out the sums in place without which the arena is no larger. */
static void drop_needless(tkg_planner *z, int parts, int64_t least, int *status) {
  for (int i = 0; i < z->tape->n && !*status; i++) {
    if (z->without[i] || !tkg__may_sum_in_place(z, i)) continue;
    z->without[i] = true;
    z->without[i] = bytes_with(z, parts, status) <= least;
  }
}

/* Lets rows of sums in place lie beside what they read, as many as the arena has room for if it may
 * grow by less than what it has to shrink by for a sum to be in place. */
static void lay_beside(tkg_planner *z, int parts, int64_t most, int *status) {
  (void)bytes_with(z, parts, status);
  for (int i = 0; i < z->tape->n && !*status; i++)
    for (int more = tkg__may_overlap(z, i) ? TKG_SHARES / 2 : 0; more > 0 && !*status; more /= 2) {
      z->beside[i] = (uint8_t)(z->beside[i] + more);
      if (bytes_with(z, parts, status) > most) z->beside[i] = (uint8_t)(z->beside[i] - more);
    }
}

/* Decides which sums over edges are made in slices and written over what they read: by what the
 * arena takes, since it costs time. All ranks have to decide alike: shapes are still those of rank
 * 0, and tiles are counted as one thread has them. */
static int choose_sums_in_place(tkg_planner *z) {
  bool any = false;
  int best = 0, status = TKG_OK;
  for (int i = 0; i < z->tape->n && !any; i++) any = tkg__may_sum_in_place(z, i);
  if (!any) return TKG_OK;
  z->trying = true;
  int64_t least = bytes_with(z, 0, &status);
  const int most = tkg__forward_only(z->p) ? QUARTERS : HALVES;
  for (int parts = HALVES; parts <= most; parts *= 2) {
    const int64_t bytes = bytes_with(z, parts, &status);
    if (bytes >= least - least / (best ? MORE : LEAST_GAIN)) continue;
    least = bytes;
    best = parts;
  }
  if (best) drop_needless(z, best, least, &status);
  if (best && !tkg__forward_only(z->p) && z->tape->engine->ranks == 1)
    lay_beside(z, best, least + least / LEAST_GAIN, &status);
  z->parts = best;
  z->trying = false;
  return status;
}

/* Sums over edges by a library, which computes no slices. */
static void count_for_libraries(const tkg_planner *z) {
  tkg_engine *engine = z->tape->engine;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i], *in[TKG_MAX_INPUTS];
    if (!z->needed[i] || z->p->slice[i] > 0 || !tkg__for_library(engine, n)) continue;
    tkg__inputs_of(z->tape, n, in);
    if (in[1]->dtype == TKG_F32) tkg__library_count(engine, n, in, z->tape->side[n->in[0]].tensor);
  }
}

int tkg__plan(tkg_program *p) {
  tkg_planner z = {.p = p, .tape = p->tape};
  int status = allocate(&z) ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) status = mark_needed(&z);
  if (!status) {
    find_storage(&z);
    status = choose_sums_in_place(&z);
  }
  if (!status) status = arrange(&z);
  if (!status) count_for_libraries(&z);
  free(z.needed);
  free(z.time);
  free(z.key);
  free(z.arena);
  free(z.tile);
  free(z.beside);
  return status;
}
