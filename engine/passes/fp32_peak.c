/* What an op-by-op FP32 program holds at its fullest: `reference_peak`, the yardstick of a step's
 * peak, as PyTorch runs the recorded ops one after the other.
 *
 * Held from step to step: parameters and the optimizer's state in FP32. A graph whose edges have
 * relations, or messages, as three (two) int64 per edge; one over which rows are summed with
 * constant weights as a sparse matrix, two int64 and a weight per edge, also beside the former.
 * Other arrays of a graph with int64 for int32.
 *
 * The work of a step. Forward: an op's result lives until its last reader has run, or, if autograd
 * saves it, until the backward of the first op that saved it. Backward, op by op in reverse: beside
 * what is still saved, the gradients that have arrived and the gradient of each input are there at
 * once, or the op's scratch memory (fp32_baseline.c) where that is more. A second gradient of a
 * value is added in place if nothing else has its memory. Gradients of parameters stay until the
 * update, whose denominator is made beside them (Adam: two arrays like the largest parameter).
 *
 * tests/bench/pytorch_*.py peak measure the same in PyTorch. */
#include "fp32_peak.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "data/graph.h"

/* ---- held from step to step ---- */

static bool holds(const tkg_program *p, const void *owner, const void *tensor) {
  for (int i = 0; i < p->reference_held_count; i++)
    if (p->reference_held[i].owner == owner && p->reference_held[i].tensor == tensor) return true;
  return false;
}

static void hold(tkg_program *p, const void *owner, const void *tensor, int64_t bytes) {
  if (bytes > 0 && !holds(p, owner, tensor))
    p->reference_held[p->reference_held_count++] = (tkg_fp32_held){owner, tensor, bytes};
}

/* Whether an op reads a packed graph, its first input. */
static bool reads_graph(int op) {
  return op == TKG_OP_AGGREGATE || op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_SDDMM ||
         op == TKG_OP_SDDMM_RELATION || op == TKG_OP_EDGE_SOFTMAX ||
         op == TKG_OP_AGGREGATE_ARGMAX || op == TKG_OP_AGGREGATE_MAX;
}

/* Bytes of a graph. A weight per edge is a tensor of its own where the op has one. */
static int64_t graph_bytes(const tkg_fp32_saved *s, int leaf) {
  int64_t list = 0, matrix = 0;
  for (int i = 0; i < s->tape->n; i++) {
    const tkg_node *n = &s->tape->nodes[i];
    if (!reads_graph(n->op) || n->in[0] != leaf) continue;
    if (tkg__fp32_sparse_product(s, n))
      matrix = n->i[2] * (n->inputs < 3 ? 20 : 16);
    else
      list = 16 * n->i[2];
    if (n->i[3] & TKG_GRAPH_RELATIONS) list = 24 * n->i[2];
  }
  return list + matrix;
}

static void hold_leaves(tkg_program *p, const tkg_fp32_saved *s, const tkg_optimizer *optimizer) {
  for (int i = 0; i < s->tape->n; i++) {
    const tkg_node *n = &s->tape->nodes[i];
    const tkg_tensor *tensor = s->tape->side[i].tensor;
    if (n->op != TKG_OP_LEAF || !tensor) continue;
    int64_t bytes = tkg__count(n) * 4;
    if (n->parameter && s->reached[i] && optimizer)
      hold(p, optimizer, tensor, bytes * tkg__optimizer_states(optimizer));
    int64_t graph = graph_bytes(s, i);
    if (tensor->kind == TKG_KIND_PARAMETER) hold(p, NULL, tensor, bytes);
    if (tensor->kind == TKG_KIND_GRAPH)
      hold(p, NULL, tensor, graph ? graph : n->dtype == TKG_I32 ? 2 * bytes : bytes);
  }
}

/* ---- the work of a step ---- */

/* Memory of gradients: slices of a gradient, and a gradient that is passed on, share it. */
typedef struct storage {
  int64_t bytes;
  int users;
} storage;

