/* Adam's moments in 8 bits: the format, and its arithmetic for the CPU's loops and the GPU's
 * kernels.
 *
 * Numbers are coded relative to the largest of their block, in steps that grow with them, as in
 * Dettmers et al., "8-bit optimizers via block-wise quantization", ICLR 2022. Their codes index a
 * table ("dynamic tree"); ours are the upper bits of a float, so that shifts replace a search. F(q)
 * is the float whose bits are those of 1 plus 2^19 q: 16 steps from a power of two to the next.
 *
 *   m = M / (F(127) - 1) (F(q) - 1), q in 0..127, and a sign     M = largest |m| of the block
 *   v = V / F(127) F(q), q in -128..127                          V = largest v
 *
 * So m goes down to zero, at last by even steps of M / 3952. v goes down to V / 63488, but not to
 * zero: m over the root of a v that was rounded to zero would be a huge step.
 *
 * Rounding. An update moves v by a thousandth, far less than the step to the next code: rounded to
 * the nearest, most codes would never move. So noise is added below the last bit that is kept, and
 * the rest is cut off: m and v are right on average, and so are the running means that they hold.
 *
 * Blocks. A block is a row of the parameter where rows have 32 to 256 elements, otherwise 64
 * elements of the flat array. Rows of an embedding table differ by orders of magnitude in how often
 * they get a gradient. Each has a scale of its own, so a busy row costs a rare one no precision,
 * and a row without a gradient keeps its codes bit by bit while its scale decays. (For narrower
 * rows, 8 bytes per row would cost too much memory and time.)
 *
 * Row-wise, v is one number per row, the running mean of the mean square of the row's gradient
 * (FBGEMM's partial_rowwise_adam, fbgemm_gpu/codegen/genscript/optimizers.py:1383-1510 at 71d6f8b).
 * Blocks are then rows, as they are where rows are updated alone.
 *
 * State tensors, by format:
 *   8 bits            both codes of an element in 16 bits (m's in the lower 7, then its sign; v's
 * in the upper 8), as int32; f32 [blocks, 2]: M / (F(127) - 1) and V / F(127) 8 bits, row-wise  m's
 * code and sign in 8 bits, as int32; f32 [rows, 2]: M / (F(127) - 1) and v 32 bits, row-wise m, f32
 * like the parameter; f32 [rows]: v 32 bits           m and v, f32 like the parameter Zeros stand
 * for m = v = 0.
 *
 * Noise. Element c of block b uses number c % 8 of Philox block b ceil(length / 16) + c / 16, taken
 * from 65535 if c % 16 >= 8, for both moments. The Philox step is the number of the update, so that
 * a resumed run continues with the same bits. A parameter of 16 bits uses another stream and adds
 * 2^32 times the number of the run's step to the Philox block, as two optimizers may update it. */
#ifndef TKG_MOMENTS_H
#define TKG_MOMENTS_H

#include "base/op.h"
#include "codec.h"

enum {
  TKG_MOMENTS_LEAST = 4096,  /* smaller parameters have moments in 32 bits, one per element */
  TKG_MOMENTS_LONGEST = 256, /* columns of a parameter whose blocks can be its rows */
  TKG_MOMENTS_STREAM = 1 << 23,
  TKG_PARAMETER_STREAM = 1 << 22, /* and the parameter's own number */
  TKG__FLOAT_ONE = 0x3f800000     /* bits of 1.0f */
};
#define TKG_FIRST_TOP 247.0F     /* F(127) - 1 */
#define TKG_SECOND_TOP 248.0F    /* F(127) = 31/16 2^7 */
#define TKG_SECOND_LEAST 0x1p-8F /* F(-128) */

/* The format of a parameter's moments. */
enum {
  TKG_MOMENTS_8 = 1,       /* 8 bits instead of 32 */
  TKG_MOMENTS_ROWWISE = 2, /* one v per row */
  TKG_MOMENTS_BY_ROW = 4   /* blocks are rows, whatever their length */
};

typedef struct tkg_moments {
  int64_t length, blocks; /* of the blocks, the last of which may be shorter; their number */
  int64_t first, second;  /* numbers of 4 bytes in the two state tensors */
  int64_t draws;          /* Philox blocks per block */
} tkg_moments;

static inline tkg_moments tkg__moments_of(int64_t count, int64_t cols, int format) {
  const int rowwise = format & TKG_MOMENTS_ROWWISE;
  const int by_row = rowwise || format & TKG_MOMENTS_BY_ROW || (cols >= 32 && cols <= 256);
  tkg_moments s;
  s.length = by_row && cols > 0 ? cols : 64;
  s.blocks = (count + s.length - 1) / s.length;
  s.first = format & TKG_MOMENTS_8 ? rowwise ? (count + 3) / 4 : (count + 1) / 2 : count;
  s.second = format & TKG_MOMENTS_8 ? 2 * s.blocks : rowwise ? s.blocks : count;
  s.draws = (s.length + 15) / 16;
  return s;
}

/* What is added to the Philox blocks of a parameter's noise. */
static inline uint64_t tkg__parameter_blocks(uint32_t step) { return (uint64_t)step << 32; }

/* Moments of a row that has no gradient for long would at last be subnormal numbers, with which
 * CPUs compute several times slower, and rounding would keep m at a few of them for ever. So what
 * is next to nothing becomes zero: m in units of eps moves no parameter, and the root of such a v
 * is nothing beside eps. */
static inline float tkg__first_settled(float m) { return fabsf(m) < 1e-30F ? 0.0F : m; }
static inline float tkg__second_settled(float v) { return v < 0x1p-126F ? 0.0F : v; }

/* The scale of a block, and the factor that gives its moments in units of it. A block whose largest
 * is next to nothing counts as zero, so that nothing is divided by a subnormal number. */
static inline float tkg__moments_scale(float largest, float top) {
  return largest > 1e-33F ? largest * (1.0F / top) : 0.0F;
}
static inline float tkg__moments_units(float largest, float top) {
  return largest > 1e-33F ? top / largest : 0.0F;
}

/* The noise that is added to the bits of a number in units before the lower ones are cut off: 15
 * random bits, plus one half, less the bits of 1. It is at least 8 and at most 2^19 - 8 of the 2^19
 * from code to code, so the rounding of the last bits of a float moves no code up or down. */
static inline uint32_t tkg__moments_noise(uint32_t bits) {
  return (bits >> 1 << 4) + 8 - TKG__FLOAT_ONE;
}

/* The codes of moments in units, and back. Codes of what is not finite are arbitrary. */
static inline uint32_t tkg__moments_encode_first(float m, uint32_t noise) {
  return (v_bits(m) >> 24 & 128u) | (v_bits(fabsf(m) + 1.0F) + noise) >> 19;
}
static inline int16_t tkg__moments_encode(float m, float v, uint32_t noise) {
  v = v > TKG_SECOND_LEAST ? v : TKG_SECOND_LEAST;
  uint32_t second = (v_bits(v) + noise) >> 11 & 0xff00u;
  return (int16_t)(second | tkg__moments_encode_first(m, noise));
}
static inline float tkg__moments_first(int codes) {
  float size = v_float(TKG__FLOAT_ONE + (((uint32_t)codes & 127u) << 19)) - 1.0F;
  return v_float(v_bits(size) | ((uint32_t)codes & 128u) << 24);
}
static inline float tkg__moments_second(int codes) {
  return v_float(TKG__FLOAT_ONE + (((uint32_t)codes & ~255u) << 11));
}

#endif
