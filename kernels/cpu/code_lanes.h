/* One register of columns of rows of codes (shared/codec.h has the format): what the codes of a
 * group of sixteen columns, which are 2, 4, 8 or 16 bytes, stand for. */
#ifndef TKG_CPU_CODE_LANES_H
#define TKG_CPU_CODE_LANES_H

#include <stdbool.h>
#include <string.h>

#include "wide.h"

enum { CODE_GROUP = 16, CODE_REGISTERS = CODE_GROUP / WIDTH };

typedef uint32_t words __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t halves __attribute__((vector_size(4 * WIDTH)));
typedef uint64_t quads __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t words_loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

static inline words words_load(const uint32_t *p) { return *(const words_loose *)p; }

/* The numbers of a group's columns from `first` on. */
TKG_INLINE words code_lanes(int first) {
  static const uint32_t lanes[CODE_GROUP] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return words_load(lanes + first);
}

/* Lane i is lane index[i] of the table. */
TKG_INLINE words code_look_up(words table, words index) {
#ifdef __clang__
  words found;
  for (int i = 0; i < WIDTH; i++) found[i] = table[index[i] % WIDTH];
  return found;
#else
  return __builtin_shuffle(table, index);
#endif
}

/* The codes of columns first..first+WIDTH-1 of the group at `at`; those of fewer than 8 bits with
 * bits of other codes above them. */
TKG_INLINE words code_load(const uint8_t *at, int bits, int first) {
  const words none = {0}, lane = code_lanes(first);
  if (bits == 8) {
    uint32_t q[WIDTH];
    for (int k = 0; k < WIDTH; k++) q[k] = at[first + k];
    return words_load(q);
  }
  if (bits == 4 && WIDTH > 8) {
    uint64_t w;
    memcpy(&w, at, sizeof w);
    const quads both = (quads){0} + w; /* the halves of w in turn */
    return code_look_up((words)both, lane / 8) >> (lane % 8 * 4);
  }
  if (bits == 4) {
    uint32_t w;
    memcpy(&w, at + first / 8 * 4, sizeof w);
    return (none + w) >> (lane % 8 * 4);
  }
  if (bits == 2) {
    uint32_t w;
    memcpy(&w, at, sizeof w);
    return (none + w) >> (lane * 2);
  }
  uint16_t w;
  memcpy(&w, at, sizeof w);
  return (none + w) >> lane;
}

/* What does not change from row to row, times 2^17: for each code its level, where a register has a
 * lane for each; else `half` alone. */
typedef struct code_levels {
  words table;
  uint32_t half;
} code_levels;

TKG_INLINE bool code_has_table(int bits) { return WIDTH >= 8 && 1 << bits <= WIDTH; }

TKG_INLINE code_levels code_levels_of(int bits, uint32_t half) {
  return (code_levels){((code_lanes(0) & ((1U << bits) - 1)) << 17) | half, half};
}

/* tkg__codec_affine of columns and a row's word, all times 2^16. (A product of halves: that of
 * words is slow on many CPUs.) */
TKG_INLINE words code_noise(words columns, uint32_t word) {
  const words none = {0}, factor = none + ((word | 1) << 16);
  return (words)((halves)columns * (halves)factor) + (word & 0xFFFF0000U);
}

/* q - u of a register of codes, in units of 2^-17 (shared/codec.h). `noise`: of the element, times
 * 2^16, modulo 2^32. */
TKG_INLINE wide code_value(words codes, int bits, const code_levels *l, words noise) {
  const words code = bits == 8 ? codes : codes & ((1U << bits) - 1);
  const words level = code_has_table(bits) ? code_look_up(l->table, codes) : code << 17 | l->half;
  return __builtin_convertvector((ints)(level - (noise >> 15)), wide);
}

/* The value where the lane's bit of `signs` is set, else 0. */
TKG_INLINE wide code_signed(wide value, uint32_t signs, int first) {
  const words none = {0}, bit = (none + 1) << code_lanes(first);
  return (wide)((ints)value & (((none + signs) & bit) != 0));
}

#endif
