/* The save pass decides how each forward value that backward reads is saved.
 *
 * It takes the first rule that fits: resident, recompute, mask, small (exact), quantize. Then it
 * rewrites backward's reads: to codes, which are decoded for the ops that cannot read them, to sign
 * masks, to nodes recorded once more.
 *
 * No list of ops says which values may be noisy. The bias pass checks it (bias.c): where the noise
 * of a copy would be multiplied with itself or enter a non-linear op, the value is saved exactly.
 */
#include "save.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bias.h"
#include "shared/codec.h"

enum { STREAM_SAVED = 1 << 20 }; /* of rounding noise; dropout and sampling count from 0 */

typedef struct save {
  tkg_program *p;
  const tkg_policy *policy;
  const tkg_tape *old;
  tkg_tape *fresh;
  int n, forward;
  bool *need_value, *need_sign, *need_codes, *is_output;
  bool *must_be_exact;     /* as the bias pass has found */
  bool *rows_apart;        /* rows gathered from it are saved by themselves */
  bool *need_recomputed;   /* an input of a needed value that could be computed again */
  bool *available;         /* backward can have it without saving more than is saved already */
  bool *available_exactly; /* and without noise */
  uint8_t *rule;
  int32_t *map, *copy, *mask,
      *code;       /* old node -> new: itself, its copy for backward, mask, code */
  int32_t *source; /* new encode node -> old node */
} save;

/* ---- 1. what backward reads ---- */

static void find_needs(save *s) {
  for (int i = s->forward; i < s->n; i++) {
    const tkg_node *n = &s->old->nodes[i];
    for (int k = 0; k < n->inputs; k++) {
      int v = n->in[k];
      if (v >= s->forward) continue;
      if (tkg__op_reads(n->op, k) == 's' && s->policy->save)
        s->need_sign[v] = true;
      else
        s->need_value[v] = true;
      if (tkg__op_reads(n->op, k) == 'q') s->need_codes[v] = true;
    }
  }
  for (int v = s->forward; v-- > 0;) { /* a view is saved as the value that it views */
    const tkg_node *n = &s->old->nodes[v];
    if (s->need_value[v] && (n->op == TKG_OP_RESHAPE || n->op == TKG_OP_TRANSPOSE))
      s->need_value[n->in[0]] = true;
    bool made_again = s->need_value[v] || s->need_recomputed[v];
    for (int k = 0; k < n->inputs && tkg__op_is(n->op, TKG_CHEAP); k++)
      if (made_again) s->need_recomputed[n->in[k]] = true;
  }
}

/* ---- 2. one rule per value ---- */

static bool inputs_exact(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  for (int k = 0; k < n->inputs; k++)
    if (!s->available_exactly[n->in[k]]) return false;
  return true;
}

/* The norm of noisy rows is not the norm, and a reader of codes cannot read a sum of them. */
static bool inputs_available(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  if (s->need_codes[v]) return inputs_exact(s, v);
  for (int k = 0; k < n->inputs; k++) {
    bool exact = tkg__op_reads(n->op, k) == 'x';
    if (!(exact ? s->available_exactly : s->available)[n->in[k]]) return false;
  }
  return true;
}

/* Rows gathered from a value get a copy of their own if the value is so many times as large:
 * SURE_TIMES always, as the copy then costs little; LEAST_TIMES if the value would be saved exactly
 * without. */
enum { SURE_TIMES = 8, LEAST_TIMES = 2 };

/* Whether v is a batch's rows of a much larger value that is not available exactly. Gathered from
 * its codes they would bring its noise to the loss, where rows are often multiplied with
 * themselves, and the whole value would have to be saved exactly for that. */
static bool few_rows(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  if (n->op != TKG_OP_GATHER || s->available_exactly[n->in[0]]) return false;
  int times = s->rows_apart[n->in[0]] ? LEAST_TIMES : SURE_TIMES;
  return times * tkg__count(n) <= tkg__count(&s->old->nodes[n->in[0]]);
}

