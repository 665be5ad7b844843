/* Two ways over a tensor's elements: blocks of its flat array, which are the units of elementwise
 * ops, and a walk that follows up to two broadcast inputs along. */
#ifndef TKG_CPU_FLAT_H
#define TKG_CPU_FLAT_H

#include "kernel.h"
#include "shared/shapes.h"

enum { FLAT_BLOCK = 1024 }; /* a multiple of 8: a unit begins on a whole byte of a bit mask */

static inline int64_t flat_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (tkg__count(node) + FLAT_BLOCK - 1) / FLAT_BLOCK;
}

/* First element behind the units before `unit`. */
static inline int64_t flat_at(const tkg_call *c, int64_t unit) {
  int64_t count = tkg__count(c->node);
  return unit * FLAT_BLOCK < count ? unit * FLAT_BLOCK : count;
}

/* Work of ops by what an element costs, in loads and stores of one. */
static inline int64_t flat_work_1(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node);
}

static inline int64_t flat_work_4(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 4 * tkg__count(node);
}

static inline int64_t flat_work_8(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 8 * tkg__count(node);
}

typedef tkg_view flat_view;
static inline flat_view flat_view_of(const tkg_node *out, const tkg_node *a, const tkg_node *b) {
  return tkg__view(out, a, b);
}

typedef struct flat_walk {
  int64_t at[TKG_MAX_RANK], offset[2];
} flat_walk;

/* The walk at a flat position of the output. */
static inline flat_walk flat_start(const flat_view *v, int64_t position) {
  flat_walk w = {0};
  for (int d = 0; d < v->rank; d++) {
    w.at[d] = position % v->shape[d];
    position /= v->shape[d];
    for (int k = 0; k < 2; k++) w.offset[k] += w.at[d] * v->stride[d][k];
  }
  return w;
}

/* Elements to the end of the innermost dimension, `most` at most. */
static inline int64_t flat_run(const flat_view *v, const flat_walk *w, int64_t most) {
  int64_t left = v->shape[0] - w->at[0];
  return left < most ? left : most;
}

static inline void flat_advance(const flat_view *v, flat_walk *w, int64_t n) {
  w->at[0] += n;
  for (int k = 0; k < 2; k++) w->offset[k] += n * v->stride[0][k];
  for (int d = 0; d + 1 < v->rank && w->at[d] == v->shape[d]; d++) {
    for (int k = 0; k < 2; k++) w->offset[k] += v->stride[d + 1][k] - v->shape[d] * v->stride[d][k];
    w->at[d] = 0;
    w->at[d + 1]++;
  }
}

#endif
