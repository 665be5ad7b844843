/* Running a plan: bind this step's tensors, run the nodes, copy the outputs. */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "check_finite.h"
#include "exchange.h"
#include "out_of_memory.h"
#include "passes/chunks.h"
#include "passes/plan.h"
#include "passes/spread.h"
#include "passes/tile.h"
#include "profile.h"
#include "shared/codec.h"
#include "tape/clip.h"

int tkg_step_create(tkg_engine *engine, tkg_step **out) {
  TKG__NEEDS(engine && out, TKG_E_ARGUMENT);
  *out = calloc(1, sizeof **out);
  if (!*out) return tkg__fail(TKG_E_MEMORY, "no memory for a step");
  (*out)->engine = tkg__engine_retain(engine);
  (*out)->policy = (tkg_policy){.bits = 32,
                                .rounding = TKG_ROUND_DITHER,
                                .small = 4096,
                                .save = true,
                                .tiles = true,
                                .in_place = true,
                                .rows = true,
                                .fuse = true};
  return TKG_OK;
}

void tkg_step_release(tkg_step *step) {
  if (!step) return;
  tkg__plan_cache_free(&step->cache);
  for (int v = 0; v < step->policy.value_count; v++) free(step->values[v].where);
  free(step->values);
  tkg_engine_release(step->engine);
  free(step);
}

/* ---- binding ---- */

typedef struct run {
  tkg_step *step;
  const tkg_tape *recorded;
  const tkg_program *p;
  tkg_replay *replay; /* of the plan; NULL: it runs only once */
  tkg_optimizer *optimizer;
  tkg_run_context context;
  tkg_tensor **outputs; /* those of the program that exist so far, NULL for the others; or none */
  int copied;           /* the status of the outputs that are copied behind the run */
} run;

static tkg_run_context context_of(const tkg_step *step, const tkg_optimizer *o) {
  const tkg_engine *engine = step->engine;
  tkg_run_context c = {.seed = engine->seed, .step = step->number, .threads = engine->threads};
  c.tf32 = engine->tf32, c.fast = engine->fast;
  if (o) {
    c.lr = o->lr;
    c.t = o->t + 1;
    c.beta1 = o->beta1;
    c.beta2 = o->beta2;
  }
  return c;
}

static tkg_tensor *leaf_tensor(const run *r, int leaf) {
  const tkg_side *side = &r->p->tape->side[leaf];
  return side->origin > 0 ? r->recorded->side[side->origin - 1].tensor : side->tensor;
}

/* Fails with TKG_E_STALE if a leaf's numbers are not those that were recorded. */
static int check_leaves(const run *r) {
  for (int i = 0; i < r->p->tape->n; i++) {
    const tkg_side *side = &r->p->tape->side[i];
    if (r->p->tape->nodes[i].op != TKG_OP_LEAF || side->origin == 0) continue;
    const tkg_side *now = &r->recorded->side[side->origin - 1];
    char text[TKG_SHAPE_TEXT];
    if (now->version != now->tensor->version)
      return tkg__fail(TKG_E_STALE,
                       "a value reads a tensor %s that was changed after the value was recorded: "
                       "look at it (item(), totable(), clone()) before the change",
                       tkg__shape_text(&now->tensor->shape, text));
  }
  return TKG_OK;
}

/* The tensor in which an output is computed: that of the first output with this node. */
static tkg_tensor **output_tensor(const run *r, int node) {
  int i = 0;
  while (r->p->outputs[i] != node) i++;
  return &r->outputs[i];
}

static void *address(const run *r, int node) {
  int storage = r->p->storage[node], output = r->p->output_of[storage];
  char *base = r->p->tape->nodes[storage].op == TKG_OP_LEAF ? leaf_tensor(r, storage)->data
               : output >= 0                                ? (*output_tensor(r, output))->data
                             : r->step->engine->arena + r->p->offset[storage];
  return base + r->p->shift[node];
}

/* ---- running ---- */

