/* Running a plan: bind this step's data, run node after node, hand out what was asked for. */
#include "step.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "check_finite.h"
#include "passes/tile.h"
#include "shared/codec.h"

int tkg_step_create(tkg_engine *engine, tkg_step **out) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  *out = calloc(1, sizeof **out);
  if (!*out) return tkg__fail(TKG_E_MEMORY, "no memory for a step");
  (*out)->engine = tkg__engine_retain(engine);
  (*out)->policy = (tkg_policy){.bits = 32,
                                .rounding = TKG_ROUND_DITHER,
                                .small = 4096,
                                .save = true,
                                .tiles = true,
                                .rows = true};
  return TKG_OK;
}

void tkg_step_release(tkg_step *step) {
  if (!step) return;
  for (int i = 0; i < step->plan_count; i++) tkg__plan_free(step->plans[i]);
  tkg_engine_release(step->engine);
  free(step);
}

int tkg_step_set(tkg_step *step, const char *option, double value) {
  TKG__NEEDS(step && option, TKG_E_ARGUMENT);
  int bits = (int)value;
  if (strcmp(option, "bits") == 0) {
    if (bits != 32 && bits != 8 && bits != 4 && bits != 2 && bits != 1)
      return tkg__fail(TKG_E_ARGUMENT, "bits: %g is not one of 32, 8, 4, 2, 1", value);
    step->policy.bits = bits;
  } else if (strcmp(option, "rounding") == 0 && value >= 0 && value <= 2)
    step->policy.rounding = (int)value;
  else if (strcmp(option, "small") == 0 && value >= 0)
    step->policy.small = (int64_t)value;
  else if (strcmp(option, "save") == 0)
    step->policy.save = value != 0;
  else if (strcmp(option, "tiles") == 0)
    step->policy.tiles = value != 0;
  else if (strcmp(option, "rows") == 0)
    step->policy.rows = value != 0;
  else if (strcmp(option, "check") == 0)
    step->policy.check = value != 0;
  else if (strcmp(option, "number") == 0 && value >= 0 && value <= UINT32_MAX)
    step->number = (uint32_t)value;
  else
    return tkg__fail(TKG_E_ARGUMENT, "a step has no option '%s' with the value %g", option, value);
  return TKG_OK;
}

/* ---- binding ---- */

typedef struct run {
  tkg_step *step;
  const tkg_tape *recorded;
  const tkg_program *p;
  tkg_replay *replay; /* of the plan; NULL: it runs but once */
  tkg_optimizer *optimizer;
  tkg_run_context context;
  tkg_tensor **outputs; /* of the roots, as far as they are made */
} run;

static tkg_run_context context_of(const tkg_step *step, const tkg_optimizer *o) {
  const tkg_engine *engine = step->engine;
  tkg_run_context c = {
      .seed = engine->seed, .step = step->number, .threads = engine->threads, .tf32 = engine->tf32};
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

/* The tensor in which a large output is computed: that of the first root with this node. */
static tkg_tensor **output_tensor(const run *r, int node) {
  int i = 0;
  while (r->p->roots[i] != node) i++;
  return &r->outputs[i];
}

static void *address(const run *r, int node) {
  int storage = r->p->storage[node];
  char *base = r->p->tape->nodes[storage].op == TKG_OP_LEAF ? leaf_tensor(r, storage)->data
               : r->p->output_in_place[storage]             ? (*output_tensor(r, storage))->data
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
  tkg_call call = {
      .node = n, .out = address(r, i), .context = &r->context, .where = p->tape->side[i].where};
  for (int k = 0; k < n->inputs; k++) {
    call.in[k] = &p->tape->nodes[n->in[k]];
    call.data[k] = address(r, n->in[k]);
  }
  if (p->scratch[i] >= 0) call.scratch = r->step->engine->arena + p->scratch[i];
  return call;
}

static int at_line(const run *r, int i, int status) {
  const char *where = r->p->tape->side[i].where;
  return status && where ? tkg__fail_at(status, "%s", where) : status;
}

/* Updates are not looked at: they cannot be taken back. */
static int look_at(const run *r, int i) {
  const tkg_program *p = r->p;
  const tkg_node *n = &p->tape->nodes[i];
  uint32_t leaves = 0;
  if (!p->checked || p->storage[i] != i) return TKG_OK;
  for (int k = 0; k < n->inputs; k++)
    if (p->tape->nodes[p->storage[n->in[k]]].op == TKG_OP_LEAF) leaves |= 1U << k;
  tkg_call call = call_of(r, i);
  int status = tkg__check_finite(r->step->engine->backend, &call, leaves, i >= p->forward);
  return at_line(r, i, status);
}

static int run_node(const run *r, int i) {
  if (is_view(r->p, i)) return TKG_OK;
  tkg_call call = call_of(r, i);
  int status = keep_message(r, r->step->engine->backend->run(&call));
  return status ? at_line(r, i, status) : look_at(r, i);
}

/* Values that live in a tile have their place in it instead of an address. */
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
  t.reduces = !t.out_in_tile && tkg__part(p->tape, n) == TKG_PART_REDUCES;
  return t;
}