/* The rows that a loss reads matter more than their share of memory: beside the codes of the whole
 * value, an exact copy of a batch's rows costs little. */
static bool few_rows_of_codes(const save *s, int v) {
  return few_rows(s, v) && s->rule[s->old->nodes[v].in[0]] == TKG_RULE_QUANTIZE;
}

/* Whether v may be computed again: it is cheap, or the recipe asks for it and it is not random. */
static bool may_recompute(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  if (few_rows(s, v)) return false;
  bool asked = n->rule == TKG_RULE_RECOMPUTE && !tkg__op_is(n->op, TKG_RANDOM);
  return (asked || tkg__op_is(n->op, TKG_CHEAP)) && !s->must_be_exact[v] && inputs_available(s, v);
}

static bool is_available(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  return n->op == TKG_OP_LEAF || s->is_output[v] || s->rule[v] || may_recompute(s, v);
}

/* Whether an available value is saved as it is, or computed again from such values. */
static bool is_exact(const save *s, int v) {
  int rule = s->rule[v];
  if (rule == TKG_RULE_QUANTIZE) return false;
  bool saved = rule == TKG_RULE_EXACT || rule == TKG_RULE_RESIDENT;
  return saved || s->old->nodes[v].op == TKG_OP_LEAF || s->is_output[v] || inputs_exact(s, v);
}

/* The bits of a value. A value whose codes are read twice brings its noise squared, and if a
 * gradient lies along the row, as behind a loss of dot products, all but the noise cancels: instead
 * of one or two bits it has twice as many. (KGAT on Last-FM lost 13 % of Recall@20 without that.)
 */
static int width(const save *s, int v) {
  int recorded = s->old->nodes[v].bits, bits = recorded ? recorded : s->policy->bits;
  return bits <= 2 && s->need_codes[v] ? 2 * bits : bits;
}

/* A reader of the codes themselves corrects for the variance, which is known of dither alone. */
static int rounding_of(const save *s, int v) {
  const int rounding = s->policy->rounding;
  return s->need_codes[v] && !tkg__codec_dithers(rounding) ? TKG_ROUND_DITHER : rounding;
}

static bool worth_packing(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  if (n->dtype != TKG_F32 || n->rank < 2 || width(s, v) >= 32) return false;
  if (n->rule == TKG_RULE_QUANTIZE) return true;
  return tkg__bytes(n) > s->policy->small &&
         2 * tkg__codec_bytes(width(s, v), tkg__rows(n), tkg__cols(n)) <= tkg__bytes(n);
}

static int choose(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  if (n->op == TKG_OP_LEAF || s->is_output[v]) return TKG_RULE_RESIDENT;
  if (!s->policy->save) return TKG_RULE_EXACT;
  if (may_recompute(s, v) && (n->rule == TKG_RULE_DEFAULT || n->rule == TKG_RULE_RECOMPUTE))
    return TKG_RULE_RECOMPUTE;
  if (n->rule == TKG_RULE_EXACT || s->must_be_exact[v] || !worth_packing(s, v))
    return TKG_RULE_EXACT;
  if (few_rows_of_codes(s, v) && n->rule != TKG_RULE_QUANTIZE) return TKG_RULE_EXACT;
  return TKG_RULE_QUANTIZE;
}

static bool has_rows_gathered(const save *s, int v) {
  for (int i = v + 1; i < s->forward; i++) {
    const tkg_node *n = &s->old->nodes[i];
    if (n->op == TKG_OP_GATHER && n->in[0] == v && (s->need_value[i] || s->need_recomputed[i]) &&
        LEAST_TIMES * tkg__count(n) <= tkg__count(&s->old->nodes[v]))
      return true;
  }
  return false;
}

/* Before a value whose noise was multiplied with itself is saved exactly, the rows gathered from it
 * are, if that may be enough. */
