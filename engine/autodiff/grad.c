/* Reverse accumulation over the tape (Griewank & Walther 2008, ch. 3): from the loss backward, the
 * vjp of each node records what it adds to the gradients of its inputs. Backward is ordinary nodes.
 */
#include "grad.h"

#include <stdlib.h>

#include "base/error.h"

/* ---- sums of contributions ----
 *
 * Rows scattered into a value, and a part padded to its shape, are added to the sum of the other
 * contributions in its own memory (TKG_BASE), not made as wholes, most of it zeros. They come last,
 * so that no whole value waits for the others. */

/* Gives a contribution without a base the gradient so far as one. Returns whether it could. The
 * gradient that is passed on is not changed so, since it may reach several inputs, each with its
 * own sum. */
static bool set_base(tkg_tape *tape, int contribution, int base) {
  tkg_node *n = &tape->nodes[contribution];
  int at = tkg__op_base(n->op);
  if (n->inputs != at || base > contribution) return false;
  n->in[at] = base;
  n->inputs = (uint8_t)(at + 1);
  return true;
}

/* Whether the node adds values of at most half of its size, which are held until it runs. */
static bool adds_few(const tkg_tape *tape, const tkg_node *n) {
  int64_t held = 0;
  int base = tkg__op_base(n->op);
  for (int k = 0; k < base; k++) held += tkg__bytes(&tape->nodes[n->in[k]]);
  return base >= 0 && 2 * held <= tkg__bytes(n);
}

/* Records sum + contribution, with what `sum` adds to a base added last. Returns the node, -1 with
 * a message. */
static int add_below(tkg_tape *tape, int sum, int contribution, const char *where) {
  tkg_node node = tape->nodes[sum];
  if (!adds_few(tape, &node)) {
    node = (tkg_node){0};
    return tkg__record(tape, &node, TKG_OP_ADD, 2, (int32_t[]){sum, contribution}, where);
  }
  int at = tkg__op_base(node.op);
  if (node.inputs > at) contribution = add_below(tape, node.in[at], contribution, where);
  if (contribution < 0) return -1;
  node.in[at] = contribution;
  node.inputs = (uint8_t)(at + 1);
  return tkg__append(tape, &node, tape->side[sum].where);
}

bool tkg__accumulate(tkg_vjp *v, int k, int contribution) {
  if (contribution < 0) return false;
  int32_t *sum = &v->gradient[v->tape->nodes[v->self].in[k]];
  if (*sum < 0 || contribution == v->g || !set_base(v->tape, contribution, *sum))
    return tkg__add(v, k, contribution);
  *sum = contribution;
  return true;
}

bool tkg__add(tkg_vjp *v, int k, int contribution) {
  if (contribution < 0) return false;
  int32_t *sum = &v->gradient[v->tape->nodes[v->self].in[k]];
  *sum = *sum < 0 ? contribution
                  : add_below(v->tape, *sum, contribution, v->tape->side[v->self].where);
  return *sum >= 0;
}

/* ---- the pass ---- */

/* Sets wanted[i] where node i depends on a parameter through float inputs. */
static void find_wanted(const tkg_tape *tape, bool *wanted) {
  for (int i = 0; i < tape->n; i++) {
    const tkg_node *n = &tape->nodes[i];
    wanted[i] = n->parameter && (n->dtype == TKG_F32 || n->dtype == TKG_BF16);
    for (int k = 0; k < n->inputs; k++) wanted[i] |= tkg__passes_gradient(n, k) && wanted[n->in[k]];
  }
}

static int start(tkg_tape *tape, int loss) {
  if (tkg__count(&tape->nodes[loss]) != 1) {
    char text[TKG_SHAPE_TEXT];
    tkg__say("backward: a loss is one number, not %s: take its mean() or sum()",
             tkg__shape_text(&tape->nodes[loss], text));
    return -1;
  }
  tkg_node one = {.f = {1}, .rank = tape->nodes[loss].rank};
  for (int d = 0; d < one.rank; d++) one.shape[d] = 1;
  return tkg__record(tape, &one, TKG_OP_FULL, 0, NULL, NULL);
}

int tkg__grad(tkg_tape *tape, int loss, int32_t *gradient) {
  int forward = tape->n, status = TKG_OK, bits = tape->bits;
  for (int i = 0; i < forward; i++) gradient[i] = -1;
  bool *wanted = calloc((size_t)forward + 1, sizeof *wanted);
  tkg_copies copies = {-1, -1, malloc(((size_t)forward + 1) * sizeof *copies.of)};
  if (wanted) find_wanted(tape, wanted);
  if (!wanted || !copies.of)
    status = tkg__fail(TKG_E_MEMORY, "backward: no memory");
  else if (!wanted[loss])
    status = tkg__fail(TKG_E_ARGUMENT, "backward: the loss depends on no parameter (tk.parameter)");
  tape->bits = 0; /* widths are asked for in forward nodes only */
  if (!status && (gradient[loss] = start(tape, loss)) < 0) status = TKG_E_SHAPE;
  for (int i = loss; i >= 0 && !status; i--) {
    if (gradient[i] < 0 || !wanted[i] || tape->nodes[i].op == TKG_OP_LEAF) continue;
    tkg_vjp v = {tape, i, gradient[i], gradient, wanted, &copies};
    status = tkg__vjp(&v);
  }
  for (int i = 0; i < forward; i++)
    if (!(tape->nodes[i].op == TKG_OP_LEAF && tape->nodes[i].parameter)) gradient[i] = -1;
  tape->bits = bits;
  free(wanted);
  free(copies.of);
  return status;
}
