/* SGD with momentum, Adam (Kingma & Ba 2015), Adagrad (Duchi et al. 2011). Weight decay is added to
 * the gradient: it equals the L2 term (decay / 2) |p|^2 in the loss, without its activations.
 * Parameters of less than decay_rank dimensions have none (2 leaves out biases). Adam's eps is that
 * of algorithm 1. If eps_hat is set, it is used instead and added before v is corrected for its
 * start at zero (Kingma & Ba, section 2; TensorFlow 1). A plan reads lr and t when it runs, as they
 * change between steps; the rest is part of its structure. */
#include "optimizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "shared/moments.h"

int tkg_optimizer_create(tkg_engine *engine, const char *kind, tkg_optimizer **out) {
  TKG__NEEDS(engine && kind, TKG_E_ARGUMENT);
  static const struct {
    const char *name;
    int op;
    double lr, eps;
  } kinds[] = {{"sgd", TKG_OP_SGD, 0.01, 0},
               {"adam", TKG_OP_ADAM, 0.001, 1e-8},
               {"adagrad", TKG_OP_ADAGRAD, 0.01, 1e-10}};
  *out = NULL;
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    if (strcmp(kinds[k].name, kind) != 0) continue;
    tkg_optimizer *o = calloc(1, sizeof *o);
    if (!o) return tkg__fail(TKG_E_MEMORY, "no memory for an optimizer");
    *o = (tkg_optimizer){.engine = tkg__engine_retain(engine),
                         .op = kinds[k].op,
                         .lr = kinds[k].lr,
                         .beta1 = 0.9,
                         .beta2 = 0.999,
                         .eps = kinds[k].eps,
                         .bits = 32};
    *out = o;
    return TKG_OK;
  }
  return tkg__fail(TKG_E_ARGUMENT, "optimizer '%s' is not one of sgd, adam, adagrad", kind);
}

void tkg_optimizer_release(tkg_optimizer *o) {
  if (!o) return;
  for (int i = 0; i < o->count; i++) {
    tkg_tensor_release(o->slots[i].parameter);
    tkg_tensor_release(o->slots[i].state[0]);
    tkg_tensor_release(o->slots[i].state[1]);
  }
  free(o->slots);
  tkg_engine_release(o->engine);
  free(o);
}

static double *option(tkg_optimizer *o, const char *name) {
  struct {
    const char *name;
    double *value;
  } all[] = {{"lr", &o->lr},
             {"beta1", &o->beta1},
             {"beta2", &o->beta2},
             {"eps", &o->eps},
             {"eps_hat", &o->eps_hat},
             {"t", &o->t},
             {"weight_decay", &o->weight_decay},
             {"decay_rank", &o->decay_rank},
             {"momentum", &o->momentum},
             {"bits", &o->bits}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i].name, name) == 0) return all[i].value;
  return NULL;
}

/* The width cannot change once a parameter has state, which is created at its first update. */
static int check_bits(const tkg_optimizer *o, double bits) {
  if (bits != 32 && bits != 8) return tkg__fail(TKG_E_ARGUMENT, "bits: %g is not 32 or 8", bits);
  if (bits == 8 && o->op != TKG_OP_ADAM)
    return tkg__fail(TKG_E_ARGUMENT, "bits: only adam keeps its state in 8");
  if (bits != o->bits && o->count > 0)
    return tkg__fail(TKG_E_ARGUMENT, "bits: it has state of %g bits already", o->bits);
  return TKG_OK;
}

int tkg_optimizer_set(tkg_optimizer *o, const char *name, double value) {
  TKG__NEEDS(o && name, TKG_E_ARGUMENT);
  double *at = option(o, name);
  if (!at) return tkg__fail(TKG_E_ARGUMENT, "an optimizer has no option '%s'", name);
  if (!(value >= 0)) return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not a number >= 0", name, value);
  int status = at == &o->bits ? check_bits(o, value) : TKG_OK;
  if (!status) *at = value;
  return status;
}

int tkg_optimizer_get(const tkg_optimizer *o, const char *name, double *value) {
  TKG__NEEDS(o && name, TKG_E_ARGUMENT);
  tkg_optimizer copy = *o;
  const double *at = option(&copy, name);
  if (!at) return tkg__fail(TKG_E_ARGUMENT, "an optimizer has no option '%s'", name);
  *value = *at;
  return TKG_OK;
}