static void save_rows_apart(save *s) {
  for (int v = 0; v < s->forward; v++) {
    if (!s->must_be_exact[v] || s->rows_apart[v] || !has_rows_gathered(s, v)) continue;
    s->rows_apart[v] = true;
    s->must_be_exact[v] = false;
  }
}

static void choose_all(save *s) {
  memset(s->rule, 0, (size_t)s->forward);
  for (int v = 0; v < s->forward; v++) {
    if (s->need_recomputed[v] && few_rows_of_codes(s, v)) s->need_value[v] = true;
    if (s->need_value[v]) s->rule[v] = (uint8_t)choose(s, v);
    s->available[v] = is_available(s, v);
    s->available_exactly[v] = s->available[v] && is_exact(s, v);
  }
}

/* A value that backward has exactly needs no mask of its sign. */
static bool wants_sign(const save *s, int v) {
  if (!s->need_sign[v] || s->rule[v] == TKG_RULE_EXACT || s->rule[v] == TKG_RULE_RESIDENT)
    return false;
  if (s->old->nodes[v].op == TKG_OP_LEAF || s->is_output[v]) return false;
  return s->policy->save;
}

/* Dither adds noise to zeros, which stochastic rounding does not: the signs of a ReLU's output,
 * which backward needs in any case, lie with its codes and restore them. */
static bool codes_have_signs(const save *s, int v) {
  const tkg_node *n = &s->old->nodes[v];
  return n->op == TKG_OP_LEAKY_RELU && n->f[0] == 0 && wants_sign(s, v);
}

/* ---- 3. the new tape ---- */

static int emit(save *s, const tkg_node *node, const char *where) {
  return tkg__append(s->fresh, node, where);
}

static int emit_saved(save *s, int op, int input, int v, int dtype) {
  tkg_node node = s->old->nodes[v];
  memset(node.in, 0, sizeof node.in);
  memset(node.f, 0, sizeof node.f);
  memset(node.i, 0, sizeof node.i);
  node.op = (uint8_t)op;
  node.inputs = 1;
  node.in[0] = input;
  node.dtype = (uint8_t)dtype;
  if (op != TKG_OP_SIGN_MASK) {
    node.i[0] = width(s, v);
    node.i[1] = rounding_of(s, v);
    node.i[2] = STREAM_SAVED + v;
    node.i[3] = codes_have_signs(s, v);
  }
  return emit(s, &node, s->old->side[v].where);
}

static int emit_forward(save *s, int v) {
  tkg_node node = s->old->nodes[v];
  for (int k = 0; k < node.inputs; k++) node.in[k] = s->map[node.in[k]];
  int at = s->map[v] = emit(s, &node, s->old->side[v].where);
  if (at < 0) return TKG_E_MEMORY;
  tkg_tensor *tensor = s->old->side[v].tensor;
  if (tensor) s->fresh->side[at].tensor = tkg_tensor_retain(tensor);
  s->fresh->side[at].origin = s->old->side[v].origin;
  if (s->rule[v] == TKG_RULE_QUANTIZE) {
    s->code[v] = emit_saved(s, TKG_OP_ENCODE, at, v, TKG_CODES);
    if (s->code[v] < 0) return TKG_E_MEMORY;
    s->source[s->code[v]] = v;
  }
  if (!wants_sign(s, v)) return TKG_OK;
  bool has = s->code[v] >= 0 && codes_have_signs(s, v);
  s->mask[v] = has ? s->code[v] : emit_saved(s, TKG_OP_SIGN_MASK, at, v, TKG_MASK);
  return s->mask[v] < 0 ? TKG_E_MEMORY : TKG_OK;
}

static int input_of(save *s, const tkg_node *reader, int k);

