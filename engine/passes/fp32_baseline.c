/* What an op-by-op FP32 tape would save: the yardstick `reference_bytes`.
 *
 * Counted as PyTorch 2.15's autograd was measured to do (tests/bench/pytorch_*.py kept): unique
 * storages saved for backward, without parameters. Multiplications and matrix products keep the
 * operand that the other side's gradient needs, ReLU, sigmoid, tanh, exp, sqrt and softmax their
 * result, gathers their ids (counted at 4 bytes; int64 there). Fused ops are counted as the chain
 * they replace: the rows that it gathers. (PyTorch 1.13 also kept what mean(dim) reads.) */
#include "fp32_baseline.h"

#include <stdlib.h>
#include <string.h>

#include "autodiff/custom_vjp.h"
#include "base/error.h"
#include "data/packed_graph.h"
#include "tape/alias.h"

typedef tkg_fp32_saved counter;

/* Counts a value once, whoever reads it, for the first op that saves it: the last that needs it in
 * backward. A view counts as the value it views; leaves are not counted. */
static void value(counter *c, int i, int v) {
  v = tkg__fp32_storage(c->tape, v);
  if (c->saver[v] < 0 && c->tape->nodes[v].op != TKG_OP_LEAF) c->saver[v] = i;
}

int tkg__fp32_storage(const tkg_tape *tape, int v) {
  while (tkg__op_is(tape->nodes[v].op, TKG_ALIAS) || tape->nodes[v].op == TKG_OP_WIDEN)
    v = tape->nodes[v].in[0]; /* a parameter of 16 bits is one of 32 there */
  return v;
}

static int input(const counter *c, int i, int k) { return c->tape->nodes[i].in[k]; }

/* Counts what an op-by-op chain gathers before it multiplies and sums: `factors` arrays of a row of
 * d columns for each of e edges. Its backward has the gradient of each product beside those of both
 * factors. */
static void edges(counter *c, int i, int64_t e, int64_t d, int factors) {
  c->extra[i] += 4 * e * d * factors;
  c->scratch[i] += 3 * 4 * e * d;
}

/* The share of a graph's edges that takes part: dropping edges leaves fewer to be gathered. */
static double share_of_edges(const counter *c, const tkg_node *n, int weight) {
  double share = 1;
  for (int w = weight < n->inputs ? n->in[weight] : -1; w >= 0;) {
    const tkg_node *from = &c->tape->nodes[w];
    if (from->op == TKG_OP_DROPOUT) share *= 1 - from->f[0];
    w = from->op == TKG_OP_DROPOUT || from->op == TKG_OP_GATHER ? from->in[0] : -1;
  }
  return share;
}

bool tkg__fp32_sparse_product(const tkg_fp32_saved *s, const tkg_node *n) {
  return n->op == TKG_OP_AGGREGATE && (n->inputs < 3 || !s->wanted[n->in[2]]);
}

/* Sums over a graph. A sparse product keeps nothing; its backward transposes the matrix, and the
 * product has zeros to start from beside its result. A product per edge, or a weight that learns,
 * has its factors gathered for each edge. */
static void saved_aggregate(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool mul = n->op == TKG_OP_AGGREGATE_MUL;
  int weight = mul ? 3 : 2;
  bool learns = weight < n->inputs && c->wanted[n->in[weight]];
  int64_t count = (int64_t)((double)n->i[2] * share_of_edges(c, n, weight));
  if (tkg__fp32_sparse_product(c, n))
    c->scratch[i] = 16 * count + 2 * tkg__bytes(&c->tape->nodes[n->in[1]]);
  else
    edges(c, i, count, tkg__cols(n), mul ? 2 : 1);
  if (learns) value(c, i, n->in[weight]);
}