typedef struct walk {
  const tkg_fp32_saved *s;
  int64_t live, peak;
  bool *runs;        /* in forward */
  int64_t *freed;    /* bytes that go when the backward of an op has run */
  int32_t *last;     /* the last forward op that reads a value, or makes it */
  int32_t *gradient; /* of a node: its storage; -1: none has arrived */
  storage *storages; /* a new one per gradient that an op makes */
  int made;
} walk;

static const tkg_node *node(const walk *w, int i) { return &w->s->tape->nodes[i]; }

static void take(walk *w, int64_t bytes) {
  w->live += bytes;
  if (w->live > w->peak) w->peak = w->live;
}

/* Whether a node's value has memory of its own in forward. */
static bool has_memory(const walk *w, int i) {
  const tkg_node *n = node(w, i);
  return w->runs[i] && n->op != TKG_OP_LEAF && tkg__fp32_storage(w->s->tape, i) == i;
}

static void find_last(walk *w) {
  for (int i = 0; i < w->s->tape->n; i++) {
    w->last[i] = i;
    for (int k = 0; w->runs[i] && k < node(w, i)->inputs; k++)
      w->last[tkg__fp32_storage(w->s->tape, node(w, i)->in[k])] = i;
  }
}

/* Frees what op i was the last to read, unless it is saved. A value read twice is freed once. */
static void free_read(walk *w, int i) {
  for (int k = -1; k < node(w, i)->inputs; k++) {
    int v = k < 0 ? i : tkg__fp32_storage(w->s->tape, node(w, i)->in[k]);
    if (w->last[v] != i || w->s->saver[v] >= 0 || !has_memory(w, v)) continue;
    w->last[v] = -1;
    w->live -= tkg__bytes(node(w, v));
  }
}

/* Marks what forward computes: what is asked for, and what is saved. */
static void find_runs(walk *w, const tkg_program *p, int loss) {
  for (int v = 0; v < w->s->tape->n; v++) w->runs[v] = w->s->saver[v] >= 0;
  for (int i = 0; i < p->output_count; i++) w->runs[p->outputs[i]] = true;
  tkg__reach(w->s->tape, &loss, 1, false, w->runs);
}

static void run_forward(walk *w) {
  find_last(w);
  for (int i = 0; i < w->s->tape->n; i++) {
    take(w, w->s->extra[i] + (has_memory(w, i) ? tkg__bytes(node(w, i)) : 0));
    if (w->runs[i]) free_read(w, i);
  }
}

/* In FP32, whatever the type of a parameter here. */
static int64_t gradient_bytes(const walk *w, int i) { return 4 * tkg__count(node(w, i)); }

/* Whether the gradient of input k is that of op i's result, a slice of it, or its one value
 * repeated (a sum's): a view, without memory of its own. */
static bool passes_on(const walk *w, int i, int k) {
  const tkg_node *n = node(w, i);
  if (n->op == TKG_OP_CUSTOM_VJP) return k == 0;
  if (tkg__op_is(n->op, TKG_ALIAS) || n->op == TKG_OP_WIDEN) return true;
  if (n->op == TKG_OP_CONCAT || n->op == TKG_OP_SUM) return true;
  bool adds = n->op == TKG_OP_ADD || (n->op == TKG_OP_SUB && k == 0) ||
              (n->op == TKG_OP_AFFINE && n->f[0] == 1);
  return adds && tkg__count(node(w, n->in[k])) == tkg__count(n);
}

static void leave(walk *w, int at) {
  if (--w->storages[at].users == 0) w->live -= w->storages[at].bytes;
}

static int new_storage(walk *w, int64_t bytes) {
  w->storages[w->made] = (storage){bytes, 1};
  take(w, bytes);
  return w->made++;
}

/* Adds storage `at` to the gradient of node v. */
static void arrive(walk *w, int v, int at) {
  int before = w->gradient[v];
  if (before < 0) {
    w->gradient[v] = at;
    return;
  }
  int64_t bytes = gradient_bytes(w, v);
  bool in_place = w->storages[before].users == 1 && w->storages[before].bytes == bytes;
  if (!in_place) {
    w->gradient[v] = new_storage(w, bytes);
    leave(w, before);
  }
  leave(w, at);
}