static int keep_message(const run *r, int status) {
  return tkg__keep_backend_message(r->step->engine->backend, status);
}

static bool is_view(const tkg_program *p, int i) {
  return p->storage[i] != i && !tkg__op_is(p->tape->nodes[i].op, TKG_UPDATE);
}

static tkg_call call_of(const run *r, int i) {
  const tkg_program *p = r->p;
  const tkg_node *n = &p->tape->nodes[i];
  tkg_call call = {.node = n, .out = address(r, i), .slice = p->slice[i], .context = &r->context};
  call.where = p->tape->side[i].where, call.ids_line = p->ids_line ? p->ids_line[i] : NULL;
  for (int k = 0; k < n->inputs; k++) {
    call.in[k] = &p->tape->nodes[n->in[k]];
    call.data[k] = address(r, n->in[k]);
  }
  if (p->scratch[i] >= 0) call.scratch = r->step->engine->arena + p->scratch[i];
  if (p->ids_order[i] >= 0) call.order = r->step->engine->arena + p->ids_order[i];
  call.ordered = p->ids_ordered[i];
  return call;
}

/* Puts the line of a call before a message, unless that is another rank's, with its own line. */
static int at_line(const tkg_call *call, int status) {
  const char *where = tkg__line_of(call, status);
  return status && where && status != TKG_E_RANKS ? tkg__fail_at(status, "%s", where) : status;
}

/* Looks for NaN and infinity in the value of node i; not in updates, which cannot be undone. */
static int check_value(const run *r, int i) {
  const tkg_program *p = r->p;
  const tkg_node *n = &p->tape->nodes[i];
  uint32_t leaves = 0;
  if (!p->checked || p->storage[i] != i) return TKG_OK;
  for (int k = 0; k < n->inputs; k++)
    if (p->tape->nodes[p->storage[n->in[k]]].op == TKG_OP_LEAF) leaves |= 1U << k;
  tkg_call call = call_of(r, i);
  int status = tkg__check_finite(r->step->engine->backend, &call, leaves, i >= p->forward);
  return at_line(&call, status);
}

/* Completes a sum over rows of ranks. */
static int add_parts(const run *r, int i) {
  if (r->step->engine->ranks == 1) return TKG_OK;
  const tkg_call call = call_of(r, i);
  return tkg__add_parts(r->step->engine, &call, tkg__finer_parts(r->p, i));
}

static int run_node(const run *r, int i) {
  if (is_view(r->p, i)) return TKG_OK;
  tkg_call call = call_of(r, i);
  tkg_engine *engine = r->step->engine;
  int status;
  if (call.node->op == TKG_OP_EXCHANGE)
    status = tkg__run_exchange(engine, &call);
  else
    status = keep_message(r, engine->profile ? tkg__profile_call(engine, &call)
                                             : engine->backend->run(&call));
  if (!status) status = add_parts(r, i);
  return status ? at_line(&call, status) : check_value(r, i);
}

/* The call of a node in a group; for values that exist one tile at a time, `data` and `out` are
 * offsets in the tile's memory. */
static tkg_tile_call tile_call_of(const run *r, int i) {
  const tkg_program *p = r->p;
  const tkg_node *n = &p->tape->nodes[i];
  tkg_tile_call t = {.call = call_of(r, i), .out_in_tile = p->in_tile[i]};
  for (int k = 0; k < n->inputs; k++) {
    if (!p->in_tile[n->in[k]]) continue;
    t.in_tile |= 1U << k;
    t.call.data[k] = (void *)(intptr_t)p->offset[n->in[k]];
  }
  if (t.out_in_tile) t.call.out = (void *)(intptr_t)p->offset[i];
  t.reduces = !t.out_in_tile && tkg__makes_parts(p, i);
  t.part_in_tile = p->part[i] >= 0;
  t.part = p->part[i];
  return t;
}

