/* Arithmetic that reads the same for an element and for four of them at once. */
#ifndef TKG_CUDA_VEC4_H
#define TKG_CUDA_VEC4_H

#include "cuda.h"

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

/* The part of a dot product. */
static __device__ __forceinline__ float vec4_dot(float a, float b) { return a * b; }
static __device__ __forceinline__ float vec4_dot(float4 a, float4 b) {
  return (a.x * b.x + a.z * b.z) + (a.y * b.y + a.w * b.w);
}

#endif
