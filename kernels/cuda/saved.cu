/* Saved tensors: ENCODE and DECODE, rows of floats as 8, 4, 2 or 1 bits per element (shared/codec.h
 * has the format and the reasons), and SIGN_MASK, one bit per element.
 *
 * Encoding reads a row once: a lane holds eight neighbouring elements, which are one Philox block
 * of noise and `bits` bytes of codes. Shuffles give the smallest and largest element to all lanes
 * of the row, each lane chooses the same scale from them, and the codes are written in the same
 * pass. Only rows of more than 256 elements are read a second time, from cache. Decoding has the
 * same groups. Pairwise noise is drawn once for the columns and the rows that a block of threads
 * has. Traffic: 4 bytes plus `bits` bits per element. Codes are integers and single float
 * operations in a fixed order (no fused multiply-add, see build.mk), so the bytes are those of the
 * CPU. */
#include "codes.cuh"
#include "family.h"
#include "launch.h"
#include "warp.cuh"

/* ---- eight codes: BITS bytes, low bits first ---- */

template <int BITS>
static __device__ __forceinline__ void store_codes(uint8_t *to, bool whole, int count,
                                                   uint64_t codes) {
  if (!whole) {
    const int bytes = (count * BITS + 7) / 8;
    TKG_UNROLL
    for (int k = 0; k < BITS; k++)
      if (k < bytes) to[k] = (uint8_t)(codes >> 8 * k);
  } else if (BITS == 8) {
    *reinterpret_cast<uint64_t *>(to) = codes;
  } else if (BITS == 4) {
    *reinterpret_cast<uint32_t *>(to) = (uint32_t)codes;
  } else if (BITS == 2) {
    *reinterpret_cast<uint16_t *>(to) = (uint16_t)codes;
  } else {
    *to = (uint8_t)codes;
  }
}

/* ---- encode ---- */

static __device__ __forceinline__ void widen(const float v[VEC8], int count, int32_t *low,
                                             int32_t *high) {
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    const int32_t order = tkg__float_order((int32_t)v_bits(v[k]));
    if (k < count && order < *low) *low = order;
    if (k < count && order > *high) *high = order;
  }
}

/* v = (x - zero) / step with 16 fractional bits is not negative, as zero <= x. Rounding can take it
 * past the top code, which would change the neighbour's bits, so it is clamped. */
template <int BITS>
static __device__ __forceinline__ uint64_t quantize(const float x[VEC8], int count,
                                                    tkg__codec_pair pair, const uint32_t words[4]) {
  const int32_t top = ((1 << BITS) - 1) << 16;
  const float scale = pair.step > 0 ? 65536.0F / pair.step : 0.0F;
  uint64_t codes = 0;
  if (!(pair.step == pair.step)) return 0;
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    /* NOLINTNEXTLINE(bugprone-incorrect-roundings): it is not negative */
    int32_t v = (int32_t)((x[k] - pair.zero) * scale + 0.5F);
    v = v < top ? v : top;
    const uint64_t code = (uint64_t)((uint32_t)(v + (int32_t)tkg_half(words, k)) >> 16);
    if (k < count) codes |= code << BITS * k;
  }
  return codes;
}

/* Finds the smallest and largest element of a row, in all lanes of its group. The last eight
 * elements that were read stay in v. */
static __device__ __forceinline__ void find_range(const packed_layout &l, const float *row,
                                                  bool exists, const tkg_group &g, float v[VEC8],
                                                  float *min, float *max) {
  int32_t low = INT32_MAX, high = INT32_MIN;
  for (int64_t e = g.lane; exists && e < l.vec8s; e += g.width) {
    const int count = columns_of(l, e);
    load_vec8(row + e * VEC8, l.whole, count, v);
    widen(v, count, &low, &high);
  }
  low = tkg_group_min(low, g.width);
  high = tkg_group_max(high, g.width);
  *min = v_float((uint32_t)tkg__float_order(low));
  *max = v_float((uint32_t)tkg__float_order(high));
}

template <int BITS>
static __device__ __forceinline__ void
write_row(const packed_layout &l, const float *row, int64_t r, const tkg_group &g, float v[VEC8],
          tkg__codec_pair pair, codes_noise &noise, uint8_t *packed) {
  for (int64_t e = g.lane; e < l.vec8s; e += g.width) {
    const int count = columns_of(l, e);
    if (l.vec8s > g.width) load_vec8(row + e * VEC8, l.whole, count, v);
    uint32_t words[4];
    draw_codes_noise(noise, l, r, e, words);
    store_codes<BITS>(packed + r * l.row_bytes + e * BITS, l.whole, count,
                      quantize<BITS>(v, count, pair, words));
  }
}

template <int BITS>
static __global__ void encode_kernel(packed_layout l, int width, codes_noise noise, const float *x,
                                     uint8_t *packed) {
  TKG_SHARED(shared_noise, drawn, [1]);
  const tkg_group g = tkg_group_of(width);
  const int rows = TKG_THREADS / width; /* of a block at a time */
  for (int64_t first = g.row - g.row % rows; first < l.rows; first += g.stride) {
    draw_shared_noise(noise, l, first, rows, drawn);
    float v[VEC8] = {}, min, max;
    const int64_t r = first + g.row % rows;
    const bool exists = r < l.rows;
    const float *row = x + (exists ? r : 0) * l.cols;
    find_range(l, row, exists, g, v, &min, &max);
    if (!exists) continue;
    const uint32_t pair = tkg__codec_choose(BITS, min, max);
    if (g.lane == 0) reinterpret_cast<uint32_t *>(packed + l.pair_offset)[r] = pair;
    write_row<BITS>(l, row, r, g, v, tkg__codec_pair_of(pair), noise, packed);
    if (r + 1 == l.rows && g.lane == 0)
      for (int64_t at = l.rows * l.row_bytes; at < l.pair_offset; at++) packed[at] = 0;
  }
}

