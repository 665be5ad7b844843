/* What an op-by-op FP32 tape would save: the yardstick `reference_bytes`.
 *
 * Counted as PyTorch 1.13's autograd was measured to do (tests/bench/pytorch_kgcn.py kept): unique
 * storages saved for backward, without parameters. Multiplications and matrix products keep the
 * operand that the other side's gradient needs, ReLU, sigmoid, tanh, exp, sqrt and softmax their
 * result, gathers their ids (counted at 4 bytes; int64 there). Fused ops are counted as the chain
 * they replace: gathered rows, and the product that mean(dim) keeps. */
#include "fp32_baseline.h"

#include <stdlib.h>

#include "autodiff/custom_vjp.h"
#include "data/packed_graph.h"
#include "tape/alias.h"

typedef struct counter {
  const tkg_tape *tape;
  bool *seen, *wanted;
  bool *reached; /* by gradients of what is asked for */
  bool *own;     /* made in backward for a gradient of its own */
  int64_t bytes;
} counter;

/* Counts a value once, whoever reads it. A view counts as the value it views; leaves are not
 * counted. */
static void value(counter *c, int v) {
  while (tkg__op_is(c->tape->nodes[v].op, TKG_ALIAS)) v = c->tape->nodes[v].in[0];
  const tkg_node *n = &c->tape->nodes[v];
  if (c->seen[v] || n->op == TKG_OP_LEAF) return;
  c->seen[v] = true;
  c->bytes += tkg__bytes(n);
}

static int input(const counter *c, int i, int k) { return c->tape->nodes[i].in[k]; }

/* Counts the rows that an op-by-op chain gathers, and multiplies, before it sums: e edges of d
 * columns. */
static void edges(counter *c, int64_t e, int64_t d, bool gathered) {
  c->bytes += 4 * e * d * (gathered ? 2 : 1);
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

/* Sums over a graph. One with constant weights is a sparse product, which keeps nothing; a product
 * an edge, or a weight that learns, has its factors gathered for each edge. */
static void saved_aggregate(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool mul = n->op == TKG_OP_AGGREGATE_MUL;
  int weight = mul ? 3 : 2;
  bool learns = weight < n->inputs && c->wanted[n->in[weight]];
  double count = (double)n->i[2] * share_of_edges(c, n, weight);
  if (mul || learns) edges(c, (int64_t)count, tkg__cols(n), mul);
  if (learns) value(c, n->in[weight]);
}

/* A matrix gathered for each row; once for all products that have matrices and ids in common. */
static void saved_grouped_matmul(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  value(c, n->in[0]);
  for (int k = 0; k < i; k++) {
    const tkg_node *other = &c->tape->nodes[k];
    if (other->op == TKG_OP_GROUPED_MATMUL && other->in[1] == n->in[1] && other->in[2] == n->in[2])
      return;
  }
  edges(c, tkg__rows(n), tkg__cols(n) * tkg__cols(&c->tape->nodes[n->in[0]]), false);
}

/* A gradient of its own saves what it reads of forward, as autograd.Function does. */
static void saved_custom_vjp(counter *c, int at) {
  const tkg_node *n = &c->tape->nodes[at];
  int upstream = n->in[1], dx = tkg__resolve_alias(c->tape, n->in[3]);
  if (!c->wanted[n->in[2]]) return;
  if (dx < upstream) value(c, dx);
  for (int i = upstream; i <= n->in[3]; i++) c->own[i] = false;
  tkg__mark_custom_vjp(c->tape, upstream, n->in[3], c->own);
  for (int i = upstream + 1; i <= dx; i++) {
    const tkg_node *made = &c->tape->nodes[i];
    for (int k = 0; c->own[i] && k < made->inputs; k++) {
      int v = tkg__resolve_alias(c->tape, made->in[k]);
      if (v < upstream) value(c, v);
    }
  }
}

/* ---- from an op to its rule: the column `saved` of ops.def ---- */

static void saved_nothing(counter *c, int i) { (void)c, (void)i; }
static void saved_output(counter *c, int i) { value(c, i); }
static void saved_input(counter *c, int i) { value(c, input(c, i, 0)); }
static void saved_ids(counter *c, int i) { value(c, input(c, i, 1)); }
static void saved_edges(counter *c, int i) { value(c, input(c, i, 2)); }

/* Each operand whose counterpart has a gradient. */
static void saved_operands(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  if (c->wanted[n->in[0]]) value(c, n->in[1]);
  if (c->wanted[n->in[1]]) value(c, n->in[0]);
}

static void saved_quotient(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  value(c, n->in[1]);
  if (c->wanted[n->in[1]]) value(c, n->in[0]);
}

static void saved_normalize(counter *c, int i) {
  saved_input(c, i);
  c->bytes += 8 * tkg__rows(&c->tape->nodes[i]);
}

/* The scaled mask of a dropout. */
static void saved_mask(counter *c, int i) { c->bytes += tkg__bytes(&c->tape->nodes[i]); }

static void saved_relation_score(counter *c, int i) {
  saved_input(c, i);
  saved_edges(c, i);
  edges(c, tkg__count(&c->tape->nodes[i]), tkg__cols(&c->tape->nodes[input(c, i, 0)]), true);
}

static void saved_neighbor_sum(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool ids = n->inputs > 2;
  value(c, n->in[0]);
  value(c, n->in[ids ? 2 : 1]);
  edges(c, tkg__count(&c->tape->nodes[n->in[0]]), tkg__cols(n), ids);
}

static void saved_neighbor_dot(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  bool ids = n->inputs > 2;
  value(c, n->in[0]);
  if (!ids) value(c, n->in[1]);
  edges(c, tkg__count(n), tkg__cols(&c->tape->nodes[n->in[0]]), ids);
}

static void saved_sddmm(counter *c, int i) {
  edges(c, tkg__count(&c->tape->nodes[i]), tkg__cols(&c->tape->nodes[input(c, i, 1)]), true);
}

/* How many edges one relation has is not known: as many as others. */
static void saved_sddmm_relation(counter *c, int i) {
  const tkg_node *n = &c->tape->nodes[i];
  int64_t count = tkg__count(n) / tkg__graph_kinds(n->i[3]);
  edges(c, count, tkg__cols(&c->tape->nodes[input(c, i, 1)]), true);
}

#define X(name, text, reads, rows, flags, shape, vjp, saved) [TKG_OP_##name] = saved_##saved,
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

int64_t tkg__fp32_baseline_bytes(const tkg_program *p, int loss) {
  size_t n = (size_t)p->tape->n + 1;
  counter c = {.tape = p->tape, .seen = calloc(4 * n, sizeof *c.seen)};
  if (!c.seen) return 0;
  c.wanted = c.seen + n;
  c.reached = c.seen + 2 * n;
  c.own = c.seen + 3 * n;
  find_gradients(&c, p, loss);
  for (int i = 0; i < c.tape->n; i++)
    if (c.wanted[i] && c.reached[i]) rules[c.tape->nodes[i].op](&c, i);
  free(c.seen);
  return c.bytes;
}
