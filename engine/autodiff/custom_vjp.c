/* Ops that a recipe composes and gives its own gradient, without calls from the engine into Lua.
 *
 * Each use of such an op records its backward function once, behind its forward function:
 *
 *   y  = forward(x)           ordinary nodes
 *   dy = UPSTREAM             stands for the gradient that will arrive
 *   dx = backward(dy)         ordinary nodes
 *   z  = DETACH(y)            and for each input with a gradient
 *   z  = CUSTOM_VJP(z, dy, x, dx)
 *
 * When gradient g arrives at z, the nodes between dy and dx are recorded again in backward, with g
 * in place of dy. As they are only copied, a gradient may use every op that a step may use. The
 * values from before dy that they read are forward values like any others, saved as the save pass
 * decides.
 *
 * Both ops only name a value. Once gradients are recorded, readers read the value itself and
 * nothing reads dy and dx any more, so later passes and backends see none of this. */
#include "custom_vjp.h"

#include <stdlib.h>

#include "base/error.h"
#include "tape/alias.h"
#include "vjp.h"

void tkg__mark_custom_vjp(const tkg_tape *tape, int upstream, int dx, bool *marks) {
  marks[tkg__resolve_alias(tape, dx)] = true;
  for (int i = dx; i > upstream; i--) {
    const tkg_node *n = &tape->nodes[i];
    marks[i] = marks[i] && n->op != TKG_OP_LEAF;
    for (int k = 0; marks[i] && k < n->inputs; k++)
      marks[tkg__resolve_alias(tape, n->in[k])] = true;
  }
  for (int i = 0; i <= upstream; i++) marks[i] = false;
}

/* ---- the vjp ---- */

/* Returns the node that stands in backward for node i of the recorded dx. */
static int copy_of(const tkg_vjp *v, int i) {
  const tkg_copies *c = v->copies;
  i = tkg__resolve_alias(v->tape, i);
  if (i == c->upstream) return c->g;
  return i < c->upstream || v->tape->nodes[i].op == TKG_OP_LEAF ? i : c->of[i];
}

/* Starts new copies, unless this gradient continues with those of the op's last one. */
static void begin(tkg_vjp *v, int upstream) {
  tkg_copies *c = v->copies;
  if (c->upstream == upstream && c->g == v->g) return;
  for (int i = upstream; i < v->self; i++) c->of[i] = -1;
  c->upstream = upstream;
  c->g = v->g;
}

static int copy(tkg_vjp *v, int i) {
  tkg_node node = v->tape->nodes[i];
  for (int k = 0; k < node.inputs; k++) node.in[k] = copy_of(v, node.in[k]);
  v->copies->of[i] = tkg__append(v->tape, &node, v->tape->side[i].where);
  return v->copies->of[i] < 0 ? TKG_E_MEMORY : TKG_OK;
}

static int copy_gradient(tkg_vjp *v, int upstream, int dx) {
  bool *marks = calloc((size_t)v->self + 1, sizeof *marks);
  if (!marks) return tkg__fail(TKG_E_MEMORY, "backward: no memory");
  int status = TKG_OK;
  begin(v, upstream);
  tkg__mark_custom_vjp(v->tape, upstream, dx, marks);
  for (int i = upstream + 1; i <= dx && !status; i++)
    if (marks[i] && v->copies->of[i] < 0) status = copy(v, i);
  free(marks);
  return status;
}

int tkg__vjp_custom_vjp(tkg_vjp *v) {
  int upstream = in(v, 1), dx = in(v, 3), status = TKG_OK;
  if (wants(v, 2)) {
    status = copy_gradient(v, upstream, dx);
    if (!status) status = tkg__add(v, 2, copy_of(v, dx)) ? TKG_OK : TKG_E_SHAPE;
  }
  return !status && wants(v, 0) ? accumulate(v, 0, v->g) : status;
}