template <int BITS> static void encode_launch(const tkg_call *c, cudaStream_t stream) {
  const float *x = tkg_in<float>(c, 0);
  const packed_layout l = layout_of(BITS, tkg__rows(c->in[0]), tkg__cols(c->in[0]), x);
  const int width = tkg_group_width(l.vec8s);
  tkg_launch(encode_kernel<BITS>, tkg_groups(l.rows, width), stream, l, width,
             codes_noise_of(c, c->node), x, tkg_out<uint8_t>(c));
}

/* ---- decode ---- */

template <int BITS>
static __global__ void decode_kernel(packed_layout l, int width, codes_noise noise,
                                     const uint8_t *packed, const uint8_t *signs, float *x) {
  const uint32_t *pairs = reinterpret_cast<const uint32_t *>(packed + l.pair_offset);
  TKG_SHARED(shared_noise, drawn, [1]);
  const tkg_group g = tkg_group_of(width);
  const int rows = TKG_THREADS / width;
  for (int64_t first = g.row - g.row % rows; first < l.rows; first += g.stride) {
    draw_shared_noise(noise, l, first, rows, drawn);
    const int64_t r = first + g.row % rows;
    if (r >= l.rows) continue;
    const tkg__codec_pair pair = tkg__codec_pair_of(pairs[r]);
    for (int64_t e = g.lane; e < l.vec8s; e += width) {
      float v[VEC8];
      decode_vec8<BITS>(l, packed, r, e, pair, noise, v);
      if (signs) restore_zeros(signs, r * l.cols + e * VEC8, columns_of(l, e), v);
      store_vec8(x + r * l.cols + e * VEC8, l.whole, columns_of(l, e), v);
    }
  }
}

template <int BITS> static void decode_launch(const tkg_call *c, cudaStream_t stream) {
  float *x = tkg_out<float>(c);
  const packed_layout l = layout_of(BITS, tkg__rows(c->node), tkg__cols(c->node), x);
  const int width = tkg_group_width(l.vec8s);
  tkg_launch(decode_kernel<BITS>, tkg_groups(l.rows, width), stream, l, width,
             codes_noise_of(c, c->node), tkg_in<uint8_t>(c, 0), codes_signs(c, 0), x);
}

/* ---- sign_mask ---- */

/* A warp's ballot over 32 neighbouring elements is a word of the mask. A warp makes WORDS of them
 * at a time, so that as many loads are under way. */
enum { WORDS = 4 };

static __global__ void sign_mask_kernel(int64_t n, const float *x, uint8_t *mask) {
  const int lane = (int)(threadIdx.x % TKG_WARP);
  for (int64_t first = (tkg_first() - lane) * WORDS; first < n; first += tkg_stride() * WORDS) {
    float v[WORDS];
    unsigned mine = 0;
    TKG_UNROLL
    for (int k = 0; k < WORDS; k++) {
      const int64_t i = first + k * TKG_WARP + lane;
      v[k] = i < n ? x[i] : 0.0F;
    }
    TKG_UNROLL
    for (int k = 0; k < WORDS; k++) {
      const unsigned bits = __ballot_sync(TKG_ALL_LANES, v[k] > 0.0F);
      if (lane == k) mine = bits;
    }
    const int64_t begin = first + lane * TKG_WARP; /* of this lane's word */
    if (lane >= WORDS || begin >= n) continue;
    if (begin + TKG_WARP <= n) {
      reinterpret_cast<uint32_t *>(mask)[begin / TKG_WARP] = mine;
    } else {
      for (int64_t i = begin; i < n; i += 8) mask[i / 8] = (uint8_t)(mine >> (i - begin));
    }
  }
}

static void sign_mask_launch(const tkg_call *c, uint8_t *mask, cudaStream_t stream) {
  const int64_t n = tkg__count(c->in[0]);
  tkg_launch(sign_mask_kernel, tkg_flat(tkg_ceil(n, WORDS)), stream, n, tkg_in<float>(c, 0), mask);
}

/* ---- entries ---- */

static int encode_run(const tkg_call *c, cudaStream_t stream) {
  tkg_with_bits(c->node->i[0], [=](auto bits) { encode_launch<bits()>(c, stream); });
  if (c->node->i[3]) sign_mask_launch(c, tkg_out<uint8_t>(c) + tkg__signs_at(c->node), stream);
  return TKG_OK;
}

static int decode_run(const tkg_call *c, cudaStream_t stream) {
  tkg_with_bits(c->node->i[0], [=](auto bits) { decode_launch<bits()>(c, stream); });
  return TKG_OK;
}

static int sign_mask_run(const tkg_call *c, cudaStream_t stream) {
  sign_mask_launch(c, tkg_out<uint8_t>(c), stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_saved[] = {
    {TKG_OP_ENCODE, encode_run, NULL},
    {TKG_OP_DECODE, decode_run, NULL},
    {TKG_OP_SIGN_MASK, sign_mask_run, NULL},
    {0, NULL, NULL},
};