static int run_group(const run *r, const tkg_group *g) {
  tkg_engine *engine = r->step->engine;
  const tkg_tiling tiling = {.rows = g->rows,
                             .tile = g->tile,
                             .wide = g->wide,
                             .first_row = g->first_row,
                             .whole_rows = g->whole_rows,
                             .chunks = g->chunks,
                             .finer = g->finer,
                             .memory = engine->arena + g->memory,
                             .tile_bytes = g->tile_bytes,
                             .memories = g->memories};
  tkg_tile_call *calls = calloc((size_t)g->last - (size_t)g->first + 1, sizeof *calls);
  int n = 0;
  if (!calls) return tkg__fail(TKG_E_MEMORY, "no memory for a group of ops");
  for (int o = g->first; o <= g->last; o++)
    if (!is_view(r->p, r->p->order[o])) calls[n++] = tile_call_of(r, r->p->order[o]);
  int status = keep_message(r, engine->profile ? tkg__profile_tiles(engine, calls, n, &tiling)
                                               : engine->backend->run_tiles(calls, n, &tiling));
  free(calls);
  for (int o = g->first; o <= g->last && !status; o++) {
    status = add_parts(r, r->p->order[o]);
    if (!status) status = check_value(r, r->p->order[o]);
  }
  return status;
}

/* Whether Ctrl-C was pressed. Ranks stop between two steps, all at the same. */
static bool is_stopped(const run *r) { return !r->step->engine->collective && tkg_interrupted(0); }

/* Runs the nodes in order. A step happens as a whole or not at all, so Ctrl-C stops it only before
 * its first update. */
static int queue_all(const run *r) {
  bool changed = false;
  for (int o = 0; o < r->p->order_count; o++) {
    int node = r->p->order[o], group = r->p->group_of[node];
    if (!changed && is_stopped(r)) return tkg__fail(TKG_E_INTERRUPTED, "interrupted");
    int status = group < 0 ? run_node(r, node) : run_group(r, &r->p->groups[group]);
    if (status) return status;
    if (group >= 0) o = r->p->groups[group].last;
    changed |= tkg__op_is(r->p->tape->nodes[node].op, TKG_UPDATE);
  }
  return TKG_OK;
}

/* ---- playing a run back ---- */

/* The addresses that this run's ops use beside the plan's offsets, and the rates of its updates,
 * malloc'd; NULL: no memory. */
static const void **bound_to(const run *r, int *count) {
  const tkg_engine *engine = r->step->engine;
  const void **bound = malloc((2 * (size_t)r->p->tape->n + 3) * sizeof *bound);
  *count = 0;
  if (!bound) return NULL;
  bound[(*count)++] = engine->arena;
  bound[(*count)++] = tkg_engine_precision(engine); /* one of three texts */
  bound[(*count)++] = engine->backend->prepared ? engine->backend->prepared() : NULL;
  for (int i = 0; i < r->p->tape->n; i++) {
    const tkg_node *n = &r->p->tape->nodes[i];
    if (n->op == TKG_OP_LEAF || r->p->output_of[i] >= 0) bound[(*count)++] = address(r, i);
    if (!tkg__op_is(n->op, TKG_UPDATE)) continue;
    memcpy(&bound[(*count)++], &n->f[TKG_UPDATE_RATE], sizeof *bound);
  }
  return bound;
}

/* Captures the run. Nothing runs yet: an error is reported when the ops are queued again. */
static void capture(const run *r) {
  const tkg_backend *backend = r->step->engine->backend;
  if (!backend->capture_begin()) return;
  int status = queue_all(r);
  r->replay->capture = backend->capture_end();
  if (status && r->replay->capture) {
    backend->capture_free(r->replay->capture);
    r->replay->capture = NULL;
  }
  r->replay->refused = !r->replay->capture && status != TKG_E_INTERRUPTED;
}

/* A plan's first run finds out what is missing, the second is captured if it is bound to the same
 * memory, and from then on the device gets the whole step at once. */
