/* SGD with momentum, Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), Adagrad (Duchi et
 * al. 2011). Weight decay is added to the gradient: it equals the L2 term (decay / 2) |p|^2 in the
 * loss, without its activations. AdamW's is not: it multiplies p by 1 - lr decay before the step.
 * Parameters of less than decay_rank dimensions have none (2 leaves out biases). Adam's eps is that
 * of algorithm 1. If eps_hat is set, it is used instead and added before v is corrected for its
 * start at zero (Kingma & Ba, section 2; TensorFlow 1). A plan reads lr, t and the parameters'
 * factors of lr when it runs, as they change between steps; the rest is part of its structure. */
#include "optimizer.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "shared/moments.h"

static uint64_t next_serial(void) {
  static atomic_uint_least64_t last;
  return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

int tkg_optimizer_create(tkg_engine *engine, const char *kind, tkg_optimizer **out) {
  TKG__NEEDS(engine && kind && out, TKG_E_ARGUMENT);
  static const struct {
    const char *name;
    int op;
    double lr, eps, decoupled, decay;
  } kinds[] = {{"sgd", TKG_OP_SGD, 0.01, 0, 0, 0},
               {"adam", TKG_OP_ADAM, 0.001, 1e-8, 0, 0},
               {"adamw", TKG_OP_ADAM, 0.001, 1e-8, 1, 0.01},
               {"adagrad", TKG_OP_ADAGRAD, 0.01, 1e-10, 0, 0}};
  *out = NULL;
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    if (strcmp(kinds[k].name, kind) != 0) continue;
    tkg_optimizer *o = calloc(1, sizeof *o);
    if (!o) return tkg__fail(TKG_E_MEMORY, "no memory for an optimizer");
    *o = (tkg_optimizer){.engine = tkg__engine_retain(engine),
                         .serial = next_serial(),
                         .op = kinds[k].op,
                         .lr = kinds[k].lr,
                         .beta1 = 0.9,
                         .beta2 = 0.999,
                         .eps = kinds[k].eps,
                         .decoupled = kinds[k].decoupled,
                         .weight_decay = kinds[k].decay,
                         .bits = 32};
    *out = o;
    return TKG_OK;
  }
  return tkg__fail(TKG_E_ARGUMENT, "optimizer '%s' is not one of sgd, adam, adamw, adagrad", kind);
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
             {"clip", &o->clip},
             {"bits", &o->bits},
             {"rowwise", &o->rowwise},
             {"lazy", &o->lazy}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i].name, name) == 0) return all[i].value;
  return NULL;
}

/* Options that say what state a parameter has. They cannot change once one has state, which is
 * created at its first update. */
static int check_format(const tkg_optimizer *o, const char *name, double before, double value) {
  if (strcmp(name, "bits") == 0 ? value != 32 && value != 8 : value != 0 && value != 1)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not %s", name, value,
                     strcmp(name, "bits") == 0 ? "32 or 8" : "true or false");
  if (value != before && o->op != TKG_OP_ADAM)
    return tkg__fail(TKG_E_ARGUMENT, "%s: only adam has it", name);
  if (value != before && o->count > 0)
    return tkg__fail(TKG_E_ARGUMENT, "%s: it has state with %s = %g already", name, name, before);
  return TKG_OK;
}

/* A positive clip that is zero as a float, or so small that a device may take it for zero, would
 * make gradients of zero 0 / 0. */
static int check_clip(double value) {
  if (value == 0 || value >= (double)FLT_MIN) return TKG_OK;
  return tkg__fail(TKG_E_ARGUMENT, "clip: %g is less than %g, the least float above 0", value,
                   (double)FLT_MIN);
}

/* Whether an option at this place may have the value. */
static int check_value(const tkg_optimizer *o, const double *at, const char *name, double value) {
  if (!(value >= 0)) return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not a number >= 0", name, value);
  if (at == &o->clip) return check_clip(value);
  if (isinf(value)) return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not finite", name, value);
  if ((at == &o->beta1 || at == &o->beta2) && value >= 1)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not below 1", name, value);
  if (at == &o->t && value != floor(value))
    return tkg__fail(TKG_E_ARGUMENT, "%s: %g updates are no whole number", name, value);
  if (at == &o->bits || at == &o->rowwise || at == &o->lazy)
    return check_format(o, name, *at, value);
  return TKG_OK;
}

