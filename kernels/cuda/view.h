/* Broadcasting: an output and one or two inputs whose dimensions are equal or 1, counted from the
 * last. Dimensions that all inputs run through alike are merged, so that equal shapes become one
 * dimension and a row or a column vector two. */
#ifndef TKG_CUDA_VIEW_H
#define TKG_CUDA_VIEW_H

#include "cuda.h"

/* Innermost dimension first. A stride of 0 repeats. */
typedef struct tkg_view {
  int rank;
  int64_t shape[TKG_MAX_RANK], stride[TKG_MAX_RANK][2];
} tkg_view;

tkg_view tkg__view(const tkg_node *out, const tkg_node *a, const tkg_node *b);

/* Where in both inputs the element lies that goes to flat position `at` of the output. Index is
 * uint32_t where the count allows: divisions of 64 bits cost several times as much. */
template <class Index>
static __device__ __forceinline__ void tkg_view_at(const tkg_view &v, Index at, int64_t offset[2]) {
  offset[0] = offset[1] = 0;
  for (int d = 0; d < TKG_MAX_RANK; d++) {
    if (d >= v.rank) break;
    const Index size = (Index)v.shape[d], next = d + 1 < v.rank ? at / size : 0;
    const int64_t here = (int64_t)(at - next * size);
    offset[0] += here * v.stride[d][0];
    offset[1] += here * v.stride[d][1];
    at = next;
  }
}

#endif
