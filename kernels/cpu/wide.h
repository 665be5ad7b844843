/* One vector register of floats, read from any address, and dot products of rows.
 *
 * Compilers do not reliably keep an array of partial sums in registers; a vector type leaves them
 * no choice. Sums have sixteen lanes on every instruction set and are folded in halves, so the bits
 * do not depend on the width of a register. */
#ifndef TKG_CPU_WIDE_H
#define TKG_CPU_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/bf16.h"
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef float wide __attribute__((vector_size(4 * WIDTH)));
typedef float wide_loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef uint32_t wide_bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t wide_halves __attribute__((vector_size(2 * WIDTH), aligned(2), may_alias));
typedef float wide_vec4 __attribute__((vector_size(16), aligned(4), may_alias));

static inline wide wide_load(const float *p) { return *(const wide_loose *)p; }
/* Of numbers of 16 bits (shared/bf16.h). */
static inline wide wide_load_halves(const uint16_t *p) {
  return (wide)(__builtin_convertvector(*(const wide_halves *)p, wide_bits) << 16);
}
static inline void wide_store(float *p, wide v) { *(wide_loose *)p = v; }

/* The sum of sixteen lanes: halves are added until one lane is left. */
static inline float wide_fold(const float lane[16]) {
  const wide_vec4 *v = (const wide_vec4 *)lane;
  const wide_vec4 s = (v[0] + v[2]) + (v[1] + v[3]);
  return (s[0] + s[2]) + (s[1] + s[3]);
}

/* Of floats, or of numbers of 16 bits if `half`, which callers know. */
TKG_INLINE wide wide_load_either(const void *p, int64_t j, bool half) {
  return half ? wide_load_halves((const uint16_t *)p + j) : wide_load((const float *)p + j);
}
TKG_INLINE float wide_element(const void *p, int64_t j, bool half) {
  return half ? tkg__bf16_value(((const uint16_t *)p)[j]) : ((const float *)p)[j];
}

/* The sum of a[i] (b[i] r[i]), or of a[i] b[i] where r is NULL, which callers know; b may have 16
 * bits. */
TKG_INLINE float wide_dot_of(const float *a, const void *b, const float *r, int64_t n, bool half) {
  enum { REGISTERS = 16 / WIDTH };
  wide s[REGISTERS] = {{0}};
  float lane[16];
  int64_t i = 0;
  if (n < 16) {
    float sum = 0;
    for (; i < n; i++) {
      const float x = wide_element(b, i, half);
      sum += a[i] * (r ? x * r[i] : x);
    }
    return sum;
  }
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < REGISTERS; k++) {
      const int64_t j = i + k * WIDTH;
      const wide right = wide_load_either(b, j, half);
      s[k] += wide_load(a + j) * (r ? right * wide_load(r + j) : right);
    }
  for (int k = 0; k < REGISTERS; k++) wide_store(lane + k * WIDTH, s[k]);
  for (int j = 0; i < n; i++, j++) {
    const float x = wide_element(b, i, half);
    lane[j] += a[i] * (r ? x * r[i] : x);
  }
  return wide_fold(lane);
}

/* ---- four dot products at a time: to fold one takes as long as to multiply a row of dozens ----
 */

/* wide_fold's first two steps: four lanes are left. */
TKG_INLINE wide_vec4 wide_fold_to_four(const wide s[16 / WIDTH]) {
#if defined(__AVX512F__)
  const __m512d all = (__m512d)s[0];
  const __m256 half = (__m256)_mm512_castpd512_pd256(all) + (__m256)_mm512_extractf64x4_pd(all, 1);
#elif defined(__AVX__)
  const __m256 half = (__m256)(s[0] + s[1]);
#endif
#if defined(__AVX__)
  return (wide_vec4)(_mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
#else
  return (wide_vec4)((s[0] + s[2]) + (s[1] + s[3]));
#endif
}

/* (s[0] + s[2]) + (s[1] + s[3]) of each of four. */
TKG_INLINE wide_vec4 wide_fold_four(const wide_vec4 s[4]) {
  const wide_vec4 a = s[0], b = s[1], c = s[2], d = s[3];
  const wide_vec4 ab = (wide_vec4){a[0], b[0], a[1], b[1]} + (wide_vec4){a[2], b[2], a[3], b[3]};
  const wide_vec4 cd = (wide_vec4){c[0], d[0], c[1], d[1]} + (wide_vec4){c[2], d[2], c[3], d[3]};
  return (wide_vec4){ab[0], ab[1], cd[0], cd[1]} + (wide_vec4){ab[2], ab[3], cd[2], cd[3]};
}

/* out[i] = a[i] . b[i] of n elements, a multiple of 16, as wide_dot_of has it. */
TKG_INLINE void wide_dots_of(const float *const a[4], const void *const b[4], int64_t n, bool half,
                             float *out) {
  enum { REGISTERS = 16 / WIDTH };
  wide s[4][REGISTERS] = {{{0}}};
  wide_vec4 four[4];
  for (int64_t i = 0; i < n; i += 16)
    for (int r = 0; r < 4; r++)
      for (int k = 0; k < REGISTERS; k++)
        s[r][k] += wide_load(a[r] + i + k * WIDTH) * wide_load_either(b[r], i + k * WIDTH, half);
  for (int r = 0; r < 4; r++) four[r] = wide_fold_to_four(s[r]);
  *(wide_vec4 *)out = wide_fold_four(four);
}

TKG_INLINE float wide_dot3(const float *a, const float *b, const float *r, int64_t n) {
  return wide_dot_of(a, b, r, n, false);
}

static inline float wide_dot(const float *a, const float *b, int64_t n) {
  return wide_dot3(a, b, NULL, n);
}

/* Calls a function that is inlined once for each of these numbers of columns, and for all others.
 */
#define EACH_COLUMNS(function, cols, ...)                                                          \
  do {                                                                                             \
    switch (cols) {                                                                                \
    case 16:                                                                                       \
      function(16, __VA_ARGS__);                                                                   \
      break;                                                                                       \
    case 32:                                                                                       \
      function(32, __VA_ARGS__);                                                                   \
      break;                                                                                       \
    case 64:                                                                                       \
      function(64, __VA_ARGS__);                                                                   \
      break;                                                                                       \
    default:                                                                                       \
      function(cols, __VA_ARGS__);                                                                 \
    }                                                                                              \
  } while (0)

#endif
