/* The families of ops: X(family) for each. A backend has one file of kernels per family, and in it
 * a table with one entry per op. */
#ifndef TKG_FAMILIES_H
#define TKG_FAMILIES_H

/* clang-format off */
#define TKG_FAMILIES(X)                                                                            \
  X(elementwise) X(reduce) X(softmax) X(normalize) X(optim) X(adam_blocks) X(matmul) X(contrast)   \
  X(grouped) X(layout) X(top_k) X(gather) X(scatter) X(neighbor_sum) X(aggregate) X(aggregate_max) \
  X(sddmm) X(relation) X(edge_softmax) X(edge_list) X(random) X(sample) X(saved)
/* clang-format on */

#endif
