/* The smallest and the largest element of rows, as integers of tkg__float_order.
 *
 * Rows are short, and folding a register to one number takes as long as a row of some dozens: a row
 * leaves four numbers of each kind, which are folded for many rows at once. */
#ifndef TKG_CPU_ROW_RANGE_H
#define TKG_CPU_ROW_RANGE_H

#include <string.h>

#include "shared/codec.h"
#include "wide.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { RANGE = 16, RANGE_REGISTERS = RANGE / WIDTH, RANGE_ENDS = 4 };

typedef int32_t range_ints __attribute__((vector_size(4 * WIDTH)));
typedef int32_t range_four __attribute__((vector_size(16)));

/* a where the mask's lane is -1, else b. */
#define RANGE_PICK(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))

TKG_INLINE range_four range_min4(range_four a, range_four b) {
#if defined(__SSE4_1__)
  return (range_four)_mm_min_epi32((__m128i)a, (__m128i)b);
#else
  return RANGE_PICK(a < b, a, b);
#endif
}
TKG_INLINE range_four range_max4(range_four a, range_four b) {
#if defined(__SSE4_1__)
  return (range_four)_mm_max_epi32((__m128i)a, (__m128i)b);
#else
  return RANGE_PICK(a > b, a, b);
#endif
}

#if defined(__AVX512F__)
TKG_INLINE range_ints range_min(range_ints a, range_ints b) {
  return (range_ints)_mm512_min_epi32((__m512i)a, (__m512i)b);
}
TKG_INLINE range_ints range_max(range_ints a, range_ints b) {
  return (range_ints)_mm512_max_epi32((__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
TKG_INLINE range_ints range_min(range_ints a, range_ints b) {
  return (range_ints)_mm256_min_epi32((__m256i)a, (__m256i)b);
}
TKG_INLINE range_ints range_max(range_ints a, range_ints b) {
  return (range_ints)_mm256_max_epi32((__m256i)a, (__m256i)b);
}
#else
TKG_INLINE range_ints range_min(range_ints a, range_ints b) { return range_min4(a, b); }
TKG_INLINE range_ints range_max(range_ints a, range_ints b) { return range_max4(a, b); }
#endif

/* Writes RANGE_ENDS numbers each, of which the least and the largest are the row's ends. */
TKG_INLINE void find_range(const float *x, int64_t cols, int32_t *low, int32_t *high) {
  range_ints least[RANGE_REGISTERS], most[RANGE_REGISTERS];
  range_four l[RANGE / 4], m[RANGE / 4];
  int64_t i = 0;
  for (int k = 0; k < RANGE_REGISTERS; k++) {
    least[k] = (range_ints){0} + INT32_MAX;
    most[k] = (range_ints){0} + INT32_MIN;
  }
  for (; i + RANGE <= cols; i += RANGE)
    for (int k = 0; k < RANGE_REGISTERS; k++) {
      const range_ints bits = (range_ints)wide_load(x + i + k * WIDTH);
      const range_ints order = bits ^ ((bits >> 31) & INT32_MAX);
      least[k] = range_min(least[k], order);
      most[k] = range_max(most[k], order);
    }
  memcpy(l, least, sizeof l);
  memcpy(m, most, sizeof m);
  l[0] = range_min4(range_min4(l[0], l[1]), range_min4(l[2], l[3]));
  m[0] = range_max4(range_max4(m[0], m[1]), range_max4(m[2], m[3]));
  memcpy(low, l, sizeof *l);
  memcpy(high, m, sizeof *m);
  for (; i < cols; i++) {
    const int32_t order = tkg__float_order((int32_t)v_bits(x[i]));
    low[0] = order < low[0] ? order : low[0];
    high[0] = order > high[0] ? order : high[0];
  }
}

TKG_INLINE float range_least(const int32_t x[RANGE_ENDS]) {
  const int32_t a = x[0] < x[1] ? x[0] : x[1], b = x[2] < x[3] ? x[2] : x[3];
  return v_float((uint32_t)tkg__float_order(a < b ? a : b));
}
TKG_INLINE float range_most(const int32_t x[RANGE_ENDS]) {
  const int32_t a = x[0] > x[1] ? x[0] : x[1], b = x[2] > x[3] ? x[2] : x[3];
  return v_float((uint32_t)tkg__float_order(a > b ? a : b));
}

#endif