static int run_group(const run *r, const tkg_group *g) {
  const tkg_engine *engine = r->step->engine;
  const tkg_tiling tiling = {g->rows,       g->tile,    g->chunks, engine->arena + g->memory,
                             g->tile_bytes, g->memories};
  tkg_tile_call *calls = calloc((size_t)g->last - (size_t)g->first + 1, sizeof *calls);
  int n = 0;
  if (!calls) return tkg__fail(TKG_E_MEMORY, "no memory for a group of ops");
  for (int o = g->first; o <= g->last; o++)
    if (!is_view(r->p, r->p->order[o])) calls[n++] = tile_call_of(r, r->p->order[o]);
  int status = keep_message(r, engine->backend->run_tiles(calls, n, &tiling));
  free(calls);
  for (int o = g->first; o <= g->last && !status; o++) status = look_at(r, r->p->order[o]);
  return status;
}

/* A step is done as a whole or not at all: after its first update Ctrl-C has to wait. */
static int queue_all(const run *r) {
  bool changed = false;
  for (int o = 0; o < r->p->order_count; o++) {
    int node = r->p->order[o], group = r->p->group_of[node];
    if (!changed && tkg_interrupted(0)) return tkg__fail(TKG_E_INTERRUPTED, "interrupted");
    int status = group < 0 ? run_node(r, node) : run_group(r, &r->p->groups[group]);
    if (status) return status;
    if (group >= 0) o = r->p->groups[group].last;
    changed |= tkg__op_is(r->p->tape->nodes[node].op, TKG_UPDATE);
  }
  return TKG_OK;
}

/* ---- playing a run back ---- */

/* What the ops of this run are bound to, beside the plan's own offsets. */
static const void **bound_to(const run *r, int *count) {
  const tkg_engine *engine = r->step->engine;
  const void **bound = malloc((2 * (size_t)r->p->tape->n + 2) * sizeof *bound);
  *count = 0;
  if (!bound) return NULL;
  bound[(*count)++] = engine->arena;
  bound[(*count)++] = r->context.tf32 ? engine : NULL;
  for (int i = 0; i < r->p->tape->n; i++)
    if (r->p->tape->nodes[i].op == TKG_OP_LEAF || r->p->output_in_place[i])
      bound[(*count)++] = address(r, i);
  return bound;
}

/* Nothing runs yet, so whatever goes wrong is met again, and reported, when the ops are queued. */
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
  if (r->p->checked) return queue_all(r);
  if (!(bound = bound_to(r, &count))) return queue_all(r);
  bool same = tkg__replay_bind(r->replay, backend, bound, count);
  if (same && !r->replay->capture) capture(r);
  if (!r->replay->capture) return queue_all(r);
  if (tkg_interrupted(0)) return tkg__fail(TKG_E_INTERRUPTED, "interrupted");
  r->step->replayed++;
  return keep_message(r, backend->replay(r->replay->capture));
}

/* A device works on behind our back: what became of it is known at the end of the run. */
static int run_all(const run *r) {
  char message[512];
  const tkg_backend *backend = r->step->engine->backend;
  if (r->step->engine->plan_only) return TKG_OK;
  int status = backend->begin ? keep_message(r, backend->begin(&r->context)) : TKG_OK;
  if (status) return status;
  status = queue_or_replay(r);
  int late = backend->finish ? backend->finish(message, (int)sizeof message) : TKG_OK;
  /* Of an op that met a wrong id, the result may be anything: the id is what went wrong. */
  bool later = late && (!status || status == TKG_E_NOT_FINITE);
  return later ? tkg__fail(late, "%s", message) : status;
}

/* ---- results ---- */

static int copy_out(const run *r, int node, int kind, tkg_tensor **out) {
  const tkg_node *n = &r->p->tape->nodes[node];
  const tkg_engine *engine = r->step->engine;
  int status = tkg__tensor_like(r->step->engine, n, kind, out);
  if (status) return status;
  if (engine->plan_only)
    engine->backend->zero((*out)->data, tkg__bytes(n));
  else
    engine->backend->copy((*out)->data, address(r, node), tkg__bytes(n));
  return TKG_OK;
}

/* Tensors for the results that are made in them. */
static int make_room(const run *r) {
  for (int i = 0; i < r->p->tape->n; i++) {
    const tkg_node *n = &r->p->tape->nodes[i];
    if (!r->p->output_in_place[i]) continue;
    tkg_tensor **out = output_tensor(r, i);
    int status = tkg__tensor_like(r->step->engine, n, TKG_KIND_DATA, out);
    if (status) return status;
    if (r->step->engine->plan_only) r->step->engine->backend->zero((*out)->data, tkg__bytes(n));
  }
  return TKG_OK;
}

