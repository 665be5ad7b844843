#include "compile.h"

#include <stdlib.h>
#include <string.h>

#include "autodiff/grad.h"
#include "base/error.h"
#include "by_parts.h"
#include "fp32_peak.h"
#include "fuse_gather.h"
#include "fuse_widen.h"
#include "ids_lines.h"
#include "neighborhood.h"
#include "plan.h"
#include "prune_rows.h"
#include "remove_aliases.h"
#include "row_gradient.h"
#include "save.h"
#include "share_ids.h"
#include "spread.h"
#include "tape/alias.h"
#include "tape/clip.h"
#include "value_bits.h"

/* ---- the part of the tape that is needed ---- */

/* Without gradients each reader of a parameter of 16 bits gets a widened copy of its own, which
 * need not exist from the first reader to the last. */
static int input_of(tkg_tape *to, int input, bool gradients) {
  if (gradients || to->nodes[input].op != TKG_OP_WIDEN) return input;
  const tkg_node widen = to->nodes[input];
  return tkg__append(to, &widen, to->side[input].where);
}

/* Copies the marked nodes; map[i] is then the copy of node i or, without gradients, of the value
 * that an alias stands for. */
static int copy_marked(const tkg_tape *tape, const bool *marks, bool gradients, tkg_tape *to,
                       int32_t *map) {
  for (int i = 0; i < tape->n; i++) {
    int value = gradients ? i : tkg__resolve_alias(tape, i);
    map[i] = value < i ? map[value] : -1;
    if (!marks[i] || value < i) continue;
    tkg_node node = tape->nodes[i];
    for (int k = 0; k < node.inputs; k++)
      if ((node.in[k] = input_of(to, map[node.in[k]], gradients)) < 0) return TKG_E_MEMORY;
    int at = map[i] = tkg__append(to, &node, tape->side[i].where);
    if (at < 0) return TKG_E_MEMORY;
    if (!tape->side[i].tensor) continue;
    to->side[at].tensor = tkg_tensor_retain(tape->side[i].tensor);
    to->side[at].origin = i + 1;
  }
  return TKG_OK;
}

/* Begins the program with the forward nodes; *loss is the loss's node in it, or -1. */
static int add_forward(tkg_program *p, const tkg_tape *tape, const tkg_request *request,
                       int *loss) {
  bool gradients = request->loss >= 0;
  bool *marks = calloc((size_t)tape->n + 1, sizeof *marks);
  int32_t *map = malloc(((size_t)tape->n + 1) * sizeof *map);
  p->outputs = calloc((size_t)request->n + 1, sizeof *p->outputs);
  int status = tkg_tape_create(tape->engine, &p->tape);
  p->divided = calloc((size_t)request->n + 1, sizeof *p->divided);
  if (!marks || !map || !p->outputs || !p->divided)
    status = tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    tkg__reach(tape, &request->loss, 1, gradients, marks);
    tkg__reach(tape, request->outputs, request->n, gradients, marks);
    status = copy_marked(tape, marks, gradients, p->tape, map);
  }
  if (!status) {
    *loss = gradients ? map[request->loss] : -1;
    for (int i = 0; i < request->n; i++) p->outputs[p->output_count++] = map[request->outputs[i]];
    p->forward = p->tape->n;
  }
  free(marks);
  free(map);
  return status;
}

/* ---- backward and updates ---- */

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

/* Which rows each gradient has, or NULL and a message: the caller frees it. */
static tkg_rows *find_rows(tkg_program *p, const tkg_optimizer *optimizer, int *status) {
  tkg_rows *rows = malloc(((size_t)p->gradient_count + 1) * sizeof *rows);
  *status = rows ? TKG_OK : tkg__fail(TKG_E_MEMORY, "updates: no memory");
  for (int i = 0; i < p->gradient_count && !*status; i++)
    *status = tkg__row_gradient(p, optimizer, p->leaf_of[i], &p->gradient_of[i], &rows[i]);
  return rows;
}

static int add_updates(tkg_program *p, tkg_optimizer *optimizer) {
  int status;
  tkg_rows *rows = find_rows(p, optimizer, &status);
  p->updates = true;
  p->arrived = p->tape->n;
  if (!status && optimizer->clip > 0)
    status = tkg__clip(p->tape, p->gradient_of, p->gradient_count, optimizer->clip);
  for (int i = 0; i < p->gradient_count && !status; i++) {
    const bool some = rows[i].index >= 0 || rows[i].ids >= 0;
    const int leaf = p->leaf_of[i];
    if (tkg__optimizer_record(optimizer, p->tape, p->tape->side[leaf].tensor, leaf,
                              p->gradient_of[i], some ? &rows[i] : NULL) < 0)
      status = TKG_E_SHAPE;
  }
  free(rows);
  return status;
}

/* Releases the first batch's tensors, since each run binds its own. Parameters that the program
 * updates stay bound: the optimizer state in it is theirs. */
static void unbind(const tkg_program *p) {
  for (int i = 0; i < p->tape->n; i++) {
    tkg_side *side = &p->tape->side[i];
    if (side->origin == 0 || (p->updates && p->tape->nodes[i].parameter)) continue;
    tkg_tensor_release(side->tensor);
    side->tensor = NULL;
  }
}

/* ---- the passes ---- */

int tkg__compile(const tkg_tape *tape, const tkg_request *request, const tkg_policy *policy,
                 tkg_program *p) {
  int loss = -1, status = add_forward(p, tape, request, &loss);
  if (!status) tkg__set_value_bits(p, policy);
  if (!status && loss >= 0) status = tkg__fp32_reference(p, loss, request->optimizer);
  if (!status && policy->fuse) tkg__fuse_gather(p);
  if (!status && policy->rows) status = tkg__prune_rows(p, &loss);
  if (!status && loss >= 0) {
    if (policy->fuse) status = tkg__share_ids(p); /* so that equal ids are kept once */
    if (!status) status = add_backward(p, loss);
    if (!status && policy->fuse) tkg__fuse_gather(p); /* of what backward sums */
    p->arrived = p->tape->n;
    if (!status && request->optimizer) status = add_updates(p, request->optimizer);
    if (!status) tkg__remove_aliases(p);
  }
  if (policy->rows && loss >= 0 && !status && tkg__leaves_out_rows(p->tape->engine))
    status = tkg__leave_out_rows(p);
  if (!status && policy->fuse) tkg__fuse_widen(p); /* no pass below replaces what reads a table */
  if (!status && loss >= 0) status = tkg__save(p, policy);
  if (policy->fuse && loss >= 0 && !status) tkg__by_parts(p);
  if (!status && policy->fuse) status = tkg__share_ids(p);
  p->divides = policy->divide;
  p->rank_bits = policy->rank_bits;
  if (!status) status = tkg__spread(p);
  p->tiled = policy->tiles;
  p->in_place = policy->in_place || tkg__forward_only(p);
  p->checked = policy->check;
  if (!status) status = tkg__plan(p);
  if (!status) status = tkg__ids_lines(p, tape);
  if (!status) unbind(p);
  return status;
}

void tkg__program_free(tkg_program *p) {
  tkg_tape_release(p->tape);
  free(p->outputs);
  free(p->divided);
  free(p->leaf_of);
  free(p->saved);
  free(p->reference_held);
  free(p->order);
  free(p->offset);
  free(p->groups);
  free(p->in_tile);
  free((void *)p->ids_line);
}
