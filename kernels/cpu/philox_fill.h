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

/* The keys of all rounds, which a vector instruction reads from memory as it is. */
typedef struct tkg__philox_keys {
  uint64_t even[TKG__PHILOX_ROUNDS], odd[TKG__PHILOX_ROUNDS];
} tkg__philox_keys;

static inline tkg__philox_keys tkg__philox_keys_of(uint64_t seed) {
  tkg__philox_keys keys;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < TKG__PHILOX_ROUNDS; round++) {
    keys.even[round] = k0;
    keys.odd[round] = k1;
    k0 += TKG__PHILOX_W0;
    k1 += TKG__PHILOX_W1;
  }
  return keys;
}

/* Vectors that go through the rounds side by side, as each round waits for the one before. */
enum { TKG__ABREAST = 2 };

/* Four vectors of words of TKG__BLOCKS blocks, each in the low half of its block's lane. */
typedef struct tkg__philox_out {
  tkg__words w[4];
} tkg__philox_out;

/* The words of `n` vectors of blocks. Callers know n. */
TKG_INLINE void tkg__philox_words(const tkg__philox_keys *keys, int n, const tkg__words *block,
                                  uint32_t step, uint32_t stream, tkg__philox_out *out) {
  for (int v = 0; v < n; v++) {
    const tkg__words none = {0};
    out[v] = (tkg__philox_out){{block[v], block[v] >> 32, none + step, none + stream}};
  }
  for (int round = 0; round < TKG__PHILOX_ROUNDS; round++)
    for (int v = 0; v < n; v++) {
      tkg__words *c = out[v].w;
      const tkg__words p0 = tkg__times(c[0], TKG__PHILOX_M0), p1 = tkg__times(c[2], TKG__PHILOX_M1);
      c[0] = (p1 >> 32) ^ (c[1] ^ keys->even[round]);
      c[1] = p1;
      c[2] = (p0 >> 32) ^ (c[3] ^ keys->odd[round]);
      c[3] = p0;
    }
}

/* n vectors of blocks from `block` on: 4 words per block, in order. */
TKG_INLINE void tkg__philox_vectors(const tkg__philox_keys *keys, int n, uint64_t block,
                                    uint32_t step, uint32_t stream, char *out) {
  const tkg__words low = (tkg__words){} + 0xFFFFFFFFu;
  tkg__words blocks[TKG__ABREAST];
  tkg__philox_out of[TKG__ABREAST];
  for (int v = 0; v < n; v++) blocks[v] = tkg__order + (block + (uint64_t)(v * TKG__BLOCKS));
  tkg__philox_words(keys, n, blocks, step, stream, of);
  for (int v = 0; v < n; v++) {
    const tkg__words *w = of[v].w;
    const tkg__words front = (w[0] & low) | (w[1] << 32), back = (w[2] & low) | (w[3] << 32);
    const tkg__words pieces[2] = {tkg__first(front, back), tkg__second(front, back)};
    memcpy(out + v * (int)sizeof pieces, pieces, sizeof pieces);
  }
}

/* At least `blocks` blocks of 4 words, or 8 numbers of 16 bits, from block `first` on. `out` has
 * room for that many rounded up to a multiple of TKG__BLOCKS. */
static inline void tkg__philox_fill(uint64_t seed, uint64_t first, int64_t blocks, uint32_t step,
                                    uint32_t stream, void *out) {
  enum { MOST = TKG__ABREAST * TKG__BLOCKS };
  const tkg__philox_keys keys = tkg__philox_keys_of(seed);
  int64_t i = 0;
  for (; i + MOST - TKG__BLOCKS < blocks; i += MOST)
    tkg__philox_vectors(&keys, TKG__ABREAST, first + (uint64_t)i, step, stream,
                        (char *)out + 16 * i);
  for (; i < blocks; i += TKG__BLOCKS)
    tkg__philox_vectors(&keys, 1, first + (uint64_t)i, step, stream, (char *)out + 16 * i);
}

#endif
