/* From a recorded tape to a plan: clone what is needed, then rows, grad, save, plan. Plans are
 * found again by structure - ops, shapes, attributes - not by the data they ran on. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/grad.h"
#include "base/error.h"
#include "passes/remove_aliases.h"
#include "step.h"
#include "tape/alias.h"

/* ---- cloning ---- */

/* Without gradients, names of values are left out with what is recorded for their sake. */
static int clone(const tkg_tape *tape, const bool *marks, bool gradients, tkg_tape *to,
                 int32_t *map) {
  for (int i = 0; i < tape->n; i++) {
    int named = gradients ? i : tkg__resolve_alias(tape, i);
    map[i] = named < i ? map[named] : -1;
    if (!marks[i] || named < i) continue;
    tkg_node node = tape->nodes[i];
    for (int k = 0; k < node.inputs; k++) node.in[k] = map[node.in[k]];
    int at = map[i] = tkg__append(to, &node, tape->side[i].where);
    if (at < 0) return TKG_E_MEMORY;
    if (!tape->side[i].tensor) continue;
    to->side[at].tensor = tkg_tensor_retain(tape->side[i].tensor);
    to->side[at].origin = i + 1;
  }
  return TKG_OK;
}

static int start(tkg_program *p, const tkg_tape *tape, const int32_t *asked, int n, int *loss) {
  bool *marks = calloc((size_t)tape->n + 1, sizeof *marks);
  int32_t *map = malloc(((size_t)tape->n + 1) * sizeof *map);
  p->roots = calloc((size_t)n + 1, sizeof *p->roots);
  int status = tkg_tape_create(tape->engine, &p->tape);
  if (!marks || !map || !p->roots) status = tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    tkg__reach(tape, asked, n, asked[0] >= 0, marks);
    status = clone(tape, marks, asked[0] >= 0, p->tape, map);
  }
  if (!status) {
    *loss = asked[0] >= 0 ? map[asked[0]] : -1;
    for (int i = 1; i < n; i++) p->roots[p->root_count++] = map[asked[i]];
    p->forward = p->tape->n;
  }
  free(marks);
  free(map);
  return status;
}

/* ---- passes ---- */

static int add_backward(tkg_program *p, int loss) {
  int forward = p->forward;
  int32_t *gradient = malloc(3 * ((size_t)forward + 1) * sizeof *gradient);
  if (!gradient) return tkg__fail(TKG_E_MEMORY, "backward: no memory");
  int status = tkg__grad(p->tape, loss, gradient);
  p->leaf_of = gradient; /* owns the block; pairs are packed to its front below */
  p->gradient_of = gradient + 2 * forward;
  int32_t *leaf = gradient + forward;
  for (int i = 0; i < forward && !status; i++) {
    if (gradient[i] < 0) continue;
    leaf[p->gradient_count] = i;
    p->gradient_of[p->gradient_count++] = gradient[i];
  }
  memcpy(p->leaf_of, leaf, (size_t)p->gradient_count * sizeof *leaf);
  return status;
}

static int add_updates(tkg_program *p, tkg_optimizer *optimizer) {
  p->updates = true;
  for (int i = 0; i < p->gradient_count; i++) {
    int leaf = p->leaf_of[i];
    if (tkg__optimizer_record(optimizer, p->tape, p->tape->side[leaf].tensor, leaf,
                              p->gradient_of[i]) < 0)
      return TKG_E_SHAPE;
  }
  return TKG_OK;
}

/* Batch data is bound anew each run; a plan must not hold on to the first batch. What it updates
 * stays: the state of an optimizer that the plan reads is that of these parameters. */
static void unbind(const tkg_program *p) {
  for (int i = 0; i < p->tape->n; i++) {
    tkg_side *side = &p->tape->side[i];
    if (side->origin == 0 || (p->updates && p->tape->nodes[i].parameter)) continue;
    tkg_tensor_release(side->tensor);
    side->tensor = NULL;
  }
}

static int compile(tkg_plan *plan, const tkg_tape *tape, tkg_optimizer *optimizer) {
  tkg_program *p = &plan->program;
  int loss = -1, status = start(p, tape, plan->asked, plan->asked_count, &loss);
  if (!status && loss >= 0) p->reference_bytes = tkg__fp32_baseline_bytes(p, loss);
  if (!status && plan->policy.rows) status = tkg__prune_rows(p, &loss);
  if (!status && loss >= 0) {
    status = add_backward(p, loss);
    if (!status && optimizer) status = add_updates(p, optimizer);
    if (!status) tkg__remove_aliases(p);
    if (!status) status = tkg__save(p, &plan->policy);
  }
  p->tiled = plan->policy.tiles;
  p->checked = plan->policy.check;
  if (!status) status = tkg__plan(p);
  if (!status) unbind(p);
  return status;
}

void tkg__program_free(tkg_program *p) {
  tkg_tape_release(p->tape);
  free(p->roots);
  free(p->leaf_of);
  free(p->kept);
  free(p->order);
  free(p->offset);
  free(p->groups);
  free(p->in_tile);
}

void tkg__plan_free(tkg_plan *plan) {
  if (!plan) return;
  if (plan->program.tape) tkg__replay_forget(&plan->replay, plan->program.tape->engine->backend);
  tkg__program_free(&plan->program);
  free(plan->recorded);
  free(plan->asked);
  free(plan);
}

