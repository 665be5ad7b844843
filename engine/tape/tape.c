/* Records ops. Each call checks its op at once, so an error has the recipe's own line. */
#include "tape.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Returns a number that no other tape had. A tensor remembers its leaf by it, since a new tape may
 * be allocated at the address of an old one. */
static uint64_t next_generation(void) {
  static atomic_uint_least64_t last;
  return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

int tkg_tape_create(tkg_engine *engine, tkg_tape **out) {
  TKG__NEEDS(engine && out, TKG_E_ARGUMENT);
  *out = calloc(1, sizeof **out);
  if (!*out) return tkg__fail(TKG_E_MEMORY, "no memory for a tape");
  (*out)->engine = tkg__engine_retain(engine);
  (*out)->generation = next_generation();
  return TKG_OK;
}

void tkg__truncate(tkg_tape *tape, int first) {
  for (int i = first; i < tape->n; i++) tkg_tensor_release(tape->side[i].tensor);
  if (first < tape->n) tape->n = first;
}

void tkg_tape_release(tkg_tape *tape) {
  if (!tape) return;
  tkg__truncate(tape, 0);
  for (int i = 0; i < tape->line_count; i++) free(tape->lines[i]);
  free(tape->lines);
  free(tape->nodes);
  free(tape->side);
  tkg_engine_release(tape->engine);
  free(tape);
}

void tkg_tape_begin(tkg_tape *tape) {
  TKG__NEEDS(tape, );
  if (tape->n > tape->known) tape->known = tape->n;
  tkg__truncate(tape, 0);
  tape->ended = false;
  tape->generation = next_generation();
  tape->next_stream = 0;
}

void tkg_tape_end(tkg_tape *tape) {
  TKG__NEEDS(tape, );
  for (int i = 0; i < tape->n; i++) {
    tkg_tensor_release(tape->side[i].tensor);
    tape->side[i].tensor = NULL;
  }
  tape->ended = true;
  tape->generation = next_generation();
}

int tkg_tape_length(const tkg_tape *tape) {
  TKG__NEEDS(tape, 0);
  return tape->n;
}

/* A recipe has few distinct lines, so a list searched from its end, where the newest are, is
 * enough.
 */
const char *tkg__tape_line(tkg_tape *tape, const char *where) {
  if (!where) return NULL;
  for (int i = tape->line_count; i-- > 0;)
    if (strcmp(tape->lines[i], where) == 0) return tape->lines[i];
  if (tape->line_count == tape->line_capacity) {
    int capacity = tape->line_capacity ? 2 * tape->line_capacity : 32;
    char **lines = realloc(tape->lines, (size_t)capacity * sizeof *lines);
    if (!lines) return NULL;
    tape->lines = lines;
    tape->line_capacity = capacity;
  }
  char *copy = strdup(where);
  if (copy) tape->lines[tape->line_count++] = copy;
  return copy;
}

static int grow(tkg_tape *tape) {
  if (tape->n < tape->capacity) return TKG_OK;
  int capacity = tape->capacity ? 2 * tape->capacity : 64;
  tkg_node *nodes = realloc(tape->nodes, (size_t)capacity * sizeof *nodes);
  if (nodes) tape->nodes = nodes;
  tkg_side *side = realloc(tape->side, (size_t)capacity * sizeof *side);
  if (side) tape->side = side;
  if (!nodes || !side) return tkg__fail(TKG_E_MEMORY, "no memory for %d tape nodes", capacity);
  tape->capacity = capacity;
  return TKG_OK;
}

int tkg__append(tkg_tape *tape, const tkg_node *node, const char *where) {
  if (grow(tape)) return -1;
  if (tape->n < tape->known && tape->nodes[tape->n].op != node->op) tape->known = tape->n;
  tape->nodes[tape->n] = *node;
  tape->side[tape->n] = (tkg_side){.where = tkg__tape_line(tape, where)};
  return tape->n++;
}

void tkg__inputs_of(const tkg_tape *tape, const tkg_node *n, const tkg_node *in[TKG_MAX_INPUTS]) {
  for (int k = 0; k < TKG_MAX_INPUTS; k++) in[k] = k < n->inputs ? &tape->nodes[n->in[k]] : NULL;
}

int tkg__record(tkg_tape *tape, tkg_node *node, int op, int n, const int32_t *inputs,
                const char *where) {
  int least, most;
  tkg__op_arity(op, &least, &most);
  if (n < least || n > most) {
    tkg__say("%s takes %d to %d inputs, not %d", tkg__ops[op].name, least, most, n);
    return -1;
  }
  node->op = (uint8_t)op;
  node->inputs = (uint8_t)n;
  node->bits = (uint8_t)tape->bits;
  for (int k = 0; k < n; k++) {
    node->in[k] = inputs[k];
    if (inputs[k] >= tape->n || inputs[k] < 0) {
      tkg__say("%s: input %d is no value of this tape", tkg__ops[op].name, k + 1);
      return -1;
    }
  }
  if (tkg__infer(tape, node)) return -1;
  return tkg__append(tape, node, where);
}

/* Whether this op, on these inputs, was recorded at this place before, behind the same ops. */
static bool is_repeated(const tkg_tape *tape, int op, const int32_t *inputs, int n) {
  if (tape->n >= tape->known) return false;
  const tkg_node *before = &tape->nodes[tape->n];
  return before->op == op && before->inputs == n &&
         (n == 0 || memcmp(before->in, inputs, (size_t)n * sizeof *inputs) == 0);
}

/* Gives a random node the tape's next stream, unless it has one that no tape gives. */
static void set_stream(tkg_tape *tape, tkg_node *node, int op) {
  int64_t *stream = &node->i[op == TKG_OP_DROPOUT ? 0 : 1];
  if (op != TKG_OP_RANDOM || *stream == 0) *stream = tape->next_stream++;
}

/* Whether it is an op that others than the engine may record; sets a message if not. */
static bool can_be_recorded(int op) {
  if (op < 0 || op >= TKG_OP_COUNT) {
    tkg__say("%d is no op that can be recorded", op);
    return false;
  }
  if (op != TKG_OP_LEAF && op != TKG_OP_WIDEN && op != TKG_OP_EXCHANGE &&
      !tkg__op_is(op, TKG_UPDATE))
    return true;
  tkg__say("%s is no op that can be recorded: the engine does", tkg__ops[op].name);
  return false;
}

int tkg_tape_record(tkg_tape *tape, int op, const int32_t *inputs, int n,
                    const tkg_attributes *attributes, const char *where) {
  TKG__NEEDS(tape && (inputs || !n), -1);
  tkg_node node = {0};
  if (!can_be_recorded(op)) return -1;
  const bool repeated = is_repeated(tape, op, inputs, n);
  if (!repeated && tape->n < tape->known) tape->known = tape->n;
  if (where && !*where && !repeated) return TKG_NO_LINE;
  if (attributes) {
    memcpy(node.f, attributes->f, sizeof attributes->f);
    memcpy(node.i, attributes->i, sizeof node.i);
    if (attributes->rank < 0 || attributes->rank > TKG_MAX_RANK) {
      tkg__say("%s: %d dimensions asked for, at most %d are possible", tkg__ops[op].name,
               attributes->rank, TKG_MAX_RANK);
      return -1;
    }
    node.rank = (uint8_t)attributes->rank;
    for (int d = 0; d < attributes->rank; d++) node.shape[d] = attributes->shape[d];
  }
  if (tkg__op_is(op, TKG_RANDOM)) set_stream(tape, &node, op);
  const bool takes_before = !where || !*where;
  const char *before = repeated ? tape->side[tape->n].where : NULL;
  int at = tkg__record(tape, &node, op, n, inputs, takes_before ? NULL : where);
  if (at >= 0 && takes_before) tape->side[at].where = before;
  return at;
}

static void remember_leaf(tkg_tape *tape, tkg_tensor *tensor, int at) {
  tensor->tape = tape;
  tensor->tape_generation = tape->generation;
  tensor->tape_node = at;
}

/* Finds the leaf of a tensor that has been used on another tape since and remembers its leaf there.
 * A value must have one leaf per tape, as gradients are summed by leaf. Returns -1 if it has none.
 */
static int find_leaf(tkg_tape *tape, tkg_tensor *tensor) {
  if (!tensor->tape || tensor->tape == tape) return -1;
  for (int i = tape->n; i-- > 0;)
    if (tape->side[i].tensor == tensor && tape->side[i].version == tensor->version &&
        tape->nodes[i].parameter == (tensor->parameter && !tensor->frozen))
      return i;
  return -1;
}

/* What stands for the leaf of a tensor: of 16 bits its widened copy, which is the next node. */
static int value_of_leaf(tkg_tape *tape, int at) {
  if (at < 0 || tape->nodes[at].dtype != TKG_BF16) return at;
  const tkg_node *next = &tape->nodes[at + 1];
  if (at + 1 < tape->n && next->op == TKG_OP_WIDEN && next->in[0] == at) return at + 1;
  tkg_node node = {0};
  return tkg__record(tape, &node, TKG_OP_WIDEN, 1, (int32_t[]){at}, NULL);
}

int tkg_tape_leaf(tkg_tape *tape, tkg_tensor *tensor) {
  return value_of_leaf(tape, tkg__tape_leaf(tape, tensor));
}

int tkg__tape_leaf(tkg_tape *tape, tkg_tensor *tensor) {
  TKG__NEEDS(tape && tensor, -1);
  if (tensor->engine != tape->engine) {
    tkg__say(
        "a tensor made before the device was changed, on %s, cannot be used with values on %s: "
        "make it anew, or copy it with totable()",
        tensor->engine->backend->name, tape->engine->backend->name);
    return -1;
  }
  if (tensor->tape == tape && tensor->tape_generation == tape->generation &&
      tape->side[tensor->tape_node].version == tensor->version)
    return tensor->tape_node;
  int known = find_leaf(tape, tensor);
  if (known >= 0) {
    remember_leaf(tape, tensor, known);
    return known;
  }
  tkg_node node = tensor->shape;
  node.op = TKG_OP_LEAF;
  node.parameter = (uint8_t)(tensor->parameter && !tensor->frozen);
  node.i[0] = tensor->divided;
  int at = tkg__append(tape, &node, NULL);
  if (at < 0) return -1;
  tape->side[at].tensor = tkg_tensor_retain(tensor);
  tape->side[at].version = tensor->version;
  remember_leaf(tape, tensor, at);
  return at;
}

int tkg_op_code(const char *name) {
  TKG__NEEDS(name, -1);
  for (int op = 0; op < TKG_OP_COUNT; op++)
    if (strcmp(tkg__ops[op].name, name) == 0) return op;
  return -1;
}

int tkg_op_count(void) { return TKG_OP_COUNT; }
const char *tkg_op_name(int op) { return op >= 0 && op < TKG_OP_COUNT ? tkg__ops[op].name : NULL; }

/* Whether the tape has this node; sets a message if not. */
static bool has(const tkg_tape *tape, int node) {
  if (node >= 0 && node < tape->n) return true;
  tkg__say("%d is no value of this tape, which has %d", node, tape->n);
  return false;
}

int tkg_tape_dtype(const tkg_tape *tape, int node) {
  TKG__NEEDS(tape, 0);
  if (!has(tape, node)) return 0;
  return tape->nodes[node].dtype;
}

int tkg_tape_rank(const tkg_tape *tape, int node) {
  TKG__NEEDS(tape, 0);
  if (!has(tape, node)) return 0;
  return tape->nodes[node].rank;
}

double tkg_tape_size(const tkg_tape *tape, int node, int dim) {
  TKG__NEEDS(tape, 0);
  if (!has(tape, node)) return 0;
  const tkg_node *n = &tape->nodes[node];
  if (dim < 0) return (double)tkg__count(n);
  return dim < n->rank ? (double)n->shape[dim] : 1;
}

int tkg_tape_set_bits(tkg_tape *tape, int bits) {
  TKG__NEEDS(tape, TKG_E_ARGUMENT);
  if (bits != 0 && bits != 32 && bits != 8 && bits != 4 && bits != 2 && bits != 1)
    return tkg__fail(TKG_E_ARGUMENT, "bits: %d is not one of 32, 8, 4, 2, 1", bits);
  tape->bits = bits;
  return TKG_OK;
}

int tkg_tape_set_rule(tkg_tape *tape, int node, const char *rule) {
  TKG__NEEDS(tape && rule, TKG_E_ARGUMENT);
  if (!has(tape, node)) return TKG_E_ARGUMENT;
  static const char *const names[] = {"default", "", "recompute", "mask", "exact", "quantize"};
  for (int r = 0; r < (int)(sizeof names / sizeof *names); r++)
    if (r != TKG_RULE_RESIDENT && strcmp(names[r], rule) == 0) {
      tape->nodes[node].rule = (uint8_t)r;
      return TKG_OK;
    }
  return tkg__fail(TKG_E_ARGUMENT,
                   "rule '%s' is not one of default, recompute, mask, exact, quantize", rule);
}

void tkg__reach(const tkg_tape *tape, const int32_t *roots, int n, bool vjps, bool *marks) {
  for (int i = 0; i < n; i++)
    if (roots[i] >= 0) marks[roots[i]] = true;
  for (int i = tape->n; i-- > 0;) {
    const tkg_node *node = &tape->nodes[i];
    int inputs = node->op == TKG_OP_CUSTOM_VJP && !vjps ? 1 : node->inputs;
    for (int k = 0; marks[i] && k < inputs; k++) marks[node->in[k]] = true;
  }
}

/* Tells the tensor of leaf `from` that the leaf is now node `to`, or gone (-1). */
static void move_leaf(const tkg_tape *tape, tkg_tensor *tensor, int from, int to) {
  if (!tensor || tensor->tape != tape || tensor->tape_generation != tape->generation) return;
  if (tensor->tape_node != from) return;
  tensor->tape_node = to;
  if (to < 0) tensor->tape = NULL;
}

int tkg_tape_compact(tkg_tape *tape, const int32_t *live, int n, int32_t *renumber) {
  TKG__NEEDS(tape && (live || n <= 0) && (renumber || tape->n == 0), TKG_E_ARGUMENT);
  for (int i = 0; i < n; i++)
    if (live[i] >= 0 && !has(tape, live[i])) return TKG_E_ARGUMENT;
  bool *marks = calloc((size_t)tape->n + 1, sizeof *marks);
  if (!marks) return tkg__fail(TKG_E_MEMORY, "no memory to compact a tape");
  tkg__reach(tape, live, n, true, marks);
  int kept = 0;
  for (int i = 0; i < tape->n; i++) {
    renumber[i] = marks[i] ? kept : -1;
    move_leaf(tape, tape->side[i].tensor, i, renumber[i]);
    if (!marks[i]) {
      tkg_tensor_release(tape->side[i].tensor);
      continue;
    }
    tkg_node *node = &tape->nodes[kept];
    *node = tape->nodes[i];
    tape->side[kept] = tape->side[i];
    for (int k = 0; k < node->inputs; k++) node->in[k] = renumber[node->in[k]];
    kept++;
  }
  tape->n = kept;
  free(marks);
  return TKG_OK;
}

/* ---- printing ---- */

int64_t tkg_tape_print(const tkg_tape *tape, char *text, int64_t size) {
  TKG__NEEDS(tape, 0);
  char shape[TKG_SHAPE_TEXT];
  tkg_text w = {.size = size};
  w.memory = text;
  tkg__text_add(&w, "%s", "");
  for (int i = 0; i < tape->n; i++) {
    const tkg_node *n = &tape->nodes[i];
    tkg__text_add(&w, "%4d  %-18s", i, tkg__ops[n->op].name);
    for (int k = 0; k < n->inputs; k++) tkg__text_add(&w, " %d", n->in[k]);
    tkg__text_add(&w, "  %s", tkg__shape_text(n, shape));
    if (n->parameter) tkg__text_add(&w, "  parameter");
    if (tape->side[i].where) tkg__text_add(&w, "  %s", tape->side[i].where);
    tkg__text_add(&w, "\n");
  }
  return w.length + 1;
}
