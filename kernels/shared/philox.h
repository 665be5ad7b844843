/* Philox4x32-10: random numbers as a function of a counter (Salmon, Moraes, Dror, Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Everywhere in tinykg, on every device:
 *   key     = the 64-bit seed, low word first
 *   counter = { block low, block high, step, stream }
 * A block is a group of 4 words of 32 bits (or 8 of 16 bits); number i of a sequence lies in block
 * i / 4 (or i / 8). The step is the training step, the stream tells one use from another. */
#ifndef TKG_PHILOX_H
#define TKG_PHILOX_H

#include <stdint.h>

#define TKG__PHILOX_M0 0xD2511F53u
#define TKG__PHILOX_M1 0xCD9E8D57u
#define TKG__PHILOX_W0 0x9E3779B9u
#define TKG__PHILOX_W1 0xBB67AE85u
#define TKG__PHILOX_ROUNDS 10

static inline void tkg_philox4x32(const uint32_t counter[4], const uint32_t key[2],
                                  uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < TKG__PHILOX_ROUNDS; round++) {
    uint64_t p0 = (uint64_t)TKG__PHILOX_M0 * c0, p1 = (uint64_t)TKG__PHILOX_M1 * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += TKG__PHILOX_W0;
    k1 += TKG__PHILOX_W1;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* One block in the project's layout. */
static inline void tkg__philox_block(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream,
                                     uint32_t out[4]) {
  const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), step, stream};
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  tkg_philox4x32(counter, key, out);
}

/* A float of [0, 1) that is a multiple of 2^-24: every value is exact. */
static inline float tkg__unit(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* A float of (0, 1], for logarithms. */
static inline float tkg__unit_positive(uint32_t word) {
  return (float)((word >> 8) + 1) * 0x1p-24f;
}

/* An integer of 0..n-1 (Lemire 2019, without the rejection step): each has a probability within
 * 2^-32 of 1/n. */
static inline uint32_t tkg__below(uint32_t word, uint32_t n) {
  return (uint32_t)(((uint64_t)word * n) >> 32);
}

/* The same from 64 bits, where 2^-32 matters (a shuffle of millions). */
static inline uint32_t tkg__below64(uint32_t low, uint32_t high, uint32_t n) {
  return (uint32_t)(((uint64_t)high * n + (((uint64_t)low * n) >> 32)) >> 32);
}

#endif
