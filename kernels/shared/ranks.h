/* The order of the numbers of a row, largest first: NaN before all others, equal ones by their
 * place. One word per number, so that a number is before another if its word is larger, and none
 * are equal. */
#ifndef TKG_RANKS_H
#define TKG_RANKS_H

#include <stdint.h>

#include "vmath.h"

/* Of number x at place `at` of a row; zeros of both signs are equal. */
TKG_INLINE uint64_t tkg__rank_word(float x, int64_t at) {
  const uint32_t bits = v_bits(x + 0.0F), sign = 0x80000000u;
  uint32_t key = bits & sign ? ~bits : bits | sign;
  key = x != x ? 0xffffffffu : key;
  return (uint64_t)key << 32 | (0xffffffffu - (uint32_t)at);
}

TKG_INLINE int32_t tkg__rank_place(uint64_t word) {
  return (int32_t)(0xffffffffu - (uint32_t)word);
}

#endif
