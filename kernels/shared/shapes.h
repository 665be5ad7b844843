/* Shapes as the host code of both backends takes them apart. */
#ifndef TKG_SHAPES_H
#define TKG_SHAPES_H

#include <string.h>

#include "base/op.h"
#include "shared/codec.h"

/* The product of the extents from dimension `dim` on: so many elements lie together for each index
 * of the dimensions before it. Dimension 1: the elements of a row, also of a table of rank 1. */
static inline int64_t tkg__run_length(const tkg_node *n, int64_t dim) {
  int64_t length = 1;
  for (int64_t d = dim; d < n->rank; d++) length *= n->shape[d];
  return length;
}

/* Elements of a run before the first one that narrow takes, or that pad fills. */
static inline int64_t tkg__skipped(const tkg_node *node) {
  return node->i[1] * tkg__run_length(node, node->i[0] + 1);
}

/* The byte at which the signs of a sign mask begin, or those of codes that have some (codec.h). */
static inline int64_t tkg__signs_at(const tkg_node *n) {
  const int64_t cols = n->rank ? n->shape[n->rank - 1] : 1;
  const int64_t rows = cols ? tkg__run_length(n, 0) / cols : 0;
  return n->dtype == TKG_CODES ? tkg__codec_bytes((int)n->i[0], rows, cols) : 0;
}

/* An output's shape with the strides of two inputs that broadcast to it, innermost dimension first.
 * A stride of 0 repeats. Dimensions whose strides agree for both inputs are merged: equal shapes
 * become one dimension, a row or a column vector two. */
typedef struct tkg_view {
  int rank;
  int64_t shape[TKG_MAX_RANK], stride[TKG_MAX_RANK][2];
} tkg_view;

/* The extent of an input in the output's dimension d, counted from the last. */
static inline int64_t tkg__extent(const tkg_node *in, const tkg_node *out, int d) {
  const int own = d - (out->rank - in->rank);
  return own < 0 ? 1 : in->shape[own];
}

static inline tkg_view tkg__view(const tkg_node *out, const tkg_node *a, const tkg_node *b) {
  tkg_view v;
  int64_t size[2] = {1, 1};
  memset(&v, 0, sizeof v);
  for (int d = out->rank - 1; d >= 0; d--) {
    const int64_t extent[2] = {tkg__extent(a, out, d), tkg__extent(b, out, d)};
    int64_t stride[2];
    if (out->shape[d] == 1) continue;
    bool merges = v.rank > 0;
    for (int k = 0; k < 2; k++) {
      stride[k] = extent[k] == 1 ? 0 : size[k];
      size[k] *= extent[k];
      merges = merges && stride[k] == v.stride[v.rank - 1][k] * v.shape[v.rank - 1];
    }
    if (!merges) {
      memcpy(v.stride[v.rank], stride, sizeof stride);
      v.shape[v.rank++] = 1;
    }
    v.shape[v.rank - 1] *= out->shape[d];
  }
  if (v.rank == 0) v.rank = 1, v.shape[0] = 1, v.stride[0][0] = v.stride[0][1] = 1;
  return v;
}

#endif