/* ---- finding ---- */

/* FNV-1a over 8-byte words; nodes are a multiple of 8 bytes without padding left unset. */
static uint64_t hash_words(uint64_t h, const void *data, size_t bytes) {
  const unsigned char *at = data;
  for (; bytes >= 8; bytes -= 8, at += 8) {
    uint64_t word = 0;
    memcpy(&word, at, 8);
    h = (h ^ word) * 0x100000001b3ULL;
    h ^= h >> 32;
  }
  for (; bytes; bytes--) h = (h ^ *at++) * 0x100000001b3ULL;
  return h;
}

static bool same_constants(const double a[TKG_CONSTANTS], const double b[TKG_CONSTANTS]) {
  for (int i = 0; i < TKG_CONSTANTS; i++)
    if (a[i] != b[i]) return false;
  return true;
}

/* A plan that updates parameters is theirs: others of the same shapes have another state. */
static bool same_parameters(const tkg_program *p, const tkg_tape *tape) {
  for (int i = 0; i < p->gradient_count && p->updates; i++) {
    const tkg_side *side = &p->tape->side[p->leaf_of[i]];
    if (tape->side[side->origin - 1].tensor != side->tensor) return false;
  }
  return true;
}

static bool same_plan(const tkg_plan *a, const tkg_plan *b, const tkg_tape *tape) {
  return a->hash == b->hash && a->n == b->n && a->asked_count == b->asked_count &&
         a->optimizer == b->optimizer && same_constants(a->constants, b->constants) &&
         a->policy.bits == b->policy.bits && a->policy.rounding == b->policy.rounding &&
         a->policy.small == b->policy.small && a->policy.save == b->policy.save &&
         a->policy.rows == b->policy.rows && a->policy.tiles == b->policy.tiles &&
         a->policy.check == b->policy.check &&
         memcmp(a->asked, b->asked, (size_t)a->asked_count * sizeof *a->asked) == 0 &&
         memcmp(a->recorded, tape->nodes, (size_t)a->n * sizeof *tape->nodes) == 0 &&
         same_parameters(&a->program, tape);
}

static void make_key(tkg_plan *key, const tkg_step *step, const tkg_tape *tape,
                     const tkg_optimizer *o) {
  key->n = tape->n;
  key->policy = step->policy;
  key->optimizer = o;
  if (o) {
    const double constants[TKG_CONSTANTS] = {o->beta1,        o->beta2,    o->eps,       o->eps_hat,
                                             o->weight_decay, o->momentum, o->decay_rank};
    memcpy(key->constants, constants, sizeof constants);
  }
  key->hash =
      hash_words(14695981039346656037ULL, tape->nodes, (size_t)tape->n * sizeof *tape->nodes);
  key->hash = hash_words(key->hash, key->asked, (size_t)key->asked_count * sizeof *key->asked);
}

/* The place for one more plan: a free one, or that of the plan unused for longest. */
static tkg_plan **room(tkg_step *step) {
  if (step->plan_count < TKG_MAX_PLANS) return &step->plans[step->plan_count++];
  int oldest = 0;
  for (int i = 1; i < TKG_MAX_PLANS; i++)
    if (step->plans[i]->used < step->plans[oldest]->used) oldest = i;
  tkg__plan_free(step->plans[oldest]);
  return &step->plans[oldest];
}

static int make(tkg_step *step, const tkg_tape *tape, tkg_optimizer *optimizer, tkg_plan *key,
                tkg_plan **out) {
  tkg_plan *plan = malloc(sizeof *plan);
  size_t asked_bytes = (size_t)key->asked_count * sizeof *key->asked;
  size_t node_bytes = (size_t)key->n * sizeof *tape->nodes;
  if (!plan) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  *plan = *key;
  plan->asked = malloc(asked_bytes + 1);
  plan->recorded = malloc(node_bytes + 1);
  int status = plan->asked && plan->recorded ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    memcpy(plan->asked, key->asked, asked_bytes);
    if (node_bytes) memcpy(plan->recorded, tape->nodes, node_bytes);
    status = compile(plan, tape, optimizer);
  }
  if (status) {
    tkg__plan_free(plan);
    return status;
  }
  step->made++;
  *room(step) = plan;
  *out = plan;
  return TKG_OK;
}

int tkg__step_find(tkg_step *step, const tkg_tape *tape, const tkg_request *asked, tkg_plan **out) {
  size_t n = (size_t)asked->n;
  tkg_plan key = {.asked_count = asked->n + 1};
  key.asked = calloc(n + 2, sizeof *key.asked);
  if (!key.asked) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  key.asked[0] = asked->loss;
  if (n) memcpy(key.asked + 1, asked->roots, n * sizeof *asked->roots);
  make_key(&key, step, tape, asked->optimizer);
  *out = NULL;
  for (int i = 0; i < step->plan_count && !*out; i++)
    if (same_plan(step->plans[i], &key, tape)) *out = step->plans[i];
  int status = *out ? TKG_OK : make(step, tape, asked->optimizer, &key, out);
  if (!status) (*out)->used = ++step->clock;
  free(key.asked);
  return status;
}
