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

/* ---- sixteen rows of whole groups of sixteen columns, in registers ---- */

#if defined(__AVX512F__)
enum { RANGE_ROWS = 16 };

typedef struct range_pair {
  range_ints least, most;
} range_pair;

TKG_INLINE range_ints range_order(range_ints bits) { return bits ^ ((bits >> 31) & INT32_MAX); }

TKG_INLINE range_pair range_of_row(const float *x, int64_t cols) {
  const range_ints first = range_order((range_ints)wide_load(x));
  range_pair p = {first, first};
  for (int64_t c = RANGE; c < cols; c += RANGE) {
    const range_ints order = range_order((range_ints)wide_load(x + c));
    p = (range_pair){range_min(p.least, order), range_max(p.most, order)};
  }
  return p;
}

TKG_INLINE range_ints range_end(bool least, __m512i a, __m512i b) {
  return least ? range_min((range_ints)a, (range_ints)b) : range_max((range_ints)a, (range_ints)b);
}

/* Halves of a in the lower half, of b in the upper one. */
TKG_INLINE range_ints range_halves(bool least, range_ints a, range_ints b) {
  return range_end(least, _mm512_shuffle_i64x2((__m512i)a, (__m512i)b, 0x44),
                   _mm512_shuffle_i64x2((__m512i)a, (__m512i)b, 0xEE));
}

/* The ends of sixteen rows, as bits of floats, from what range_halves gives of rows i and i + 8: a
 * register then holds four numbers of four rows, two of eight, one of sixteen. */
TKG_INLINE range_ints range_of_halves(bool least, const range_ints v[8]) {
  range_ints four[4], two[2];
  for (int i = 0; i < 4; i++)
    four[i] = range_end(least, _mm512_shuffle_i64x2((__m512i)v[i], (__m512i)v[i + 4], 0x88),
                        _mm512_shuffle_i64x2((__m512i)v[i], (__m512i)v[i + 4], 0xDD));
  for (int i = 0; i < 2; i++)
    two[i] = range_end(least, _mm512_unpacklo_epi64((__m512i)four[i], (__m512i)four[i + 2]),
                       _mm512_unpackhi_epi64((__m512i)four[i], (__m512i)four[i + 2]));
  const __m512 a = (__m512)two[0], b = (__m512)two[1];
  const range_ints one = range_end(least, (__m512i)_mm512_shuffle_ps(a, b, 0x88),
                                   (__m512i)_mm512_shuffle_ps(a, b, 0xDD));
  const __m512i place = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
  return range_order((range_ints)_mm512_permutexvar_epi32(place, (__m512i)one));
}

/* Writes the ends of sixteen rows, of which the first `rows` follow each other from x on; the
 * others are the last of these again. */
TKG_INLINE void find_ranges(const float *x, int64_t rows, int64_t cols, float *min, float *max) {
  range_ints least[8], most[8];
  for (int64_t i = 0; i < 8; i++) {
    const int64_t j = i + 8;
    const range_pair a = range_of_row(x + (i < rows ? i : rows - 1) * cols, cols);
    const range_pair b = range_of_row(x + (j < rows ? j : rows - 1) * cols, cols);
    least[i] = range_halves(true, a.least, b.least);
    most[i] = range_halves(false, a.most, b.most);
  }
  wide_store(min, (wide)range_of_halves(true, least));
  wide_store(max, (wide)range_of_halves(false, most));
}
#else
enum { RANGE_ROWS = 0 }; /* registers are too few */

// NOLINTNEXTLINE(readability-non-const-parameter): as where it writes
TKG_INLINE void find_ranges(const float *x, int64_t rows, int64_t cols, float *min, float *max) {
  (void)x, (void)rows, (void)cols, (void)min, (void)max;
}
#endif

#endif