static int queue_or_replay(const run *r) {
  tkg_engine *engine = r->step->engine;
  const tkg_backend *backend = engine->backend;
  int count;
  const void **bound;
  if (!r->replay || r->replay->refused || !engine->replays || !backend->capture_begin)
    return queue_all(r);
  if (r->p->checked || engine->profile || tkg__exchanges_by_host(engine)) return queue_all(r);
  if (!(bound = bound_to(r, &count))) return queue_all(r);
  bool same = tkg__replay_bind(r->replay, backend, bound, count);
  if (same && !r->replay->capture) capture(r);
  if (!r->replay->capture) return queue_all(r);
  if (is_stopped(r)) return tkg__fail(TKG_E_INTERRUPTED, "interrupted");
  r->step->replayed++;
  return keep_message(r, backend->replay(r->replay->capture));
}

/* ---- outputs ---- */

/* Creates a tensor for the value of a node; it is filled only on a plan-only engine, with zeros. */
static int allocate_output(const run *r, int node, int kind, tkg_tensor **out) {
  const tkg_node *n = &r->p->tape->nodes[node];
  tkg_engine *engine = r->step->engine;
  tkg_node whole = *n;
  const bool divided = tkg__is_divided(r->p, node);
  if (divided) whole.shape[n->rank - 1] *= engine->ranks;
  int status = (divided ? tkg__tensor_divided : tkg__tensor_like)(engine, &whole, kind, out);
  if (!status && engine->plan_only) engine->backend->zero((*out)->data, tkg__bytes(n));
  return status;
}

/* Copies the value of a node to a new tensor, which the caller owns. */
static int copy_value(const run *r, int node, int kind, tkg_tensor **out) {
  const tkg_engine *engine = r->step->engine;
  int status = allocate_output(r, node, kind, out);
  if (!status && !engine->plan_only)
    engine->backend->copy((*out)->data, address(r, node), tkg__tensor_bytes(*out));
  return status;
}

/* Allocates the outputs that are computed in place. */
static int allocate_outputs(const run *r) {
  int status = TKG_OK;
  for (int i = 0; i < r->p->tape->n && !status; i++)
    if (r->p->output_of[i] == i) status = allocate_output(r, i, TKG_KIND_DATA, output_tensor(r, i));
  return status;
}

/* Copies the outputs that lie in a leaf's memory, or those that do not. The former are copied
 * before the step runs, since it may update the leaf. */
static int copy_outputs(const run *r, bool of_leaves) {
  for (int i = 0; r->outputs && i < r->p->output_count; i++) {
    int storage = r->p->storage[r->p->outputs[i]];
    if ((r->p->tape->nodes[storage].op == TKG_OP_LEAF) != of_leaves || r->outputs[i]) continue;
    int status = copy_value(r, r->p->outputs[i], TKG_KIND_DATA, &r->outputs[i]);
    if (status) return status;
  }
  return TKG_OK;
}

/* Copies the outputs that do not lie in a leaf's memory, and lets those that are read next come
 * with the end of the run. */
static int queue_outputs(const run *r) {
  const tkg_backend *backend = r->step->engine->backend;
  const int status = copy_outputs(r, false);
  if (status || !backend->result) return status;
  for (int i = 0; r->outputs && i < r->p->output_count; i++)
    backend->result(r->outputs[i]->data, tkg__tensor_bytes(r->outputs[i]));
  return TKG_OK;
}

/* ---- the run ---- */