/* The gradient of a parameter gets memory of its own. */
static void keep(walk *w, int i) {
  int at = w->gradient[i];
  int64_t bytes = gradient_bytes(w, i);
  if (w->storages[at].users == 1 && w->storages[at].bytes == bytes) return;
  w->gradient[i] = new_storage(w, bytes);
  leave(w, at);
}

static void run_backward_of(walk *w, int i) {
  const tkg_node *n = node(w, i);
  int made[TKG_MAX_INPUTS];
  take(w, w->s->scratch[i]);
  w->live -= w->s->scratch[i];
  for (int k = 0; k < n->inputs; k++) {
    made[k] = -1;
    if (!tkg__passes_gradient(n, k) || !w->s->wanted[n->in[k]]) continue;
    made[k] = passes_on(w, i, k) ? w->gradient[i] : new_storage(w, gradient_bytes(w, n->in[k]));
    if (made[k] == w->gradient[i]) w->storages[made[k]].users++;
  }
  for (int k = 0; k < n->inputs; k++)
    if (made[k] >= 0) arrive(w, n->in[k], made[k]);
  leave(w, w->gradient[i]);
  w->gradient[i] = -1;
}

/* Sets freed[i]: what op i was the first to save, and so is the last to read in backward. */
static void find_freed(walk *w) {
  for (int i = 0; i < w->s->tape->n; i++) {
    w->freed[i] += w->s->extra[i];
    int saver = w->s->saver[i];
    if (saver >= 0) w->freed[saver] += tkg__bytes(node(w, i));
  }
}

static void run_backward(walk *w, int loss) {
  find_freed(w);
  w->gradient[loss] = new_storage(w, gradient_bytes(w, loss));
  for (int i = w->s->tape->n; i-- > 0;) {
    if (w->gradient[i] >= 0 && node(w, i)->op == TKG_OP_LEAF)
      keep(w, i);
    else if (w->gradient[i] >= 0)
      run_backward_of(w, i);
    w->live -= w->freed[i];
  }
}

/* Arrays like a parameter that its update takes for a moment: a denominator, in two steps for
 * Adam. */
static int update_arrays(const tkg_optimizer *o) {
  return !o ? 0 : o->op == TKG_OP_ADAM ? 2 : o->op == TKG_OP_ADAGRAD ? 1 : 0;
}

static int64_t largest_parameter(const tkg_fp32_saved *s) {
  int64_t most = 0;
  for (int i = 0; i < s->tape->n; i++) {
    const tkg_node *n = &s->tape->nodes[i];
    if (n->parameter && s->reached[i] && 4 * tkg__count(n) > most) most = 4 * tkg__count(n);
  }
  return most;
}

static int measure_work(tkg_program *p, const tkg_fp32_saved *s, int loss,
                        const tkg_optimizer *optimizer) {
  size_t n = (size_t)s->tape->n + 1, most = n * (2 * TKG_MAX_INPUTS + 1);
  walk w = {.s = s, .storages = malloc(most * sizeof *w.storages)};
  w.last = malloc(n * (2 * sizeof *w.last));
  w.runs = calloc(n, sizeof *w.runs);
  w.freed = calloc(n, sizeof *w.freed);
  int status = w.storages && w.last && w.runs && w.freed
                   ? TKG_OK
                   : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    w.gradient = memset(w.last + n, -1, n * sizeof *w.gradient);
    find_runs(&w, p, loss);
    run_forward(&w);
    run_backward(&w, loss);
    take(&w, update_arrays(optimizer) * largest_parameter(s));
    p->reference_work = w.peak;
  }
  free(w.storages);
  free(w.last);
  free(w.runs);
  free(w.freed);
  return status;
}

int tkg__fp32_reference(tkg_program *p, int loss, const tkg_optimizer *optimizer) {
  tkg_fp32_saved saved;
  int status = tkg__fp32_saved(p, loss, &saved);
  if (status) return status;
  p->reference_bytes = tkg__fp32_saved_bytes(&saved);
  p->reference_held = calloc(2 * (size_t)p->tape->n + 1, sizeof *p->reference_held);
  if (!p->reference_held) status = tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) hold_leaves(p, &saved, optimizer);
  if (!status) status = measure_work(p, &saved, loss, optimizer);
  free(saved.extra);
  return status;
}