int tkg_optimizer_set(tkg_optimizer *o, const char *name, double value) {
  TKG__NEEDS(o && name, TKG_E_ARGUMENT);
  double *at = option(o, name);
  if (!at) return tkg__fail(TKG_E_ARGUMENT, "an optimizer has no option '%s'", name);
  const int status = check_value(o, at, name, value);
  if (!status) *at = value;
  return status;
}

int tkg_optimizer_get(const tkg_optimizer *o, const char *name, double *value) {
  TKG__NEEDS(o && name && value, TKG_E_ARGUMENT);
  tkg_optimizer copy = *o;
  const double *at = option(&copy, name);
  if (!at) return tkg__fail(TKG_E_ARGUMENT, "an optimizer has no option '%s'", name);
  *value = *at;
  return TKG_OK;
}

/* ---- state ---- */

/* The format of a parameter's moments (moments.h). Small parameters would save next to nothing.
 * Rows that may be updated alone are blocks, unless they are so short that scales take more than
 * codes.
 */
static int format_of(const tkg_optimizer *o, const tkg_tensor *parameter) {
  const tkg_node *p = &parameter->shape;
  const int64_t cols = tkg__cols(p);
  const bool large = tkg__count(p) >= TKG_MOMENTS_LEAST;
  const bool wide = cols >= 8 && cols <= TKG_MOMENTS_LONGEST;
  const bool by_row = p->rank == 2 && cols <= TKG_MOMENTS_LONGEST && o->lazy != 0;
  const bool coded = large && o->bits == 8 && (!by_row || wide);
  const bool rowwise = wide && o->rowwise != 0 && tkg__is_table(p);
  return (coded ? TKG_MOMENTS_8 : 0) | (rowwise ? TKG_MOMENTS_ROWWISE : 0) |
         (by_row ? TKG_MOMENTS_BY_ROW : 0);
}

/* Whether a parameter's moments lie in blocks that cross its columns, or per row. */
static bool packs(const tkg_optimizer *o, const tkg_tensor *parameter) {
  return o->op == TKG_OP_ADAM && format_of(o, parameter) & (TKG_MOMENTS_8 | TKG_MOMENTS_ROWWISE);
}

int tkg__optimizer_join_one(const tkg_optimizer *o, tkg_tensor *parameter) {
  return parameter->divided && packs(o, parameter) ? tkg__divide_tensor(parameter, false) : TKG_OK;
}

int tkg__optimizer_join(const tkg_optimizer *o, tkg_tape *tape) {
  int status = TKG_OK;
  for (int i = 0; i < tape->n && o && !status; i++) {
    tkg_side *side = &tape->side[i];
    if (tape->nodes[i].op != TKG_OP_LEAF || !side->tensor->divided) continue;
    status = tkg__optimizer_join_one(o, side->tensor);
    tape->nodes[i].i[0] = side->tensor->divided;
    side->version = side->tensor->version;
  }
  return status;
}

bool tkg__updates_rows(const tkg_optimizer *o, const tkg_tensor *parameter) {
  const tkg_node *p = &parameter->shape;
  const int64_t cols = tkg__cols(p);
  if (o->op != TKG_OP_ADAM || p->rank != 2 || cols < 1 || cols > TKG_MOMENTS_LONGEST) return false;
  const int format = format_of(o, parameter);
  return !(format & TKG_MOMENTS_8) || tkg__moments_of(tkg__count(p), cols, format).length == cols;
}

int tkg__optimizer_states(const tkg_optimizer *o) {
  return o->op == TKG_OP_ADAM ? 2 : o->op == TKG_OP_ADAGRAD ? 1 : o->momentum > 0 ? 1 : 0;
}