/* Runs the program. Some devices queue work: their errors are known at the end of the run. */
static int run_all(run *r) {
  char message[512];
  const tkg_backend *backend = r->step->engine->backend;
  tkg__optimizer_set_rates(r->p->tape, r->p->storage);
  if (r->step->engine->plan_only) {
    r->copied = copy_outputs(r, false);
    return TKG_OK;
  }
  if (r->step->engine->ranks > 1 && !r->step->engine->collective)
    return tkg__fail(TKG_E_ARGUMENT, "run: ranks that are not there can only be planned for");
  const double began = r->step->engine->profile ? tkg__profile_clock() : 0;
  int status = backend->begin ? keep_message(r, backend->begin(&r->context)) : TKG_OK;
  if (status) return status;
  status = queue_or_replay(r);
  if (!status) r->copied = queue_outputs(r);
  int late = backend->finish ? backend->finish(message, (int)sizeof message) : TKG_OK;
  const int other = tkg__left_alone(r->step->engine, late);
  if (r->step->engine->profile) tkg__profile_run(r->step->engine, began, r->context.step);
  if (other) return other;
  /* A wrong id explains a NaN: the op that met it may have computed anything. */
  bool later = late && (!status || status == TKG_E_NOT_FINITE);
  return later ? tkg__fail(late, "%s", message) : status;
}

static void discard_outputs(const run *r) {
  for (int i = 0; i < r->p->output_count; i++) {
    tkg_tensor_release(r->outputs[i]);
    r->outputs[i] = NULL;
  }
}

static int copy_gradients(const run *r) {
  for (int i = 0; i < r->p->gradient_count; i++) {
    tkg_tensor *parameter = leaf_tensor(r, r->p->leaf_of[i]), *gradient;
    int status = copy_value(r, r->p->gradient_of[i], TKG_KIND_GRADIENT, &gradient);
    if (status) return status;
    tkg_tensor_release(parameter->gradient);
    parameter->gradient = gradient;
  }
  return TKG_OK;
}

/* Counts the update: tensors that were changed get a new version, so that values recorded before
 * are refused (check_leaves). */
static void count_update(const run *r) {
  for (int o = 0; o < r->p->order_count; o++) {
    const tkg_node *n = &r->p->tape->nodes[r->p->order[o]];
    if (!tkg__op_is(n->op, TKG_UPDATE)) continue;
    for (int k = 0; k < n->inputs; k++)
      if (tkg__op_reads(n->op, k) == 'u') leaf_tensor(r, n->in[k])->version++;
  }
  if (r->optimizer) r->optimizer->t += 1;
}

/* Fails if a step cannot run this: values that the tape does not have, or what another engine has
 * recorded or updates. */
static int check_request(const tkg_step *step, const tkg_tape *tape, const tkg_request *request) {
  const tkg_optimizer *o = request->optimizer;
  const bool other_optimizer = o && o->engine != step->engine;
  if (tape->ended) return tkg__fail(TKG_E_STALE, "step: the tape has ended: record it anew");
  if (other_optimizer || tape->engine != step->engine)
    return tkg__fail(TKG_E_DEVICE, "%s made on another device than %s, before that was chosen",
                     other_optimizer ? "an optimizer" : "a value", step->engine->backend->name);
  if (request->loss < -1 || request->loss >= tape->n)
    return tkg__fail(TKG_E_ARGUMENT, "step: the loss, %d, is no value of this tape", request->loss);
  for (int i = 0; i < request->n; i++)
    if (request->outputs[i] < 0 || request->outputs[i] >= tape->n)
      return tkg__fail(TKG_E_ARGUMENT, "step: output %d, %d, is no value of this tape", i + 1,
                       request->outputs[i]);
  return TKG_OK;
}

/* Finds or makes the plan of a request. */
static int find_plan(tkg_step *step, tkg_tape *tape, const tkg_request *request, tkg_plan **plan) {
  int status = check_request(step, tape, request);
  if (!status) status = tkg__optimizer_join(request->optimizer, tape);
  return status ? status : tkg__plan_find(&step->cache, tape, request, &step->policy, plan);
}

