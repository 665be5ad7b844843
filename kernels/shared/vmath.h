/* Elementary functions for inner loops: no calls, no branches, so that `#pragma omp simd` turns
 * them into vector code, and no contraction, so that each instruction set gives the same bits.
 * Within 2.5 ulp of the exact value where that is a normal number; NaN in, NaN out. (gcc needs
 * -fno-trapping-math to see that both sides of a `?:` may be computed; that changes no value.)
 *
 * Polynomials are minimax fits (Remez exchange) made for this file; their intervals and errors
 * stand beside them. Range reduction follows Muller, Elementary Functions, 3rd ed., ch. 11. */
#ifndef TKG_VMATH_H
#define TKG_VMATH_H

#include <stdint.h>
#include <string.h>

#define TKG_INLINE static inline __attribute__((always_inline))

TKG_INLINE uint32_t v_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

TKG_INLINE float v_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

TKG_INLINE float v_abs(float x) { return v_float(v_bits(x) & 0x7fffffffu); }

/* ln 2 in two parts; the first has so few bits that its product with an exponent is exact. */
#define V_LN2_HIGH 0x1.62e4p-1F
#define V_LN2_LOW 0x1.7f7d1cp-20F

/* e^x = 2^n e^r with |r| <= ln(2) / 2; e^r = 1 + r + r^2 P(r), relative error 2^-28. The scale is
 * applied in two steps: results below the normal range are rounded to subnormal numbers. */
TKG_INLINE float v_exp(float x) {
  const float shift = 0x1.8p23F;
  x = 89.0F < x ? 89.0F : x;
  x = -104.0F > x ? -104.0F : x;
  float shifted = x * 0x1.715476p0F + shift, n = shifted - shift;
  float r = (x - n * V_LN2_HIGH) - n * V_LN2_LOW;
  float p = 0x1.6a1a84p-10F;
  p = p * r + 0x1.123fc6p-7F;
  p = p * r + 0x1.555916p-5F;
  p = p * r + 0x1.55548ap-3F;
  p = p * r + 0x1.fffffcp-2F;
  p = (p * (r * r) + r) + 1.0F;
  int32_t e = (int32_t)(v_bits(shifted) - 0x4b400000u), half = e >> 1;
  float first = v_float((uint32_t)(half + 127) << 23);
  float second = v_float((uint32_t)(e - half + 127) << 23);
  return p * first * second;
}

/* Logarithm of a positive normal number: x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2);
 * log(1 + f) = f - f^2/2 + f^3 P(f), relative error 2^-27. `exponent` is added to k. */
TKG_INLINE float v_log_normal(float x, float exponent) {
  uint32_t u = v_bits(x);
  int32_t k = (int32_t)(u - 0x3f3504f3u) >> 23;
  float f = v_float(u - ((uint32_t)k << 23)) - 1.0F, n = (float)k + exponent;
  float p = -0x1.38b488p-4F;
  p = p * f + 0x1.055b24p-3F;
  p = p * f - 0x1.0d855p-3F;
  p = p * f + 0x1.22da28p-3F;
  p = p * f - 0x1.547244p-3F;
  p = p * f + 0x1.99a008p-3F;
  p = p * f - 0x1.000226p-2F;
  p = p * f + 0x1.555554p-2F;
  float square = f * f, tail = n * V_LN2_LOW + square * (f * p);
  return (tail - 0.5F * square) + f + n * V_LN2_HIGH;
}

/* log 0 = -inf, NaN below 0. */
TKG_INLINE float v_log(float x) {
  const float infinity = __builtin_inff();
  float up = x < 0x1p-126F ? 0x1p23F : 1.0F, exponent = x < 0x1p-126F ? -23.0F : 0.0F;
  float y = v_log_normal(x * up, exponent);
  y = x < infinity ? y : x;
  float outside = x == 0.0F ? -infinity : __builtin_nanf("");
  return x > 0.0F ? y : outside;
}

/* log(1 + u) for 0 <= u <= 1; the rounding error of 1 + u is added back. */
TKG_INLINE float v_log1p(float u) {
  float w = 1.0F + u;
  return v_log_normal(w, 0.0F) + (u - (w - 1.0F)) / w;
}

TKG_INLINE float v_sigmoid(float x) { return 1.0F / (1.0F + v_exp(-x)); }

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
TKG_INLINE float v_softplus(float x) { return (x > 0.0F ? x : 0.0F) + v_log1p(v_exp(-v_abs(x))); }

/* x + x^3 P(x^2) below 0.625 (error 2^-27), 1 - 2 / (e^2|x| + 1) with x's sign above. */
TKG_INLINE float v_tanh(float x) {
  float a = v_abs(x), z = x * x;
  float p = -0x1.72fc4p-8F;
  p = p * z + 0x1.518b14p-6F;
  p = p * z - 0x1.b8265cp-5F;
  p = p * z + 0x1.11068ep-3F;
  p = p * z - 0x1.55553p-2F;
  float small = x + x * (z * p);
  float large = 1.0F - 2.0F / (v_exp(2.0F * a) + 1.0F);
  large = v_float(v_bits(large) | (v_bits(x) & 0x80000000u));
  return a < 0.625F ? small : large;
}

#endif
