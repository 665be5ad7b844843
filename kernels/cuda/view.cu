#include "view.h"

/* Extent of an input in the output's dimension d. */
static int64_t extent_of(const tkg_node *in, const tkg_node *out, int d) {
  const int own = d - (out->rank - in->rank);
  return own < 0 ? 1 : in->shape[own];
}

/* Appends a dimension, or lets the last one grow by it. */
static void append(tkg_view *v, int64_t extent, const int64_t stride[2]) {
  const int last = v->rank - 1;
  const bool merges = last >= 0 && stride[0] == v->stride[last][0] * v->shape[last] &&
                      stride[1] == v->stride[last][1] * v->shape[last];
  if (merges) {
    v->shape[last] *= extent;
    return;
  }
  v->shape[v->rank] = extent;
  v->stride[v->rank][0] = stride[0];
  v->stride[v->rank][1] = stride[1];
  v->rank++;
}

tkg_view tkg__view(const tkg_node *out, const tkg_node *a, const tkg_node *b) {
  tkg_view v = {};
  int64_t size[2] = {1, 1};
  for (int d = out->rank - 1; d >= 0; d--) {
    if (out->shape[d] == 1) continue;
    const int64_t extent[2] = {extent_of(a, out, d), extent_of(b, out, d)};
    const int64_t stride[2] = {extent[0] == 1 ? 0 : size[0], extent[1] == 1 ? 0 : size[1]};
    append(&v, out->shape[d], stride);
    size[0] *= extent[0];
    size[1] *= extent[1];
  }
  const int64_t one[2] = {1, 1};
  if (v.rank == 0) append(&v, 1, one);
  return v;
}