static int create_state(const tkg_optimizer *o, const tkg_tensor *parameter, int slot,
                        tkg_tensor **out) {
  const tkg_node *p = &parameter->shape;
  const int format = format_of(o, parameter), packed = TKG_MOMENTS_8 | TKG_MOMENTS_ROWWISE;
  const tkg_moments s = tkg__moments_of(tkg__count(p), tkg__cols(p), format);
  const int64_t scales[2] = {s.blocks, 2};
  const bool coded = format & TKG_MOMENTS_8;
  if (slot == 0 && coded)
    return tkg_tensor_create(o->engine, TKG_I32, 1, &s.first, TKG_KIND_OPTIMIZER, out);
  if (slot == 1 && format & packed)
    return tkg_tensor_create(o->engine, TKG_F32, coded ? 2 : 1, scales, TKG_KIND_OPTIMIZER, out);
  tkg_node shape = *p;
  shape.dtype = TKG_F32; /* of a parameter in 16 bits too */
  const bool divided = parameter->divided && !packs(o, parameter); /* else it will be joined */
  int (*create)(tkg_engine *, const tkg_node *, int, tkg_tensor **) =
      divided ? tkg__tensor_divided : tkg__tensor_like;
  int status = create(o->engine, &shape, TKG_KIND_OPTIMIZER, out);
  if (!status) o->engine->backend->zero((*out)->data, tkg__tensor_bytes(*out));
  return status;
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
  const double usual = parameter->shape.rank < o->decay_rank ? 0 : o->weight_decay;
  const double decay = parameter->has_decay ? parameter->decay : usual;
  if (o->op == TKG_OP_ADAM) {
    const double adam[] = {o->beta1, o->beta2, o->eps_hat > 0 ? o->eps_hat : o->eps, decay};
    memcpy(n->f, adam, sizeof adam);
    n->i[0] = (o->eps_hat > 0 ? TKG_ADAM_HAT : 0) | (o->decoupled != 0 ? TKG_ADAM_DECOUPLED : 0);
  } else {
    n->f[0] = o->op == TKG_OP_SGD ? o->momentum : o->eps;
    n->f[1] = decay;
  }
}

void tkg__optimizer_set_rates(tkg_tape *tape, const int32_t *storage) {
  for (int i = 0; i < tape->n; i++) {
    tkg_node *n = &tape->nodes[i];
    if (!tkg__op_is(n->op, TKG_UPDATE)) continue;
    n->f[TKG_UPDATE_RATE] = tape->side[storage[n->in[0]]].tensor->rate;
  }
}

/* The op that updates a parameter, and its attributes: blocks where a format or a type asks for
 * them. Returns -1 for a parameter in 16 bits that no op updates. */
static int choose_op(const tkg_optimizer *o, const tkg_tensor *parameter, const tkg_rows *rows,
                     tkg_node *n) {
  const bool half = parameter->shape.dtype == TKG_BF16;
  const int format = o->op == TKG_OP_ADAM ? format_of(o, parameter) : 0;
  char text[TKG_SHAPE_TEXT];
  if (half && o->op != TKG_OP_ADAM) {
    tkg__say("%s: a parameter %s is updated by adam alone", tkg__ops[o->op].name,
             tkg__shape_text(&parameter->shape, text));
    return -1;
  }
  if (!half && !rows && !(format & (TKG_MOMENTS_8 | TKG_MOMENTS_ROWWISE))) return o->op;
  n->i[1] = rows ? format | TKG_MOMENTS_BY_ROW : format;
  n->i[2] = parameter->number;
  n->i[3] = rows && rows->compact;
  return TKG_OP_ADAM_BLOCKS;
}

int tkg__optimizer_record(tkg_optimizer *o, tkg_tape *tape, tkg_tensor *parameter, int leaf,
                          int gradient, const tkg_rows *rows) {
  int32_t inputs[TKG_MAX_INPUTS] = {leaf, gradient};
  int n = 2;
  for (int slot = 0; slot < tkg__optimizer_states(o); slot++) {
    tkg_tensor *state = tkg_optimizer_state(o, parameter, slot);
    if (!state) return -1;
    inputs[n] = tkg_tape_leaf(tape, state);
    if (inputs[n++] < 0) return -1;
  }
  if (rows && rows->index >= 0) inputs[n++] = rows->index;
  if (rows && rows->ids >= 0) {
    inputs[n++] = rows->ids;
    inputs[n++] = rows->places;
  }
  tkg_node node = {0};
  set_constants(o, parameter, &node);
  int op = choose_op(o, parameter, rows, &node);
  return op < 0 ? -1 : tkg__record(tape, &node, op, n, inputs, NULL);
}
