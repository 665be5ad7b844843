/* What vector-Jacobian products are written with: recording, short. */
#ifndef TKG_VJP_H
#define TKG_VJP_H

#include <string.h>

#include "base/error.h"
#include "grad.h"

static inline const tkg_node *node_of(const tkg_vjp *v, int i) { return &v->tape->nodes[i]; }
static inline const tkg_node *self(const tkg_vjp *v) { return node_of(v, v->self); }
static inline int in(const tkg_vjp *v, int k) { return self(v)->in[k]; }
static inline bool wants(const tkg_vjp *v, int k) { return v->wanted[in(v, k)]; }

static inline int record(tkg_vjp *v, tkg_node node, int op, int a, int b, int c) {
  int32_t inputs[] = {a, b, c};
  return tkg__record(v->tape, &node, op,
                     c >= 0   ? 3
                     : b >= 0 ? 2
                              : 1,
                     inputs, v->tape->side[v->self].where);
}

static inline int one(tkg_vjp *v, int op, int a) { return record(v, (tkg_node){0}, op, a, -1, -1); }
static inline int two(tkg_vjp *v, int op, int a, int b) {
  return record(v, (tkg_node){0}, op, a, b, -1);
}

/* A node with the shape of `like`, for ops whose output shape is given. */
static inline tkg_node shaped(const tkg_node *like) {
  tkg_node node = {.rank = like->rank};
  memcpy(node.shape, like->shape, sizeof node.shape);
  return node;
}

/* What node a was broadcast from, or -1. The gradient of a sum is one number for many elements,
 * which vjps need not make as large as those are. */
static inline int narrow_of(const tkg_vjp *v, int a) {
  const tkg_node *n = node_of(v, a);
  return n->op == TKG_OP_BROADCAST ? n->in[0] : -1;
}

static inline int scaled(tkg_vjp *v, int a, double factor) {
  const int from = narrow_of(v, a);
  const tkg_node like = *node_of(v, a);
  const int out = record(v, (tkg_node){.f = {factor}}, TKG_OP_AFFINE, from >= 0 ? from : a, -1, -1);
  if (from < 0 || out < 0) return out;
  return record(v, shaped(&like), TKG_OP_BROADCAST, out, -1, -1);
}

/* g b for a gradient g of b's shape. */
static inline int times(tkg_vjp *v, int g, int b) {
  const int from = narrow_of(v, g);
  const bool same =
      from >= 0 && node_of(v, from)->rank == node_of(v, b)->rank &&
      !memcmp(node_of(v, g)->shape, node_of(v, b)->shape, sizeof node_of(v, b)->shape);
  return two(v, TKG_OP_MUL, same ? from : g, b);
}

static inline int reshaped(tkg_vjp *v, int a, const tkg_node *like) {
  const tkg_node *n = node_of(v, a);
  if (n->rank == like->rank && memcmp(n->shape, like->shape, sizeof n->shape) == 0) return a;
  return record(v, shaped(like), TKG_OP_RESHAPE, a, -1, -1);
}

static inline int accumulate(tkg_vjp *v, int k, int contribution) {
  return tkg__accumulate(v, k, contribution) ? TKG_OK : TKG_E_SHAPE;
}

/* g times an expression of one input: the common case. */
static inline int accumulate_one(tkg_vjp *v, int op, int read, double f0, double f1) {
  return accumulate(v, 0, record(v, (tkg_node){.f = {f0, f1}}, op, v->g, read, -1));
}

/* The product of each op: records what the inputs gain. A status. */
#define X(name, text, reads, rows, columns, flags, shape, vjp, ...) int tkg__vjp_##vjp(tkg_vjp *v);
#include "base/ops.def"
#undef X

#endif
