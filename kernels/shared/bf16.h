/* Numbers of 16 bits, the upper half of a float: its sign, its exponent and 7 bits of its fraction.
 * Large parameters may be kept so (tkg_tensor_set_bits).
 *
 * An update is often smaller than half the distance to the next number, and would be lost if it
 * were rounded to the nearest. So updates round at random: 16 random bits are added below the last
 * bit that is kept, and the rest is cut off, which is right on average (Gupta et al., Deep Learning
 * with Limited Numerical Precision, ICML 2015). */
#ifndef TKG_BF16_H
#define TKG_BF16_H

#include <stdint.h>

#include "vmath.h"

TKG_INLINE float tkg__bf16_value(uint16_t x) { return v_float((uint32_t)x << 16); }

/* The upper half of x plus `noise`, which is below 2^16. A number that is not finite stays so. */
TKG_INLINE uint16_t tkg__bf16_round(float x, uint32_t noise) {
  const uint32_t bits = v_bits(x), special = (bits & 0x7f800000u) == 0x7f800000u;
  return (uint16_t)((bits + (special ? 0u : noise)) >> 16);
}

/* The nearest, the even one of two that are equally near. */
TKG_INLINE uint16_t tkg__bf16_nearest(float x) {
  return tkg__bf16_round(x, 0x7fffu + (v_bits(x) >> 16 & 1u));
}

#endif