/* A matrix gathered for each row; once for all products that have matrices and ids in common. */
static void saved_grouped_matmul(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  value(c, i, n->in[0]);
  for (int k = 0; k < i; k++) {
    const tkg_node *other = &c->tape->nodes[k];
    if (other->op == TKG_OP_GROUPED_MATMUL && other->in[1] == n->in[1] && other->in[2] == n->in[2])
      return;
  }
  edges(c, i, tkg__rows(n), tkg__cols(n) * tkg__cols(&c->tape->nodes[n->in[0]]), 1);
}

/* A gradient of its own saves what it reads of forward, as autograd.Function does. */
static void saved_custom_vjp(counter *c, int at) {
  const tkg_node *n = &c->tape->nodes[at];
  int upstream = n->in[1], dx = tkg__resolve_alias(c->tape, n->in[3]);
  if (!c->wanted[n->in[2]]) return;
  if (dx < upstream) value(c, at, dx);
  for (int i = upstream; i <= n->in[3]; i++) c->own[i] = false;
  tkg__mark_custom_vjp(c->tape, upstream, n->in[3], c->own);
  for (int i = upstream + 1; i <= dx; i++) {
    const tkg_node *made = &c->tape->nodes[i];
    for (int k = 0; c->own[i] && k < made->inputs; k++) {
      int v = tkg__resolve_alias(c->tape, made->in[k]);
      if (v < upstream) value(c, at, v);
    }
  }
}

/* ---- from an op to its rule: the column `saved` of ops.def ---- */

static void saved_nothing(counter *c, int i) { (void)c, (void)i; }
static void saved_output(counter *c, int i) { value(c, i, i); }
static void saved_input(counter *c, int i) { value(c, i, input(c, i, 0)); }
static void saved_ids(counter *c, int i) { value(c, i, input(c, i, 1)); }
static void saved_edges(counter *c, int i) { value(c, i, input(c, i, 2)); }

/* Each operand whose counterpart has a gradient. */
static void saved_operands(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  if (c->wanted[n->in[0]]) value(c, i, n->in[1]);
  if (c->wanted[n->in[1]]) value(c, i, n->in[0]);
}

/* g * (2 * x^1), step by step. */
static void saved_square(counter *c, int i) {
  saved_input(c, i);
  c->scratch[i] = 3 * tkg__bytes(&c->tape->nodes[i]);
}

/* The gradient of a quotient a / b, -g * ((a / b) / b), is made in four steps, each as large as the
 * quotient, beside that of a. */
static void quotient_scratch(counter *c, int i) {
  c->scratch[i] = 5 * tkg__bytes(&c->tape->nodes[i]);
}

static void saved_quotient(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  value(c, i, n->in[1]);
  if (!c->wanted[n->in[1]]) return;
  value(c, i, n->in[0]);
  quotient_scratch(c, i);
}

/* x / |x|. */
static void saved_normalize(counter *c, int i) {
  saved_input(c, i);
  c->extra[i] += 8 * tkg__rows(&c->tape->nodes[i]);
  quotient_scratch(c, i);
}

/* x y^T, its multiple and a log-softmax of that, which is saved; the gradients of both are made. */
static void saved_product_logsumexp(counter *c, int i) {
  const tkg_node *x = &c->tape->nodes[input(c, i, 0)], *y = &c->tape->nodes[input(c, i, 1)];
  const int64_t logits = 4 * x->shape[0] * y->shape[0];
  saved_operands(c, i);
  c->extra[i] += logits;
  c->scratch[i] = 2 * logits;
}

/* The scaled mask of a dropout. */
static void saved_mask(counter *c, int i) { c->extra[i] += tkg__bytes(&c->tape->nodes[i]); }

/* A byte per element of what chooses, once for both sides. */
static void saved_condition(counter *c, int i) {
  const int by = input(c, i, 1);
  if (c->tape->nodes[by].op == TKG_OP_LEAF) return;
  for (int k = by + 1; k < i; k++) {
    const tkg_node *n = &c->tape->nodes[k];
    const bool chooses = n->op == TKG_OP_SELECT || n->op == TKG_OP_REJECT;
    if (chooses && n->in[1] == by && c->extra[k] > 0) return;
  }
  c->extra[i] += tkg__count(&c->tape->nodes[by]);
}