int tkg_step_run(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                 const int32_t *nodes, int n, tkg_tensor **outputs) {
  TKG__NEEDS(step && tape && ((nodes && outputs) || n <= 0), TKG_E_ARGUMENT);
  const tkg_request request = {loss, optimizer, nodes, n > 0 ? n : 0};
  tkg_plan *plan;
  int status = find_plan(step, tape, &request, &plan);
  if (status) return status;
  run r = {step,    tape,  &plan->program, &plan->replay, optimizer, context_of(step, optimizer),
           outputs, TKG_OK};
  status = check_leaves(&r);
  for (int i = 0; i < n; i++) outputs[i] = NULL;
  if (!status) status = tkg__arena_reserve(step->engine, r.p->arena_bytes, r.p->at_peak);
  if (status == TKG_E_MEMORY) return tkg__step_too_large(step, tape, &request);
  if (!status) status = copy_outputs(&r, true);
  if (!status) status = allocate_outputs(&r);
  if (!status) status = run_all(&r);
  /* The parameters have changed, whatever fails from here on. */
  if (r.p->updates && !status) count_update(&r);
  if (!status) status = r.copied;
  if (!status && loss >= 0 && !optimizer) status = copy_gradients(&r);
  if (status) discard_outputs(&r);
  return status;
}

int tkg_step_plan(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                  const int32_t *nodes, int n) {
  TKG__NEEDS(step && tape && (nodes || n <= 0), TKG_E_ARGUMENT);
  const tkg_request request = {loss, optimizer, nodes, n > 0 ? n : 0};
  tkg_plan *plan;
  return find_plan(step, tape, &request, &plan);
}

/* ---- updates outside a step ---- */

/* Records what a step would behind its gradients, on a tape of their own. */
static int record_updates(tkg_optimizer *o, tkg_tape *tape, tkg_tensor *const *parameters, int n) {
  int32_t *leaf = malloc(2 * ((size_t)n + 1) * sizeof *leaf);
  if (!leaf) return tkg__fail(TKG_E_MEMORY, "update: no memory");
  int32_t *gradient = leaf + n + 1;
  int count = 0, status = TKG_OK;
  for (int i = 0; i < n && !status; i++) {
    if (!parameters[i]) status = tkg__fail(TKG_E_ARGUMENT, "update: parameter %d is NULL", i + 1);
    if (status || !parameters[i]->gradient || parameters[i]->frozen) continue;
    if ((status = tkg__optimizer_join_one(o, parameters[i]))) continue;
    leaf[count] = tkg__tape_leaf(tape, parameters[i]);
    gradient[count] = tkg_tape_leaf(tape, parameters[i]->gradient);
    if (leaf[count] < 0 || gradient[count++] < 0) status = TKG_E_MEMORY;
  }
  if (!status && o->clip > 0) status = tkg__clip(tape, gradient, count, o->clip);
  for (int i = 0; i < count && !status; i++)
    if (tkg__optimizer_record(o, tape, tape->side[leaf[i]].tensor, leaf[i], gradient[i], NULL) < 0)
      status = TKG_E_SHAPE;
  free(leaf);
  return status;
}

int tkg_optimizer_update(tkg_optimizer *optimizer, tkg_tensor *const *parameters, int n) {
  TKG__NEEDS(optimizer && (parameters || n <= 0), TKG_E_ARGUMENT);
  if (optimizer->lazy != 0)
    return tkg__fail(TKG_E_ARGUMENT, "update: lazy updates are made within steps alone, where the "
                                     "rows of a batch are known: tk.step(loss, {optimizer = ...})");
  tkg_step step = {.engine = optimizer->engine};
  tkg_program p = {.updates = true};
  int status = tkg_tape_create(step.engine, &p.tape);
  if (!status) status = record_updates(optimizer, p.tape, parameters, n);
  if (!status) status = tkg__spread(&p);
  if (!status) status = tkg__plan(&p);
  run r = {&step, p.tape, &p, NULL, optimizer, context_of(&step, optimizer), NULL, TKG_OK};
  if (!status) status = tkg__arena_reserve(step.engine, p.arena_bytes, p.at_peak);
  if (!status) status = run_all(&r);
  if (!status) count_update(&r);
  for (int i = 0; i < n && !status; i++) {
    tkg_tensor_release(parameters[i]->gradient);
    parameters[i]->gradient = NULL;
  }
  tkg__program_free(&p);
  return status;
}