/* Returns the node that stands for old forward value `v` in backward; -1 on failure. */
static int backward_copy(save *s, int v) {
  if (s->copy[v] >= 0) return s->copy[v];
  const tkg_node *n = &s->old->nodes[v];
  if (s->rule[v] == TKG_RULE_QUANTIZE)
    return s->copy[v] = emit_saved(s, TKG_OP_DECODE, s->code[v], v, TKG_F32);
  bool stays = n->op == TKG_OP_LEAF || s->is_output[v] || s->rule[v] == TKG_RULE_EXACT;
  if (stays) return s->copy[v] = s->map[v];
  tkg_node node = *n;
  for (int k = 0; k < node.inputs; k++)
    if ((node.in[k] = input_of(s, n, k)) < 0) return -1;
  return s->copy[v] = emit(s, &node, s->old->side[v].where);
}

/* Returns the node that input k of an old node, a forward value, is in backward: the sign mask of
 * the value, its codes or its copy. -1 on failure. */
static int input_of(save *s, const tkg_node *reader, int k) {
  int v = reader->in[k];
  if (tkg__op_reads(reader->op, k) == 's' && s->mask[v] >= 0) return s->mask[v];
  bool codes = s->code[v] >= 0 && tkg__takes_codes(reader, k, &s->fresh->nodes[s->code[v]]);
  return codes ? s->code[v] : backward_copy(s, v);
}

static int emit_backward(save *s, int i) {
  const tkg_node *old = &s->old->nodes[i];
  tkg_node node = *old;
  for (int k = 0; k < node.inputs; k++) {
    node.in[k] = old->in[k] < s->forward ? input_of(s, old, k) : s->map[old->in[k]];
    if (node.in[k] < 0) return TKG_E_MEMORY;
  }
  s->map[i] = emit(s, &node, s->old->side[i].where);
  if (s->map[i] < 0) return TKG_E_MEMORY;
  if (s->old->side[i].tensor) /* optimizer state: a leaf recorded late */
    s->fresh->side[s->map[i]].tensor = tkg_tensor_retain(s->old->side[i].tensor);
  return TKG_OK;
}

/* Writes the fresh tape, and where forward ends and gradients are complete on it. */
static int rewrite(save *s, int *forward, int *arrived) {
  for (int i = 0; i < s->n; i++) s->map[i] = s->copy[i] = s->mask[i] = s->code[i] = -1;
  for (int i = 0; i < 6 * s->n; i++) s->source[i] = -1;
  tkg__truncate(s->fresh, 0);
  int status = TKG_OK;
  for (int i = 0; i < s->n && !status; i++) {
    if (i == s->forward) *forward = s->fresh->n;
    if (i == s->p->arrived) *arrived = s->fresh->n;
    status = i < s->forward ? emit_forward(s, i) : emit_backward(s, i);
  }
  if (s->n == s->forward) *forward = s->fresh->n;
  if (s->n == s->p->arrived) *arrived = s->fresh->n;
  return status;
}

/* ---- 4. the report ---- */

static int64_t saved_bytes(const save *s, int v, int rule) {
  const tkg_node *n = &s->old->nodes[v];
  switch (rule) {
  case TKG_RULE_EXACT:
    return tkg__bytes(n);
  case TKG_RULE_QUANTIZE:
    return tkg__codec_bytes(width(s, v), tkg__rows(n), tkg__cols(n));
  case TKG_RULE_MASK:
    return (tkg__count(n) + 7) / 8;
  default:
    return 0;
  }
}

/* How often backward reads the copy of a value. Codes whose noise enters squared count twice, those
 * of which only the sign is read not at all (column `reads` of ops.def). */
static int readers(const save *s, int v) {
  int count = 0;
  for (int i = s->map[s->forward - 1] + 1; i < s->fresh->n; i++) {
    const tkg_node *n = &s->fresh->nodes[i];
    for (int k = 0; k < n->inputs; k++) {
      char reads = tkg__op_reads(n->op, k);
      bool codes = n->in[k] == s->code[v] && n->op != TKG_OP_DECODE && reads != 's';
      if (n->in[k] == s->copy[v] || codes) count += reads == 'q' ? 2 : 1;
    }
  }
  return count;
}