static void saved_relation_score(counter *c, int i) {
  saved_input(c, i);
  saved_edges(c, i);
  edges(c, i, tkg__count(&c->tape->nodes[i]), tkg__cols(&c->tape->nodes[input(c, i, 0)]), 1);
}

static void saved_neighbor_sum(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool ids = n->inputs > 2;
  value(c, i, n->in[0]);
  value(c, i, n->in[ids ? 2 : 1]);
  edges(c, i, tkg__count(&c->tape->nodes[n->in[0]]), tkg__cols(n), ids ? 1 : 0);
}

static void saved_neighbor_dot(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool ids = n->inputs > 2;
  value(c, i, n->in[0]);
  if (!ids) value(c, i, n->in[1]);
  edges(c, i, tkg__count(n), tkg__cols(&c->tape->nodes[n->in[0]]), ids ? 1 : 0);
}

static void saved_sddmm(counter *c, int i) {
  edges(c, i, tkg__count(&c->tape->nodes[i]), tkg__cols(&c->tape->nodes[input(c, i, 1)]), 2);
}

/* How many edges one relation has is not known: as many as others. */
static void saved_sddmm_relation(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  int64_t count = tkg__count(n) / tkg__graph_kinds(n->i[3]);
  edges(c, i, count, tkg__cols(&c->tape->nodes[input(c, i, 1)]), 2);
}

#define X(name, text, reads, rows, columns, flags, shape, vjp, saved, ...)                         \
  [TKG_OP_##name] = saved_##saved,
static void (*const rules[TKG_OP_COUNT])(counter *c, int i) = {
#include "base/ops.def"
};
#undef X

/* Where gradients come from, from the parameters on, and where they get to, from the values asked
 * for back. */
static void find_gradients(counter *c, const tkg_program *p, int loss) {
  c->reached[loss] = true;
  for (int i = 0; i < p->output_count; i++) c->reached[p->outputs[i]] = true;
  for (int i = 0; i < c->tape->n; i++) {
    const tkg_node *n = &c->tape->nodes[i];
    c->wanted[i] = n->parameter;
    for (int k = 0; k < n->inputs; k++)
      c->wanted[i] |= tkg__passes_gradient(n, k) && c->wanted[n->in[k]];
  }
  for (int i = c->tape->n; i-- > 0;) {
    const tkg_node *n = &c->tape->nodes[i];
    for (int k = 0; c->reached[i] && k < n->inputs; k++)
      c->reached[n->in[k]] |= tkg__passes_gradient(n, k);
  }
}

int tkg__fp32_saved(const tkg_program *p, int loss, tkg_fp32_saved *c) {
  size_t n = (size_t)p->tape->n + 1;
  *c = (tkg_fp32_saved){.tape = p->tape,
                        .extra = calloc(n, 2 * sizeof *c->extra + sizeof *c->saver + 3)};
  if (!c->extra) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  c->scratch = c->extra + n;
  c->saver = (int32_t *)(c->scratch + n);
  c->wanted = (bool *)(c->saver + n);
  c->reached = c->wanted + n;
  c->own = c->reached + n;
  memset(c->saver, -1, n * sizeof *c->saver);
  find_gradients(c, p, loss);
  for (int i = 0; i < c->tape->n; i++)
    if (c->wanted[i] && c->reached[i]) rules[c->tape->nodes[i].op](c, i);
  return TKG_OK;
}

int64_t tkg__fp32_saved_bytes(const tkg_fp32_saved *c) {
  int64_t bytes = 0;
  for (int i = 0; i < c->tape->n; i++) {
    bytes += c->extra[i];
    if (c->saver[i] >= 0) bytes += tkg__bytes(&c->tape->nodes[i]);
  }
  return bytes;
}
