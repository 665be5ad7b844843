/* The codec: matrices of floats kept as 8, 4, 2 or 1 bits an element plus 4 bytes a row, so that
 * what is read back is right on average. A row h with B = 2^bits - 1 is coded as
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
 *               from the counter at decoding; variance step^2 / 12 whatever h is (Schuchman 1964)
 *   nearest     no noise, but a bias
 *
 * TinyKG (Chen et al., RecSys 2022) and ActNN (Chen et al., ICML 2021) round stochastically.
 *
 * Special rows. Constant: step is 0 if the value is a bf16 number, and it comes back exactly;
 * otherwise it is a row like others. A row with a NaN or an infinity, or whose range overflows a
 * float, decodes to NaN everywhere. Steps below 2^-100 are raised to it.
 *
 * Layout. A plane of codes, each row starting at a byte; element c of a row takes the bits from
 * (c bits) % 8 of byte c bits / 8, low bits first. Then, at the next multiple of 4 bytes, a plane
 * of pairs: Z and step, 2 bytes each, a row. Padding bits and bytes are zero.
 *
 * Noise. Element (r, c) uses number c % 8 of Philox block r * ceil(cols / 8) + c / 8: a block is 8
 * numbers n of 16 bits, low half of each word first. v is rounded to 16 fractional bits, so
 * q = (v 2^16 + n) >> 16 for both kinds of noise, with u = (n + 1/2) / 2^16 - 1/2. */
#ifndef TKG_CODEC_H
#define TKG_CODEC_H

#include <float.h>
#include <math.h>
#include <stdint.h>

#include "vmath.h"

enum tkg_rounding { TKG_ROUND_DITHER = 0, TKG_ROUND_STOCHASTIC = 1, TKG_ROUND_NEAREST = 2 };

typedef struct tkg_codec {
  int bits; /* 8, 4, 2 or 1 */
  int rounding;
  uint64_t seed;
  uint32_t step, stream; /* the same at encoding and decoding */
} tkg_codec;

/* Bytes of a row's codes, of the codes' plane with its padding, of the whole packed matrix. */
static inline int64_t tkg__codec_row_bytes(int bits, int64_t cols) {
  return cols / 8 * bits + (cols % 8 * bits + 7) / 8;
}
static inline int64_t tkg__codec_pair_offset(int bits, int64_t rows, int64_t cols) {
  return (rows * tkg__codec_row_bytes(bits, cols) + 3) / 4 * 4;
}
int64_t tkg__codec_bytes(int bits, int64_t rows, int64_t cols);

/* The Philox block of the noise of element (row, col). */
static inline uint64_t tkg__codec_block(int64_t cols, int64_t row, int64_t col) {
  return (uint64_t)row * (uint64_t)((cols + 7) / 8) + (uint64_t)col / 8;
}

typedef struct tkg__codec_pair {
  float zero, step; /* both are bf16 numbers, or both NaN */
} tkg__codec_pair;

/* The bits of a float as an integer of the same order, and back: -NaN < -inf < ... < -0 < 0 < ...
 * < inf < NaN. The ends of a row in this order tell of its NaN and infinities too. */
static inline int32_t tkg__float_order(int32_t bits) { return bits ^ ((bits >> 31) & INT32_MAX); }

/* The nearest bf16 number not above; not below, for what is not negative. Beyond the largest finite
 * one: an infinity. */
static inline float tkg__bf16_down(float value) {
  uint32_t bits = v_bits(value);
  return v_float((bits + (bits >> 31) * 0xFFFFu) & 0xFFFF0000u);
}
static inline float tkg__bf16_up(float value) {
  return v_float((v_bits(value) + 0xFFFFu) & 0xFFFF0000u);
}

/* The smallest step: its reciprocal and its 2^-17th part are still normal floats. */
#define TKG__CODEC_MIN_STEP 0x1p-100f

/* The pair of a row whose smallest and largest values are these, as it is stored: Z's upper half in
 * the low half of a word, the step's in the high one. Both NaN if either value is not finite or if
 * one half a step beyond the ends, as dither makes, would not be. No branches: the kernels choose
 * the pairs of many rows at once. */
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

/* Rows row_begin..row_end-1 of a rows_total x cols matrix. `x` and `packed` are the starts of the
 * whole matrices; of decode, `x` is where row row_begin goes. Calls on disjoint rows may run at
 * once and give the bytes of one call on all. */
typedef struct tkg__codec_kernels {
  void (*encode)(const tkg_codec *codec, const float *x, int64_t cols, int64_t rows_total,
                 int64_t row_begin, int64_t row_end, uint8_t *packed);
  void (*decode)(const tkg_codec *codec, const uint8_t *packed, int64_t cols, int64_t rows_total,
                 int64_t row_begin, int64_t row_end, float *x);
  /* Bit i, low bit first in each byte, is x[i] > 0. n_begin is a multiple of 8; the bits of the
   * last byte beyond n_end are zero. */
  void (*sign_mask)(const float *x, int64_t n_begin, int64_t n_end, uint8_t *mask);
} tkg__codec_kernels;

/* The kernels for the instruction set in use. */
const tkg__codec_kernels *tkg__codec(void);

/* Whole matrices, with checks: TKG_E_ARGUMENT for bits, rounding or sizes that cannot be. `packed`
 * has tkg_codec_bytes(bits, rows, cols) bytes (-1: impossible arguments). */
int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols);
int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed);
int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x);

#endif
