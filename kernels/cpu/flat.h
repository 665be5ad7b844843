/* Two ways over the elements of a tensor: blocks of its flat array, which are the units of
 * elementwise ops, and an iterator that keeps the offsets in up to two inputs that broadcast. */
#ifndef TKG_CPU_FLAT_H
#define TKG_CPU_FLAT_H

#include "kernel.h"
#include "shared/shapes.h"

enum { FLAT_BLOCK = 1024 }; /* a multiple of 8: a unit begins at a whole byte of a bit mask */

static inline int64_t flat_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (tkg__count(node) + FLAT_BLOCK - 1) / FLAT_BLOCK;
}

/* The first element of a unit; the element count for units past the end. */
static inline int64_t flat_at(const tkg_call *c, int64_t unit) {
  int64_t count = tkg__count(c->node);
  return unit * FLAT_BLOCK < count ? unit * FLAT_BLOCK : count;
}

/* The number of elements before the first: those of rows that other ranks have. */
static inline int64_t flat_before(const tkg_call *c) {
  return c->node->first_row * tkg__cols(c->node);
}

/* Cost estimates of 1, 4 or 8 memory accesses per element; they decide how many threads an op gets.
 */
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

typedef struct flat_iterator {
  int64_t at[TKG_MAX_RANK], offset[2];
} flat_iterator;

/* The iterator at a flat position of the output. */
static inline flat_iterator flat_start(const tkg_view *v, int64_t position) {
  flat_iterator w = {0};
  for (int d = 0; d < v->rank; d++) {
    w.at[d] = position % v->shape[d];
    position /= v->shape[d];
    for (int k = 0; k < 2; k++) w.offset[k] += w.at[d] * v->stride[d][k];
  }
  return w;
}

/* The number of elements to the end of the innermost dimension, at most `most`. */
static inline int64_t flat_run(const tkg_view *v, const flat_iterator *w, int64_t most) {
  int64_t left = v->shape[0] - w->at[0];
  return left < most ? left : most;
}

static inline void flat_advance(const tkg_view *v, flat_iterator *w, int64_t n) {
  w->at[0] += n;
  for (int k = 0; k < 2; k++) w->offset[k] += n * v->stride[0][k];
  for (int d = 0; d + 1 < v->rank && w->at[d] == v->shape[d]; d++) {
    for (int k = 0; k < 2; k++) w->offset[k] += v->stride[d + 1][k] - v->shape[d] * v->stride[d][k];
    w->at[d] = 0;
    w->at[d + 1]++;
  }
}

#endif
