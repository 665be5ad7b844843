/* Noise in kernels: blocks of the Philox generator (shared/philox.h), eight numbers of 16 bits
 * each. */
#ifndef TKG_CUDA_PHILOX_H
#define TKG_CUDA_PHILOX_H

#include "run_params.h"

/* The random numbers of one op: seed and step come from the run, the stream from the op. */
typedef struct tkg_noise {
  const tkg_run_params *run;
  uint32_t stream;
} tkg_noise;

static inline tkg_noise tkg_noise_of(const tkg_call *, int64_t stream) {
  return {tkg__run_params(), (uint32_t)stream};
}

static __device__ __forceinline__ void tkg_draw(tkg_noise n, uint64_t block, uint32_t words[4]) {
  tkg__philox_block(__ldg(&n.run->seed), block, __ldg(&n.run->step), n.stream, words);
}

/* Number k of the eight in a block: the low half of each word comes first. */
static __device__ __forceinline__ uint32_t tkg_half(const uint32_t words[4], int k) {
  return words[k / 2] >> 16 * (k % 2) & 0xffffu;
}

#endif
