/* Broadcasting in kernels (shared/shapes.h has the view that the host makes). */
#ifndef TKG_CUDA_VIEW_H
#define TKG_CUDA_VIEW_H

#include "cuda.h"

/* Computes where the elements of both inputs lie that belong to flat position `at` of the output.
 * Index is uint32_t where the count allows: a division of 64 bits costs several times as much. */
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
