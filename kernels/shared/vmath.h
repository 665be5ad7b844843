/* Elementary functions for inner loops: no calls, no branches, so that `#pragma omp simd` turns
 * them into vector code, and no contraction, so that each instruction set gives the same bits.
 * Within 2.5 ulp of the exact value where that is a normal number; NaN in, NaN out. (gcc needs
 * -fno-trapping-math to see that both sides of a `?:` may be computed; that changes no value.)
 *
 * Polynomials are minimax fits (Remez exchange) made for this file; their intervals and errors
 * stand beside them. Range reduction follows Muller, Elementary Functions, 3rd ed., ch. 11. */
#ifndef TKG_VMATH_H
#define TKG_VMATH_H

#include <math.h>
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

/* log(1 + u) for -1/2 <= u <= 1; the rounding error of 1 + u is added back. */
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

/* ---- angles and powers: a double holds what float loses before the result is rounded ---- */

TKG_INLINE uint64_t v_bits_of_double(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

TKG_INLINE double v_double(uint64_t u) {
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* A double whose last bits are the nearest whole number to x, |x| < 2^51; less V_SHIFT it is that
 * number. */
#define V_SHIFT 0x1.8p52
TKG_INLINE double v_shifted(double x) { return x + V_SHIFT; }

/* The sine of r and `quarters` quarter turns, |r| <= pi / 4. sin r = r + r^3 P(r^2), error 2^-28;
 * cos r = 1 - r^2 / 2 + r^4 Q(r^2), error 2^-33. */
TKG_INLINE float v_turned_sin(float r, uint32_t quarters) {
  const float z = r * r;
  float p = -0x1.9953fep-13F, q = 0x1.99e80cp-16F;
  p = p * z + 0x1.110778p-7F;
  p = p * z - 0x1.555546p-3F;
  q = q * z - 0x1.6c0c28p-10F;
  q = q * z + 0x1.55554ap-5F;
  const float sine = r + r * (z * p), cosine = (z * z * q - 0.5F * z) + 1.0F;
  const float y = quarters & 1u ? cosine : sine;
  return v_float(v_bits(y) ^ (quarters & 2u) << 30);
}

/* The sine of x and `quarters` quarter turns. Of pi / 2 the first 25 bits are taken off first:
 * their product with the number of quarters is exact. Beyond 2^26, where neighbouring floats are
 * more than a turn apart, it is that of 2^26; NaN for infinities. */
TKG_INLINE float v_sin_from(float x, uint32_t quarters) {
  const float none = x - x; /* 0, or NaN */
  x = x > 0x1p26F ? 0x1p26F : x;
  x = x < -0x1p26F ? -0x1p26F : x;
  const double shifted = v_shifted((double)x * 0x1.45f306dc9c883p-1), n = shifted - V_SHIFT;
  const float r = (float)(((double)x - n * 0x1.921fb5p0) - n * 0x1.110b4611a6263p-26);
  const float y = v_turned_sin(r, (uint32_t)v_bits_of_double(shifted) + quarters);
  return none == 0.0F ? y : none;
}

TKG_INLINE float v_sin(float x) { return v_sin_from(x, 0); }
TKG_INLINE float v_cos(float x) { return v_sin_from(x, 1); }

/* x + x^3 P(x^2) up to 1/2 (error 2^-27), pi / 2 - 2 asin(sqrt((1 - |x|) / 2)) above; NaN beyond 1.
 */
TKG_INLINE float v_asin(float x) {
  const float a = v_abs(x), half = 0.5F * (1.0F - a);
  const float z = a > 0.5F ? half : a * a, s = a > 0.5F ? sqrtf(half) : a;
  float p = 0x1.595c92p-5F;
  p = p * z + 0x1.8c3e28p-6F;
  p = p * z + 0x1.747bbap-5F;
  p = p * z + 0x1.330204p-4F;
  p = p * z + 0x1.5555c8p-3F;
  const float y = s + s * (z * p), turned = 0x1.921fb6p0F - 2.0F * y;
  return v_float(v_bits(a > 0.5F ? turned : y) | (v_bits(x) & 0x80000000u));
}

/* Logarithm to base 2 of a positive normal double: x = 2^k m, sqrt(1/2) <= m < sqrt(2), and with
 * s = (m - 1) / (m + 1) log2(m) = s P(s^2), relative error 2^-45. */
TKG_INLINE double v_log2_double(double x) {
  const uint64_t u = v_bits_of_double(x), biased = u + 0x00195f619980c433u;
  const int32_t k = (int32_t)(biased >> 52) - 1024; /* 1024 << 52 less the bits of sqrt(1/2) */
  const double m = v_double(u - ((uint64_t)(int64_t)k << 52)), s = (m - 1.0) / (m + 1.0), z = s * s;
  double p = 0x1.21b0efd6dafdcp-2;
  p = p * z + 0x1.479555c5839efp-2;
  p = p * z + 0x1.a61a2ecd15e79p-2;
  p = p * z + 0x1.2776c29339169p-1;
  p = p * z + 0x1.ec709dc53c6e6p-1;
  p = p * z + 0x1.71547652b8251p1;
  return (double)k + s * p;
}

/* 2^t = 2^n (1 + f P(f)), |f| <= 1/2, relative error 2^-34; of float's range and somewhat beyond.
 */
TKG_INLINE double v_exp2_double(double t) {
  t = t > 200.0 ? 200.0 : t;
  t = t < -200.0 ? -200.0 : t;
  const double shifted = v_shifted(t), f = t - (shifted - V_SHIFT);
  double p = 0x1.fdea67d1e47a5p-17;
  p = p * f + 0x1.445c9a4f332c0p-13;
  p = p * f + 0x1.5d8a8306085f1p-10;
  p = p * f + 0x1.3b29f383c227dp-7;
  p = p * f + 0x1.c6b08ac27d45ep-5;
  p = p * f + 0x1.ebfbe0779fed7p-3;
  p = p * f + 0x1.62e42ff0e1023p-1;
  return (1.0 + f * p) * v_double((v_bits_of_double(shifted) + 1023u) << 52);
}

TKG_INLINE double v_nearest_whole(double x) { return v_shifted(x) - V_SHIFT; }

/* x to the power of p + rest, as C's pow has it: 1 for a power of 0, NaN for a negative x unless
 * the power is whole. `rest` is what p lacks as a float. */
TKG_INLINE float v_pow(float x, float p, float rest) {
  const double power = (double)p + (double)rest;
  const int whole = v_nearest_whole(power) == power;
  const int even = v_nearest_whole(0.5 * power) == 0.5 * power;
  const float a = v_abs(x), infinity = __builtin_inff();
  float y = (float)v_exp2_double(power * v_log2_double((double)a));
  const float edge = (a == 0.0F) == (power > 0.0) ? 0.0F : infinity;
  y = a == 0.0F || a == infinity ? edge : y;
  const uint32_t sign = whole && !even ? v_bits(x) & 0x80000000u : 0u;
  y = v_float(v_bits(y) | sign);
  y = x < 0.0F && !whole ? __builtin_nanf("") : y;
  y = x == x ? y : x;
  return power == 0.0 ? 1.0F : y;
}

#endif
