/* Codes and sign masks, made of the rows or elements that a span gives to a thread: those of a
 * whole value (saved.cu), or of a tile (tiles.cu). */
#ifndef TKG_CUDA_SAVED_H
#define TKG_CUDA_SAVED_H

#include "codes.cuh"
#include "warp.cuh"

/* ---- eight codes: BITS bytes, low bits first ---- */

template <int BITS>
static __device__ __forceinline__ void store_codes(uint8_t *to, bool whole, int count,
                                                   uint64_t codes) {
  if (!whole) {
    const int bytes = (count * BITS + 7) / 8;
    for (int k = 0; k != bytes; k++) to[k] = (uint8_t)(codes >> 8 * k);
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
  TKG_ROLLED
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
  TKG_ROLLED
  for (int64_t e = g.lane; e < l.vec8s; e += g.width) {
    const int count = columns_of(l, e);
    if (l.vec8s > g.width) load_vec8(row + e * VEC8, l.whole, count, v);
    uint32_t words[4];
    draw_codes_noise(noise, l, r, e, words);
    store_codes<BITS>(packed + r * l.row_bytes + e * BITS, l.whole, count,
                      quantize<BITS>(v, count, pair, words));
  }
}

/* Rows from..to-1; `from` is a multiple of eight. All threads of a block call it, with the same
 * `drawn` in shared memory. */
template <int BITS>
static __device__ __forceinline__ void
encode_rows(tkg_span span, const packed_layout &l, int width, codes_noise noise, int64_t from,
            int64_t to, const float *x, uint8_t *packed, shared_noise *drawn) {
  const tkg_group g = tkg_group_of(width, span);
  const int rows = TKG_THREADS / width; /* of a block at a time */
  TKG_ROLLED
  for (int64_t first = from + g.row - g.row % rows; first < to; first += g.stride) {
    draw_shared_noise(noise, l, first, rows, drawn);
    float v[VEC8] = {}, min, max;
    const int64_t r = first + g.row % rows;
    const bool exists = r < to;
    const float *row = x + (exists ? r : from) * l.cols;
    find_range(l, row, exists, g, v, &min, &max);
    if (!exists) continue;
    const uint32_t pair = tkg__codec_choose(BITS, min, max);
    if (g.lane == 0) reinterpret_cast<uint32_t *>(packed + l.pair_offset)[r] = pair;
    write_row<BITS>(l, row, r, g, v, tkg__codec_pair_of(pair), noise, packed);
    if (r + 1 == l.rows && g.lane == 0)
      for (int64_t at = l.rows * l.row_bytes; at < l.pair_offset; at++) packed[at] = 0;
  }
}

/* ---- decode ---- */

/* The same. */
template <int BITS>
static __device__ __forceinline__ void decode_rows(tkg_span span, const packed_layout &l, int width,
                                                   codes_noise noise, int64_t from, int64_t to,
                                                   const uint8_t *packed, const uint8_t *signs,
                                                   float *x, shared_noise *drawn) {
  const uint32_t *pairs = reinterpret_cast<const uint32_t *>(packed + l.pair_offset);
  const tkg_group g = tkg_group_of(width, span);
  const int rows = TKG_THREADS / width;
  TKG_ROLLED
  for (int64_t first = from + g.row - g.row % rows; first < to; first += g.stride) {
    draw_shared_noise(noise, l, first, rows, drawn);
    const int64_t r = first + g.row % rows;
    if (r >= to) continue;
    const tkg__codec_pair pair = tkg__codec_pair_of(pairs[r]);
    TKG_ROLLED
    for (int64_t e = g.lane; e < l.vec8s; e += width) {
      float v[VEC8];
      decode_vec8<BITS>(l, packed, r, e, pair, noise, v);
      if (signs) restore_zeros(signs, r * l.cols + e * VEC8, columns_of(l, e), v);
      store_vec8(x + r * l.cols + e * VEC8, l.whole, columns_of(l, e), v);
    }
  }
}

/* ---- sign_mask ---- */

/* A warp's ballot over 32 neighbouring elements is a word of the mask. A warp makes WORDS of them
 * at a time, so that as many loads are under way. */
enum { WORDS = 4 };

/* `words`: the mask is aligned for them. */
static __device__ __forceinline__ void sign_mask_elements(tkg_span s, int64_t n, bool words,
                                                          const float *x, uint8_t *mask) {
  const int lane = (int)(s.first % TKG_WARP);
  for (int64_t first = (s.first - lane) * WORDS; first < n; first += s.stride * WORDS) {
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
    const int64_t end = begin + TKG_WARP <= n ? begin + TKG_WARP : n;
    if (words && end == begin + TKG_WARP) {
      reinterpret_cast<uint32_t *>(mask)[begin / TKG_WARP] = mine;
    } else {
      for (int64_t i = begin; i < end; i += 8) mask[i / 8] = (uint8_t)(mine >> (i - begin));
    }
  }
}

#endif
