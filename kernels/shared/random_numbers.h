/* What RANDOM makes of words of Philox: number i of a value of word i % 4 of block i / 4. Functions
 * for inner loops, as in vmath.h: each device and instruction set gives the same bits. */
#ifndef TKG_RANDOM_NUMBERS_H
#define TKG_RANDOM_NUMBERS_H

#include <math.h>

#include "philox.h"
#include "vmath.h"

/* The logarithm of (word + 1) / 2^32, of all its bits: near 1 of what is missing there. */
TKG_INLINE float random_log(uint32_t word) {
  const float missing = (float)(0xffffffffu - word) * 0x1p-32F;
  const float low = v_log(((float)word + 1.0F) * 0x1p-32F), high = v_log1p(-missing);
  return word < 0x80000000u ? low : high;
}

/* Two standard normal numbers of two words (Box and Muller 1958): a radius of all 32 bits of the
 * first, so that the tails are right, and an angle. The same numbers as tkg__fill_normal's but for
 * rounding. */
TKG_INLINE void random_normal_pair(uint32_t first, uint32_t second, float *a, float *b) {
  const float radius = sqrtf(-2.0F * random_log(first));
  const uint32_t quarter = (second + 0x20000000u) >> 30;
  const int32_t beyond = (int32_t)(second - (quarter << 30)); /* of 2^30 to a quarter turn */
  const float angle = (float)beyond * 0x1.921fb6p-30F;
  *a = radius * v_turned_sin(angle, quarter + 1);
  *b = radius * v_turned_sin(angle, quarter);
}

/* Gumbel: -log(-log(u)), u an odd multiple of 2^-24 in (0, 1); from -2.82 to 16.64. */
TKG_INLINE float random_gumbel(uint32_t word) {
  const float u = ((float)(int32_t)(word >> 9) + 0.5F) * 0x1p-23F;
  return -v_log(-v_log(u));
}

#endif
