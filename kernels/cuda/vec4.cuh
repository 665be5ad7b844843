/* Four floats at a time: accesses of 16 bytes, the widest there are, and arithmetic that reads the
 * same for float and float4, so that one template serves rows that are aligned and rows that are
 * not. */
#ifndef TKG_CUDA_VEC4_H
#define TKG_CUDA_VEC4_H

#include "cuda.h"

/* ---- a unit of V neighbouring elements as an array ---- */

static __device__ __forceinline__ void load_unit(float (&v)[1], const float *from) { v[0] = *from; }
static __device__ __forceinline__ void load_unit(float (&v)[4], const float *from) {
  const float4 q = *reinterpret_cast<const float4 *>(from);
  v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}
static __device__ __forceinline__ void store_unit(const float (&v)[1], float *to) { *to = v[0]; }
static __device__ __forceinline__ void store_unit(const float (&v)[4], float *to) {
  *reinterpret_cast<float4 *>(to) = make_float4(v[0], v[1], v[2], v[3]);
}

/* Row r, not negative, of rows of `cols` units: one multiplication of 32 bits, whose product has
 * 64. */
template <class T> static __device__ __forceinline__ T *tkg_row_at(T *rows, int32_t r, int cols) {
  return rows + (uint64_t)(uint32_t)r * (uint32_t)cols;
}

/* ---- arithmetic on float or float4 ---- */

static __device__ __forceinline__ void vec4_clear(float *v) { *v = 0; }
static __device__ __forceinline__ void vec4_clear(float4 *v) { *v = make_float4(0, 0, 0, 0); }

static __device__ __forceinline__ float vec4_scale(float w, float x) { return w * x; }
static __device__ __forceinline__ float4 vec4_scale(float w, float4 x) {
  return make_float4(w * x.x, w * x.y, w * x.z, w * x.w);
}

static __device__ __forceinline__ float vec4_add(float a, float b) { return a + b; }
static __device__ __forceinline__ float4 vec4_add(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

static __device__ __forceinline__ float vec4_mul(float a, float b) { return a * b; }
static __device__ __forceinline__ float4 vec4_mul(float4 a, float4 b) {
  return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

/* ---- element j of x, or of `half` unless it is NULL: numbers of 16 bits ---- */

static __device__ __forceinline__ float vec4_either(const float *x, const uint16_t *half,
                                                    int64_t j) {
  return half ? tkg__bf16_value(half[j]) : x[j];
}
static __device__ __forceinline__ float4 vec4_either(const float4 *x, const uint16_t *half,
                                                     int64_t j) {
  if (!half) return x[j];
  const uint2 two = reinterpret_cast<const uint2 *>(half)[j];
  return make_float4(v_float(two.x << 16), v_float(two.x & 0xffff0000u), v_float(two.y << 16),
                     v_float(two.y & 0xffff0000u));
}

/* The sum of the products. */
static __device__ __forceinline__ float vec4_dot(float a, float b) { return a * b; }
static __device__ __forceinline__ float vec4_dot(float4 a, float4 b) {
  return (a.x * b.x + a.z * b.z) + (a.y * b.y + a.w * b.w);
}

#endif
