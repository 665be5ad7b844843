/* The codec: matrices of floats saved as 8, 4, 2 or 1 bits per element plus 4 bytes per row, so
 * that the decoded values are right on average. A row h with B = 2^bits - 1 is coded as
 *
 *   Z    = min h, rounded down to bf16
 *   step = (max h - Z) / B, rounded up to bf16 until Z + B step >= max h
 *   q    = round((h - Z) / step), one of 0..B;       h^ = Z + step q
 *
 * Both sides use the rounded pair (Z, step), so rounding it costs no bias. bf16, not fp16: no
 * finite activation overflows it. Rounding of q:
 *
 *   stochastic  up with probability frac; variance step^2 p (1 - p), p = frac
 *   dither      q = round(v + u), h^ = Z + step (q - u), u uniform in [-1/2, 1/2) and drawn again
 *               from the counter at decoding; variance step^2 / 12 whatever h is (Schuchman 1964).
 *               Affine unless said otherwise: made of two numbers per row and one per column, and
 *               as good as independent (METHOD section 3)
 *   nearest     no noise, but a bias
 *
 * TinyKG (Chen et al., RecSys 2022) and ActNN (Chen et al., ICML 2021) round stochastically.
 *
 * Special rows. A constant row whose value is a bf16 number has step 0 and comes back exactly; any
 * other is a row like others. A row with a NaN or an infinity, or whose range overflows a float,
 * decodes to NaN everywhere. Steps below 2^-100 are raised to it.
 *
 * Layout. A plane of codes, each row starting at a byte: element c of a row takes the bits from
 * (c bits) % 8 of byte c bits / 8, low bits first. Then, at the next multiple of 4 bytes, a plane
 * of pairs, Z and step, 2 bytes each, one pair per row. Padding bits and bytes are zero.
 *
 * Signs. Where a value is known not to be negative (the output of a ReLU), its codes may be
 * followed by a plane of signs: bit i % 8 of byte i / 8 is whether element i of the whole matrix is
 * above zero. Elements that are not decode to zero, to which dither would add noise.
 *
 * Noise. n is a number of 16 bits, a block of Philox 8 of them, low half of each word first. v is
 * rounded to 16 fractional bits, so q = (v 2^16 + n) >> 16 for all noise, with
 * u = (n + 1/2) / 2^16 - 1/2. For element (r, c) n is
 *
 *   affine       (a[c] m[r] + b[r]) mod 2^16; a[c] is number c % 8 of block c / 8, b[r] the high
 *                half of word r % 4 of block 2^63 + r / 4, and m[r] its low half, made odd:
 *                2 rows + cols numbers for the whole matrix
 *   independent  number c % 8 of block r * ceil(cols / 8) + c / 8: one number per element
 *
 * Stochastic rounding draws independent noise too. */
#ifndef TKG_CODEC_H
#define TKG_CODEC_H

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "vmath.h"

enum tkg_rounding {
  TKG_ROUND_DITHER = 0, /* affine */
  TKG_ROUND_STOCHASTIC = 1,
  TKG_ROUND_NEAREST = 2,
  TKG_ROUND_DITHER_INDEPENDENT = 3,
  TKG_ROUNDINGS
};

/* Whether decoding subtracts the noise. */
static inline int tkg__codec_dithers(int rounding) {
  return rounding == TKG_ROUND_DITHER || rounding == TKG_ROUND_DITHER_INDEPENDENT;
}

typedef struct tkg_codec {
  int bits; /* 8, 4, 2 or 1 */
  int rounding;
  uint64_t seed;
  uint32_t step, stream; /* the same at encoding and decoding */
  int64_t first_row; /* of a matrix whose rows are dealt to ranks, a multiple of 4: noise goes by
                        the rows of the whole */
} tkg_codec;

/* Bytes of a row of codes; of the plane of codes with its padding; of the whole packed matrix, at
 * the end of which signs begin. */
static inline int64_t tkg__codec_row_bytes(int bits, int64_t cols) {
  return cols / 8 * bits + (cols % 8 * bits + 7) / 8;
}
static inline int64_t tkg__codec_pair_offset(int bits, int64_t rows, int64_t cols) {
  return (rows * tkg__codec_row_bytes(bits, cols) + 3) / 4 * 4;
}
static inline int64_t tkg__codec_bytes(int bits, int64_t rows, int64_t cols) {
  return tkg__codec_pair_offset(bits, rows, cols) + 4 * rows;
}

/* The Philox block of independent noise of element (row, col): its number col % 8. */
static inline uint64_t tkg__codec_block(int64_t cols, int64_t row, int64_t col) {
  return (uint64_t)row * (uint64_t)((cols + 7) / 8) + (uint64_t)col / 8;
}

/* Affine noise: the blocks of a[col], its number col % 8, and of a row's m and b, its word row % 4;
 * and the noise of an element from both. The word 0 leaves numbers as they are. */
static inline uint64_t tkg__codec_col_block(int64_t col) { return (uint64_t)col / 8; }
static inline uint64_t tkg__codec_row_block(int64_t row) {
  return UINT64_C(1) << 63 | (uint64_t)row / 4;
}
static inline uint32_t tkg__codec_affine(uint32_t a, uint32_t word) {
  return (a * (word | 1) + (word >> 16)) & 0xFFFFu;
}

typedef struct tkg__codec_pair {
  float zero, step; /* both are bf16 numbers, or both NaN */
} tkg__codec_pair;

/* The bits of a float as an integer of the same order, and back: -NaN < -inf < ... < -0 < 0 < ...
 * < inf < NaN. The ends of a row in this order tell of its NaN and infinities too. */
static inline int32_t tkg__float_order(int32_t bits) { return bits ^ ((bits >> 31) & INT32_MAX); }

/* The nearest bf16 number not above the value; not below it, for a value that is not negative.
 * Infinity beyond the largest finite one. */
static inline float tkg__bf16_down(float value) {
  uint32_t bits = v_bits(value);
  return v_float((bits + (bits >> 31) * 0xFFFFu) & 0xFFFF0000u);
}
static inline float tkg__bf16_up(float value) {
  return v_float((v_bits(value) + 0xFFFFu) & 0xFFFF0000u);
}

/* The smallest step: its reciprocal and its 2^-17th part are still normal floats. */
#define TKG__CODEC_MIN_STEP 0x1p-100f

/* Chooses the pair of a row from its smallest and largest value, as it is stored: the upper half of
 * Z in the low half of a word, that of the step in the high half. Both are NaN if either value is
 * not finite, or if half a step beyond the ends, which dither reaches, is not. There are no
 * branches, as the kernels choose the pairs of many rows at once. */
static inline uint32_t tkg__codec_choose(int bits, float min, float max) {
  const float top = (float)((1 << bits) - 1);
  float zero = tkg__bf16_down(min);
  float step = tkg__bf16_up((max - zero) / top);
  step = step > 0 && step < TKG__CODEC_MIN_STEP ? TKG__CODEC_MIN_STEP : step;
  float next = v_float(v_bits(step) + 0x10000u);
  step = zero + top * step < max ? next : step;
  uint32_t pair = v_bits(zero) >> 16 | (v_bits(step) & 0xFFFF0000u);
  float beyond = zero + (top + 1) * step;
  int finite = (fabsf(min) <= FLT_MAX) & (fabsf(max) <= FLT_MAX) & (fabsf(beyond) <= FLT_MAX);
  return finite ? pair : 0x7FC07FC0u;
}

static inline tkg__codec_pair tkg__codec_pair_of(uint32_t word) {
  return (tkg__codec_pair){v_float(word << 16), v_float(word & 0xFFFF0000u)};
}

#endif
