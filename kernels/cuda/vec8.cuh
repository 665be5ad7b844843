/* Eight neighbouring floats of a row: the elements that one Philox block has noise for, and two
 * accesses of 16 bytes. */
#ifndef TKG_CUDA_VEC8_H
#define TKG_CUDA_VEC8_H

#include "cuda.h"

enum { VEC8 = 8 };

/* Both: with `whole`, x is aligned to 16 bytes and all eight elements exist; otherwise the first
 * `count` exist, and loads give 0 for the others. */
static __device__ __forceinline__ void load_vec8(const float *x, bool whole, int count,
                                                 float v[VEC8]) {
  if (whole) {
    const float4 a = reinterpret_cast<const float4 *>(x)[0];
    const float4 b = reinterpret_cast<const float4 *>(x)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    return;
  }
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] = k < count ? x[k] : 0.0F;
}

static __device__ __forceinline__ void store_vec8(float *x, bool whole, int count,
                                                  const float v[VEC8]) {
  if (whole) {
    reinterpret_cast<float4 *>(x)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(x)[1] = make_float4(v[4], v[5], v[6], v[7]);
    return;
  }
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (k < count) x[k] = v[k];
}

#endif