static void line(save *s, int v, int rule) {
  const tkg_node *n = &s->old->nodes[v];
  bool packed = rule == TKG_RULE_QUANTIZE;
  s->p->saved[s->p->saved_count++] = (tkg_saved_value){v,
                                                       *n,
                                                       s->fresh->side[s->map[v]].where,
                                                       n->op,
                                                       (uint8_t)rule,
                                                       packed                  ? width(s, v)
                                                       : rule == TKG_RULE_MASK ? 1
                                                                               : 32,
                                                       packed ? rounding_of(s, v) : -1,
                                                       readers(s, v),
                                                       tkg__bytes(n),
                                                       saved_bytes(s, v, rule)};
}

static int report(save *s) {
  s->p->saved = calloc(2 * (size_t)s->forward + 1, sizeof *s->p->saved);
  if (!s->p->saved) return tkg__fail(TKG_E_MEMORY, "save: no memory for the report");
  for (int v = 0; v < s->forward; v++) {
    bool view = s->old->nodes[v].op == TKG_OP_RESHAPE;
    if (s->need_value[v] && s->rule[v] && !view) line(s, v, s->rule[v]);
    if (s->mask[v] >= 0) line(s, v, TKG_RULE_MASK);
  }
  return TKG_OK;
}

/* ---- the pass ---- */

static bool allocate(save *s) {
  size_t n = (size_t)s->n + 1;
  bool *flags = calloc(9 * n, sizeof *flags);
  s->rule = calloc(n, 1);
  s->map = malloc(10 * n * sizeof *s->map);
  s->need_value = flags;
  if (!flags || !s->rule || !s->map) return false;
  s->need_sign = flags + n;
  s->is_output = flags + 2 * n;
  s->must_be_exact = flags + 3 * n;
  s->available = flags + 4 * n;
  s->need_codes = flags + 5 * n;
  s->available_exactly = flags + 6 * n;
  s->need_recomputed = flags + 7 * n;
  s->rows_apart = flags + 8 * n;
  s->copy = s->map + n;
  s->mask = s->map + 2 * n;
  s->code = s->map + 3 * n;
  s->source = s->map + 4 * n; /* 6 n: a node becomes at most five */
  return true;
}

static void renumber(save *s) {
  tkg_program *p = s->p;
  for (int i = 0; i < p->output_count; i++) p->outputs[i] = s->map[p->outputs[i]];
  for (int i = 0; i < p->gradient_count; i++) {
    p->leaf_of[i] = s->map[p->leaf_of[i]];
    p->gradient_of[i] = s->map[p->gradient_of[i]];
  }
}

int tkg__save(tkg_program *p, const tkg_policy *policy) {
  save s = {.p = p, .policy = policy, .old = p->tape, .n = p->tape->n, .forward = p->forward};
  int forward = 0, arrived = 0, status = tkg_tape_create(p->tape->engine, &s.fresh);
  if (!status && !allocate(&s)) status = tkg__fail(TKG_E_MEMORY, "save: no memory");
  if (!status) {
    find_needs(&s);
    for (int i = 0; i < p->output_count; i++)
      s.is_output[p->outputs[i]] = p->outputs[i] < s.forward;
  }
  for (bool again = true; again && !status;) {
    choose_all(&s);
    status = rewrite(&s, &forward, &arrived);
    if (!status) status = tkg__find_bias(s.fresh, arrived, s.source, s.must_be_exact, &again);
    if (again) save_rows_apart(&s);
  }
  if (!status) status = report(&s);
  if (!status) {
    renumber(&s);
    tkg_tape_release(p->tape);
    p->tape = s.fresh;
    p->forward = forward;
    p->arrived = arrived;
  } else
    tkg_tape_release(s.fresh);
  free(s.need_value);
  free(s.rule);
  free(s.map);
  return status;
}
