/* Many Philox blocks at once: the numbers of shared/philox.h, one vector of blocks at a time.
 *
 * Each of a block's four words lies in the low half of a 64-bit lane. One widening multiplication,
 * which reads the low halves alone, gives the product, whose low half is already where the next
 * round wants it: 8 instructions per round for a vector of blocks. */
#ifndef TKG_CPU_PHILOX_FILL_H
#define TKG_CPU_PHILOX_FILL_H

#include <string.h>

#include "shared/philox.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define TKG__BLOCKS 8
#elif defined(__AVX2__)
#define TKG__BLOCKS 4
#else
#define TKG__BLOCKS 2
#endif

typedef uint64_t tkg__words __attribute__((vector_size(8 * TKG__BLOCKS)));

/* times: the products of the lanes' low halves. first, second: the 64-bit lanes of `a` and `b` in
 * turn, within each 16 bytes (a0 b0 a2 b2 ..., a1 b1 a3 b3 ...). */
#if defined(__AVX512F__)
static inline tkg__words tkg__times(tkg__words a, uint32_t m) {
  return (tkg__words)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m));
}
static inline tkg__words tkg__first(tkg__words a, tkg__words b) {
  return (tkg__words)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b);
}
static inline tkg__words tkg__second(tkg__words a, tkg__words b) {
  return (tkg__words)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b);
}
static const tkg__words tkg__order = {0, 4, 1, 5, 2, 6, 3, 7};
#elif defined(__AVX2__)
static inline tkg__words tkg__times(tkg__words a, uint32_t m) {
  return (tkg__words)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
}
static inline tkg__words tkg__first(tkg__words a, tkg__words b) {
  return (tkg__words)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
}
static inline tkg__words tkg__second(tkg__words a, tkg__words b) {
  return (tkg__words)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
}
static const tkg__words tkg__order = {0, 2, 1, 3};
#elif defined(__aarch64__)
static inline tkg__words tkg__times(tkg__words a, uint32_t m) {
  return (tkg__words)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(m));
}
static inline tkg__words tkg__first(tkg__words a, tkg__words b) {
  return (tkg__words)vzip1q_u64((uint64x2_t)a, (uint64x2_t)b);
}
static inline tkg__words tkg__second(tkg__words a, tkg__words b) {
  return (tkg__words)vzip2q_u64((uint64x2_t)a, (uint64x2_t)b);
}
static const tkg__words tkg__order = {0, 1};
#else
static inline tkg__words tkg__times(tkg__words a, uint32_t m) {
  return (tkg__words)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
}
static inline tkg__words tkg__first(tkg__words a, tkg__words b) {
  return (tkg__words)_mm_unpacklo_epi64((__m128i)a, (__m128i)b);
}
static inline tkg__words tkg__second(tkg__words a, tkg__words b) {
  return (tkg__words)_mm_unpackhi_epi64((__m128i)a, (__m128i)b);
}
static const tkg__words tkg__order = {0, 1};
#endif

/* The words of TKG__BLOCKS blocks, each in the low half of its block's lane. */
static inline void tkg__philox_words(uint64_t seed, tkg__words block, uint32_t step,
                                     uint32_t stream, tkg__words out[4]) {
  tkg__words c0 = block, c1 = c0 >> 32;
  tkg__words c2 = (tkg__words){} + step, c3 = (tkg__words){} + stream;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < TKG__PHILOX_ROUNDS; round++) {
    tkg__words p0 = tkg__times(c0, TKG__PHILOX_M0), p1 = tkg__times(c2, TKG__PHILOX_M1);
    c0 = (p1 >> 32) ^ (c1 ^ k0);
    c1 = p1;
    c2 = (p0 >> 32) ^ (c3 ^ k1);
    c3 = p0;
    k0 += TKG__PHILOX_W0;
    k1 += TKG__PHILOX_W1;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* TKG__BLOCKS blocks from `block` on: 4 words each, in order. */
static inline void tkg__philox_vector(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream,
                                      void *out) {
  const tkg__words low = (tkg__words){} + 0xFFFFFFFFu;
  tkg__words w[4];
  tkg__philox_words(seed, tkg__order + block, step, stream, w);
  tkg__words front = (w[0] & low) | (w[1] << 32), back = (w[2] & low) | (w[3] << 32);
  tkg__words pieces[2] = {tkg__first(front, back), tkg__second(front, back)};
  memcpy(out, pieces, sizeof pieces);
}

/* At least `blocks` blocks of 4 words, or 8 numbers of 16 bits, from block `first` on. `out` has
 * room for that many rounded up to a multiple of TKG__BLOCKS. */
static inline void tkg__philox_fill(uint64_t seed, uint64_t first, int64_t blocks, uint32_t step,
                                    uint32_t stream, void *out) {
  for (int64_t i = 0; i < blocks; i += TKG__BLOCKS)
    tkg__philox_vector(seed, first + (uint64_t)i, step, stream, (char *)out + 16 * i);
}

#endif