/* ---- state ---- */

/* Whether a parameter's moments are in 8 bits; small parameters would save next to nothing. */
static bool in_8_bits(const tkg_optimizer *o, const tkg_tensor *parameter) {
  return o->bits == 8 && tkg__count(&parameter->shape) >= TKG_MOMENTS_LEAST;
}

int tkg__optimizer_states(const tkg_optimizer *o) {
  return o->op == TKG_OP_ADAM ? 2 : o->op == TKG_OP_ADAGRAD ? 1 : o->momentum > 0 ? 1 : 0;
}

static int create_state(const tkg_optimizer *o, const tkg_tensor *parameter, int slot,
                        tkg_tensor **out) {
  const tkg_node *p = &parameter->shape;
  if (!in_8_bits(o, parameter))
    return tkg_tensor_create(o->engine, TKG_F32, p->rank, p->shape, TKG_KIND_OPTIMIZER, out);
  const tkg_moments s = tkg__moments_of(tkg__count(p), tkg__cols(p));
  const int64_t scales[2] = {s.blocks, 2};
  if (slot == 1) return tkg_tensor_create(o->engine, TKG_F32, 2, scales, TKG_KIND_OPTIMIZER, out);
  return tkg_tensor_create(o->engine, TKG_I32, 1, &s.words, TKG_KIND_OPTIMIZER, out);
}

static tkg_optimizer_slots *slots_of(tkg_optimizer *o, tkg_tensor *parameter) {
  for (int i = 0; i < o->count; i++)
    if (o->slots[i].parameter == parameter) return &o->slots[i];
  if (o->count == o->capacity) {
    int capacity = o->capacity ? 2 * o->capacity : 8;
    tkg_optimizer_slots *slots = realloc(o->slots, (size_t)capacity * sizeof *slots);
    if (!slots) return NULL;
    o->slots = slots;
    o->capacity = capacity;
  }
  o->slots[o->count] = (tkg_optimizer_slots){.parameter = tkg_tensor_retain(parameter)};
  return &o->slots[o->count++];
}

int tkg_optimizer_knows(const tkg_optimizer *o, const tkg_tensor *parameter) {
  TKG__NEEDS(o && parameter, 0);
  for (int i = 0; i < o->count; i++)
    if (o->slots[i].parameter == parameter) return 1;
  return 0;
}

tkg_tensor *tkg_optimizer_state(tkg_optimizer *o, tkg_tensor *parameter, int slot) {
  TKG__NEEDS(o && parameter, NULL);
  if (slot < 0 || slot >= tkg__optimizer_states(o)) return NULL;
  tkg_optimizer_slots *s = slots_of(o, parameter);
  if (!s) return NULL;
  if (!s->state[slot]) create_state(o, parameter, slot, &s->state[slot]);
  return s->state[slot];
}

/* ---- recording ---- */

static void set_constants(const tkg_optimizer *o, const tkg_tensor *parameter, tkg_node *n) {
  const double decay = parameter->shape.rank < o->decay_rank ? 0 : o->weight_decay;
  if (o->op == TKG_OP_ADAM) {
    const double adam[] = {o->beta1, o->beta2, o->eps_hat > 0 ? o->eps_hat : o->eps, decay};
    memcpy(n->f, adam, sizeof adam);
    n->i[0] = o->eps_hat > 0;
  } else {
    n->f[0] = o->op == TKG_OP_SGD ? o->momentum : o->eps;
    n->f[1] = decay;
  }
}

int tkg__optimizer_record(tkg_optimizer *o, tkg_tape *tape, tkg_tensor *parameter, int leaf,
                          int gradient) {
  int32_t inputs[4] = {leaf, gradient};
  int n = 2;
  for (int slot = 0; slot < tkg__optimizer_states(o); slot++) {
    tkg_tensor *state = tkg_optimizer_state(o, parameter, slot);
    if (!state) return -1;
    inputs[n] = tkg_tape_leaf(tape, state);
    if (inputs[n++] < 0) return -1;
  }
  tkg_node node = {0};
  set_constants(o, parameter, &node);
  int op = in_8_bits(o, parameter) ? TKG_OP_ADAM8 : o->op;
  return tkg__record(tape, &node, op, n, inputs, NULL);
}
