/* Decoding rows of whole groups of sixteen columns, a register of columns at a time: from packed
 * codes to floats without a byte per code in between. The numbers are those of the loops in
 * codec.c, bit for bit. Affine noise or none: a number per column and a word per row. */
#ifndef TKG_CPU_CODE_REGISTERS_H
#define TKG_CPU_CODE_REGISTERS_H

#include "code_lanes.h"
#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

/* Whether rows of so many columns are decoded here: registers shift each lane by its own number. */
TKG_INLINE bool in_registers(int64_t cols) { return WIDTH >= 8 && cols % CODE_GROUP == 0; }

/* What decoding takes beside codes: numbers of columns, times 2^16; by row the bits of zero and of
 * the 2^17th of a step, and what makes numbers of elements from those of columns (code_noise). */
typedef struct code_rows {
  const uint32_t *columns, *zero, *unit, *factor, *add;
  uint32_t half; /* code_levels_of */
} code_rows;

/* Rows 0..rows-1, which follow each other; `cols` and `bits` are constants where this is inlined.
 */
TKG_INLINE void decode_registers(const code_rows *s, int bits, int64_t rows, int64_t cols,
                                 const uint8_t *restrict packed, float *restrict x) {
  const code_levels levels = code_levels_of(bits, s->half);
  const uint32_t *restrict columns = s->columns;
  for (int64_t r = 0; r < rows; r++, x += cols) {
    const words none = {0}, factor = none + s->factor[r], add = none + s->add[r];
    const wide zero = (wide)(none + s->zero[r]), unit = (wide)(none + s->unit[r]);
    for (int64_t c = 0; c < cols; c += CODE_GROUP, packed += CODE_GROUP / 8 * bits)
      for (int first = 0; first < CODE_GROUP; first += WIDTH) {
        const words column = words_load(columns + c + first),
                    codes = code_load(packed, bits, first);
        const words noise = (words)((halves)column * (halves)factor) + add;
        wide_store(x + c + first, zero + code_value(codes, bits, &levels, noise) * unit);
      }
  }
}

/* ---- encoding: 64 elements at a time, of one row or of several ---- */

enum { AT_ONCE = 64 };

/* What that takes beside elements: numbers of columns; by row zero, 2^16 through the step, and what
 * makes numbers of elements from those of columns. */
typedef struct quantized_rows {
  const uint16_t *columns, *factor, *add;
  const float *zero, *scale;
  int32_t top;
} quantized_rows;

#if defined(__AVX512BW__)
/* Whether rows of so many columns are encoded here. */
TKG_INLINE bool encoded_at_once(int64_t cols) {
  return cols > 0 && (cols % AT_ONCE == 0 || (AT_ONCE % cols == 0 && cols % CODE_GROUP == 0));
}

/* Sixteen columns of row r: the formula of `quantized` in codec.c before its shift. A row whose
 * zero is NaN gives what is below zero. */
TKG_INLINE __m512i sums_of(const quantized_rows *s, int64_t r, int64_t c, const float *x) {
  const wide v = (wide_load(x) - s->zero[r]) * s->scale[r] + 0.5F;
  const __m512i q = _mm512_min_epi32(_mm512_cvttps_epi32((__m512)v), _mm512_set1_epi32(s->top));
  const __m256i column = _mm256_loadu_si256((const void *)(s->columns + c));
  const __m256i number =
      _mm256_add_epi16(_mm256_mullo_epi16(column, _mm256_set1_epi16((short)s->factor[r])),
                       _mm256_set1_epi16((short)s->add[r]));
  return _mm512_add_epi32(q, _mm512_cvtepu16_epi32(number));
}

/* The upper halves of 64 sums, as bytes; 0 where they are below zero. */
TKG_INLINE __m512i bytes_of(const __m512i sums[4]) {
  static const uint16_t odd[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                   33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i upper = _mm512_loadu_si512(odd);
  const __m512i a = _mm512_permutex2var_epi16(sums[0], upper, sums[1]);
  const __m512i b = _mm512_permutex2var_epi16(sums[2], upper, sums[3]);
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                  _mm512_packus_epi16(a, b));
}

/* Packs 64 codes, a byte each. */
TKG_INLINE void pack_at_once(int bits, __m512i codes, uint8_t *packed) {
  if (bits == 8) _mm512_storeu_si512(packed, codes);
  if (bits == 1) {
    const uint64_t mask = _mm512_test_epi8_mask(codes, codes);
    memcpy(packed, &mask, sizeof mask);
  }
  if (bits != 4 && bits != 2) return;
  const __m512i two = _mm512_maddubs_epi16(codes, _mm512_set1_epi16((short)(256 << bits | 1)));
  if (bits == 4) {
    _mm256_storeu_si256((void *)packed, _mm512_cvtepi16_epi8(two));
  } else {
    const __m512i four = _mm512_madd_epi16(two, _mm512_set1_epi32(16 << 16 | 1));
    _mm_storeu_si128((void *)packed, _mm512_cvtepi32_epi8(four));
  }
}

/* Rows 0..rows-1, which follow each other and are whole multiples of AT_ONCE elements together;
 * `cols` and `bits` are constants where this is inlined. */
TKG_INLINE void encode_at_once(const quantized_rows *s, int bits, int64_t rows, int64_t cols,
                               const float *restrict x, uint8_t *restrict packed) {
  const int64_t span = cols < AT_ONCE ? cols : AT_ONCE, several = AT_ONCE / span;
  for (int64_t r = 0; r < rows; r += several)
    for (int64_t c = 0; c < cols; c += span, x += AT_ONCE, packed += AT_ONCE / 8 * bits) {
      __m512i sums[4];
      for (int k = 0; k < 4; k++) {
        const int64_t at = k * CODE_GROUP;
        sums[k] = sums_of(s, r + at / span, c + at % span, x + at);
      }
      pack_at_once(bits, bytes_of(sums), packed);
    }
}
#else
TKG_INLINE bool encoded_at_once(int64_t cols) { return (void)cols, false; }

// NOLINTBEGIN(readability-non-const-parameter): as where it writes
TKG_INLINE void encode_at_once(const quantized_rows *s, int bits, int64_t rows, int64_t cols,
                               const float *restrict x, uint8_t *restrict packed) {
  // NOLINTEND(readability-non-const-parameter)
  (void)s, (void)bits, (void)rows, (void)cols, (void)x, (void)packed;
}
#endif

#endif
