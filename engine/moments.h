/* Adam's moments in 8 bits: the format, and its arithmetic for the CPU's loops and the GPU's
 * kernels alike.
 *
 * As in Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, numbers are coded
 * relative to the largest of their block, in steps that grow with them. Their codes index a table
 * ("dynamic tree"); ours are the upper bits of a float, so that shifts take the place of a search.
 * F(q) is the float whose bits are those of 1 plus 2^20 q: 8 steps from a power of two to the next.
 *
 *   m = M / (F(127) - 1) (F(q) - 1), q in 0..127, and a sign     M = largest |m| of the block
 *   v = V / F(255) F(q), q in 0..255                             V = largest v
 *
 * So m goes down to zero in even steps of 2^-19 M, and v has 32 octaves below V but no zero: what
 * has an m never meets a root of zero, which would make a huge step of it.
 *
 * Rounding. An update moves v by a thousandth, far less than the step to the next code: rounded to
 * the nearest, most codes would never move. So noise is added below the last bit that is kept, and
 * the rest cut off: on average m and v are right, and with them the running means they stand for.
 *
 * Blocks. A block is a row of the parameter where rows have 16 to 256 numbers, otherwise 64 numbers
 * of the flat array. Rows of an embedding table differ by orders of magnitude in how often they get
 * a gradient. Each has a scale of its own, so a busy row costs a rare one no precision, and a row
 * without a gradient keeps its codes, bit by bit, while its scale decays.
 *
 * State tensors: both codes of an element in 16 bits (m in the lower byte, its sign on top there; v
 * in the upper), two elements an int32; then f32 [blocks, 2]: M / (F(127) - 1) and V / F(255).
 * Zeros stand for m = v = 0.
 *
 * Noise. Element c of block b uses number c % 8 of Philox block b ceil(length / 16) + c / 16, taken
 * from 65535 if c % 16 >= 8, for both moments. The Philox step is the number of the update, so that
 * what resumes goes on with the same bits. */
#ifndef TKG_MOMENTS_H
#define TKG_MOMENTS_H

#include "codec.h"
#include "node.h"

enum {
  TKG_MOMENTS_LEAST = 4096, /* parameters of fewer elements have moments in 32 bits */
  TKG_MOMENTS_STREAM = 1 << 23,
  TKG__FLOAT_ONE = 0x3f800000 /* bits of 1.0f */
};
#define TKG_FIRST_TOP 61439.0F       /* F(127) - 1 = 15/8 2^15 - 1 */
#define TKG_SECOND_TOP 4026531840.0F /* F(255) = 15/8 2^31 */

typedef struct tkg_moments {
  int64_t length, blocks; /* of a parameter's blocks; the last one may be shorter */
  int64_t words;          /* int32 that hold the codes of two elements */
  int64_t draws;          /* Philox blocks a block */
} tkg_moments;

static inline tkg_moments tkg__moments_of(int64_t count, int64_t cols) {
  tkg_moments s;
  s.length = cols >= 16 && cols <= 256 ? cols : 64;
  s.blocks = (count + s.length - 1) / s.length;
  s.words = (count + 1) / 2;
  s.draws = (s.length + 15) / 16;
  return s;
}

/* A block's scale, and what its moments are multiplied with to be in units of it. Where the largest
 * is next to nothing the block is zero: nothing is divided by a subnormal number. */
static inline float tkg__moments_scale(float largest, float top) {
  return largest > 1e-30F ? largest * (1.0F / top) : 0.0F;
}
static inline float tkg__moments_units(float largest, float top) {
  return largest > 1e-30F ? top / largest : 0.0F;
}

/* 16 bits of noise as the middle of what they stand for, in units of 2^-20 of a code's step. */
static inline uint32_t tkg__moments_noise(uint32_t bits) { return bits << 4 | 8; }

static inline uint32_t tkg__moments_code(float x, uint32_t noise, uint32_t top) {
  uint32_t q = (tkg__float_bits(x) - TKG__FLOAT_ONE + noise) >> 20;
  return q < top ? q : top;
}

/* Codes of moments in units, and back. An infinity gets the largest code; NaN gets some code. */
static inline uint32_t tkg__moments_encode(float m, float v, uint32_t noise) {
  uint32_t first = tkg__moments_code(fabsf(m) + 1.0F, noise, 127);
  uint32_t second = tkg__moments_code(v > 1.0F ? v : 1.0F, noise, 255);
  return second << 8 | (uint32_t)(m < 0.0F) << 7 | first;
}
static inline float tkg__moments_first(uint32_t codes) {
  float size = tkg__bits_float(TKG__FLOAT_ONE + ((codes & 127) << 20)) - 1.0F;
  return tkg__bits_float(tkg__float_bits(size) | (codes & 128) << 24);
}
static inline float tkg__moments_second(uint32_t codes) {
  return tkg__bits_float(TKG__FLOAT_ONE + (codes >> 8 << 20));
}

#endif
