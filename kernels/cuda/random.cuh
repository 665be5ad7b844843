/* The numbers of RANDOM (shared/random_numbers.h), over the elements that a span gives to a thread:
 * those of a whole value (random.cu), or of a tile (tiles.cu). */
#ifndef TKG_CUDA_RANDOM_H
#define TKG_CUDA_RANDOM_H

#include "launch.h"
#include "philox.cuh"

typedef struct random_stream {
  tkg_noise noise;
  int64_t before; /* blocks of rows that other ranks have before the first */
  int kind;       /* tkg_random_kind */
} random_stream;

/* Host. */
static inline random_stream random_stream_of(const tkg_call *c) {
  const int64_t before = c->node->first_row * tkg__cols(c->node) / 4;
  return {tkg_noise_of(c, c->node->i[1]), before, (int)c->node->i[0]};
}

/* The four numbers of a block's words. */
static __device__ __forceinline__ void random_four(int kind, const uint32_t words[4], float v[4]) {
  if (kind == TKG_RANDOM_NORMAL) {
    random_normal_pair(words[0], words[1], &v[0], &v[1]);
    random_normal_pair(words[2], words[3], &v[2], &v[3]);
    return;
  }
  TKG_UNROLL
  for (int k = 0; k < 4; k++)
    v[k] = kind == TKG_RANDOM_UNIFORM ? tkg__unit(words[k]) : random_gumbel(words[k]);
}

/* One thread per Philox block and its four elements. `before`: blocks of this value before them. */
static __device__ __forceinline__ void
random_elements(tkg_span s, int64_t n, bool aligned, random_stream r, int64_t before, float *out) {
  for (int64_t b = s.first; b * 4 < n; b += s.stride) {
    uint32_t words[4];
    float v[4];
    tkg_draw(r.noise, (uint64_t)(r.before + before + b), words);
    random_four(r.kind, words, v);
    if (aligned && b * 4 + 4 <= n) {
      reinterpret_cast<float4 *>(out)[b] = make_float4(v[0], v[1], v[2], v[3]);
      continue;
    }
    for (int k = 0; k < 4 && b * 4 + k < n; k++) out[b * 4 + k] = v[k];
  }
}

#endif
