/* Adam with its moments in 8 bits (shared/moments.h): p, m and v of each element are updated, and m
 * and v are stored as codes with one scale per block of elements.
 *
 * One group of lanes takes a block, each lane eight of its elements: codes are decoded, updated and
 * encoded in registers. Memory is gone through once: 4 bytes of gradient are read, and 4 bytes of
 * parameter and 2 bytes of codes read and written, per element. A block's largest m and v are
 * maxima by shuffles, which no order can change, and codes are integers and single float
 * operations: the same bytes in every run and on the CPU. */
#include "adam.cuh"
#include "device_errors.h"
#include "family.h"
#include "philox.cuh"
#include "vec8.cuh"
#include "warp.cuh"

struct adam8_arrays {
  float *p;
  const float *g;
  int16_t *codes;
  float *scales;
  int64_t n;
  bool whole; /* each lane's elements are aligned to 16 bytes in each array */
};

static __device__ __forceinline__ void load_codes(const int16_t *from, bool whole, int count,
                                                  int16_t codes[VEC8]) {
  uint4 four = make_uint4(0, 0, 0, 0);
  if (whole) four = *reinterpret_cast<const uint4 *>(from);
  const uint32_t words[4] = {four.x, four.y, four.z, four.w};
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    codes[k] = whole ? (int16_t)(words[k / 2] >> 16 * (k % 2)) : k < count ? from[k] : (int16_t)0;
}

static __device__ __forceinline__ void store_codes(int16_t *to, bool whole, int count,
                                                   const int16_t codes[VEC8]) {
  uint32_t words[4];
  TKG_UNROLL
  for (int k = 0; k < VEC8; k += 2)
    words[k / 2] = (uint16_t)codes[k] | (uint32_t)(uint16_t)codes[k + 1] << 16;
  if (whole) *reinterpret_cast<uint4 *>(to) = make_uint4(words[0], words[1], words[2], words[3]);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (!whole && k < count) to[k] = codes[k];
}

/* Updates p and computes the new moments of the `count` elements from `at` on. */
static __device__ __forceinline__ void update_vec8(const adam8_arrays &x, int64_t at, int count,
                                                   bool whole, const float *scales,
                                                   const adam &rule, float m[VEC8], float v[VEC8]) {
  const float decayed_m = rule.beta1 * scales[0], decayed_v = rule.beta2 * scales[1];
  float p[VEC8], g[VEC8];
  int16_t codes[VEC8];
  load_vec8(x.p + at, whole, count, p);
  load_vec8(x.g + at, whole, count, g);
  load_codes(x.codes + at, whole, count, codes);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    m[k] = tkg__moments_first(codes[k]) * decayed_m;
    v[k] = tkg__moments_second(codes[k]) * decayed_v;
    p[k] = rule.advance(p[k], g[k], &m[k], &v[k]);
  }
  store_vec8(x.p + at, whole, count, p);
}

static __device__ __forceinline__ float largest_of(const float x[VEC8], int count, int width) {
  float most = 0;
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (k < count && fabsf(x[k]) > most) most = fabsf(x[k]);
  return tkg_group_max(most, width);
}

static __device__ __forceinline__ void encode_vec8(const adam8_arrays &x, int64_t at, int count,
                                                   bool whole, const float m[VEC8],
                                                   const float v[VEC8], const float largest[2],
                                                   const uint32_t words[4], uint32_t flip) {
  const float units_m = tkg__moments_units(largest[0], TKG_FIRST_TOP);
  const float units_v = tkg__moments_units(largest[1], TKG_SECOND_TOP);
  int16_t codes[VEC8];
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    codes[k] = tkg__moments_encode(m[k] * units_m, v[k] * units_v,
                                   tkg__moments_noise(tkg_half(words, k) ^ flip));
  store_codes(x.codes + at, whole, count, codes);
}

static __global__ void adam8_kernel(tkg_moments s, adam8_arrays x, int width, adam rule,
                                    const tkg_run_params *run, const unsigned *failed) {
  const tkg_group group = tkg_group_of(width);
  if (*failed) return;
  rule.read(run);
  for (int64_t b = group.row; tkg_any_row(b, s.blocks); b += group.stride) {
    const int64_t in_block = (int64_t)group.lane * VEC8, at = b * s.length + in_block;
    const int64_t left = s.length - in_block < x.n - at ? s.length - in_block : x.n - at;
    const bool exists = b < s.blocks && left > 0;
    const int count = !exists ? 0 : left < VEC8 ? (int)left : VEC8;
    const bool whole = x.whole && count == VEC8;
    float m[VEC8] = {}, v[VEC8] = {};
    if (exists) update_vec8(x, at, count, whole, x.scales + 2 * b, rule, m, v);
    const float largest[2] = {largest_of(m, count, width), largest_of(v, count, width)};
    if (!exists) continue;
    uint32_t words[4];
    tkg__philox_block(run->seed, (uint64_t)(b * s.draws + group.lane / 2), run->update,
                      TKG_MOMENTS_STREAM, words);
    encode_vec8(x, at, count, whole, m, v, largest, words, group.lane % 2 ? 0xffffu : 0u);
    if (group.lane == 0) {
      x.scales[2 * b] = tkg__moments_scale(largest[0], TKG_FIRST_TOP);
      x.scales[2 * b + 1] = tkg__moments_scale(largest[1], TKG_SECOND_TOP);
    }
  }
}

static int adam8_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_moments s = tkg__moments_of(tkg__count(c->node), tkg__cols(c->node));
  const int width = tkg_group_width(tkg_ceil(s.length, VEC8));
  adam8_arrays x = {};
  adam a;
  const int status = adam_of(c, &a);
  x.p = static_cast<float *>(c->data[0]);
  x.g = tkg_in<float>(c, 1);
  x.codes = static_cast<int16_t *>(c->data[2]);
  x.scales = static_cast<float *>(c->data[3]);
  x.n = tkg__count(c->node);
  x.whole = s.length % VEC8 == 0 && tkg_vec4_aligned(x.p, 0) && tkg_vec4_aligned(x.g, 0) &&
            tkg_vec4_aligned(x.codes, 0);
  if (!status)
    tkg_launch(adam8_kernel, tkg_groups(s.blocks, width), stream, s, x, width, a, tkg__run_params(),
               tkg__run_failed());
  return status;
}

const tkg_cuda_op tkg__cuda_adam8[] = {
    {TKG_OP_ADAM8, adam8_run, NULL},
    {0, NULL, NULL},
};