/* Values that lie in a leaf's memory are copied before the step runs: it may update the leaf. */
static int hand_out(const run *r, bool of_leaves) {
  for (int i = 0; i < r->p->root_count; i++) {
    int storage = r->p->storage[r->p->roots[i]];
    if ((r->p->tape->nodes[storage].op == TKG_OP_LEAF) != of_leaves || r->outputs[i]) continue;
    int status = copy_out(r, r->p->roots[i], TKG_KIND_DATA, &r->outputs[i]);
    if (status) return status;
  }
  return TKG_OK;
}

static void take_back(const run *r) {
  for (int i = 0; i < r->p->root_count; i++) {
    tkg_tensor_release(r->outputs[i]);
    r->outputs[i] = NULL;
  }
}

static int hand_out_gradients(const run *r) {
  for (int i = 0; i < r->p->gradient_count; i++) {
    tkg_tensor *parameter = leaf_tensor(r, r->p->leaf_of[i]), *gradient;
    int status = copy_out(r, r->p->gradient_of[i], TKG_KIND_GRADIENT, &gradient);
    if (status) return status;
    tkg_tensor_release(parameter->gradient);
    parameter->gradient = gradient;
  }
  return TKG_OK;
}

/* Whatever was updated has changed: values recorded before must not read it unnoticed. */
static void note_changes(const run *r) {
  for (int o = 0; o < r->p->order_count; o++) {
    const tkg_node *n = &r->p->tape->nodes[r->p->order[o]];
    if (!tkg__op_is(n->op, TKG_UPDATE)) continue;
    for (int k = 0; k < n->inputs; k++)
      if (tkg__op_reads(n->op, k) == 'u') leaf_tensor(r, n->in[k])->version++;
  }
  if (r->optimizer) r->optimizer->t += 1;
}

int tkg_step_run(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                 const int32_t *roots, int n, tkg_tensor **outputs) {
  TKG__NEEDS(step && tape, TKG_E_ARGUMENT);
  const tkg_request asked = {loss, optimizer, roots, n};
  tkg_plan *plan;
  int status = tkg__step_find(step, tape, &asked, &plan);
  if (status) return status;
  run r = {step,   tape, &plan->program, &plan->replay, optimizer, context_of(step, optimizer),
           outputs};
  status = check_leaves(&r);
  for (int i = 0; i < n; i++) outputs[i] = NULL;
  if (!status && tkg__arena_reserve(step->engine, r.p->arena_bytes, r.p->at_peak))
    return tkg__step_too_large(step, tape, &asked);
  if (!status) status = hand_out(&r, true);
  if (!status) status = make_room(&r);
  if (!status) status = run_all(&r);
  /* An update cannot be taken back: the parameters have changed, whatever fails from here on. */
  if (r.p->updates && !status) note_changes(&r);
  if (!status) status = hand_out(&r, false);
  if (!status && loss >= 0 && !optimizer) status = hand_out_gradients(&r);
  if (status) take_back(&r);
  return status;
}

int tkg_step_plan(tkg_step *step, tkg_tape *tape, int loss, tkg_optimizer *optimizer,
                  const int32_t *roots, int n) {
  TKG__NEEDS(step && tape, TKG_E_ARGUMENT);
  const tkg_request asked = {loss, optimizer, roots, n};
  tkg_plan *plan;
  return tkg__step_find(step, tape, &asked, &plan);
}

/* ---- updates outside a step ---- */

static int update_one(tkg_optimizer *o, tkg_tape *tape, tkg_tensor *parameter) {
  if (!parameter->gradient) return TKG_OK;
  int leaf = tkg_tape_leaf(tape, parameter), gradient = tkg_tape_leaf(tape, parameter->gradient);
  if (leaf < 0 || gradient < 0) return TKG_E_MEMORY;
  return tkg__optimizer_record(o, tape, parameter, leaf, gradient) < 0 ? TKG_E_SHAPE : TKG_OK;
}

/* The same nodes as in a step, on a tape of their own; gradients are used up. */
int tkg_optimizer_update(tkg_optimizer *optimizer, tkg_tensor *const *parameters, int n) {
  TKG__NEEDS(optimizer, TKG_E_ARGUMENT);
  tkg_plan plan = {0};
  tkg_step *step;
  int status = tkg_step_create(optimizer->engine, &step);
  if (status) return status;
  status = tkg_tape_create(optimizer->engine, &plan.program.tape);
  for (int i = 0; i < n && !status; i++)
    status = update_one(optimizer, plan.program.tape, parameters[i]);
  plan.program.updates = true;
  plan.program.forward = 0;
  if (!status) status = tkg__plan(&plan.program);
  run r = {step,      plan.program.tape,           &plan.program, NULL,
           optimizer, context_of(step, optimizer), NULL};
  if (!status) status = tkg__arena_reserve(step->engine, r.p->arena_bytes, r.p->at_peak);
  if (!status) status = run_all(&r);
  if (!status) note_changes(&r);
  for (int i = 0; i < n && !status; i++) {
    tkg_tensor_release(parameters[i]->gradient);
    parameters[i]->gradient = NULL;
  }
  tkg__program_free(&plan.program);
  tkg_step_release(step);
  return status;
}
