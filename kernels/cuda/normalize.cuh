/* Rows divided by their Euclidean lengths, and the gradient, over the rows that a span gives to a
 * group of lanes: those of a whole value (normalize.cu), or of a tile (tiles.cu). */
#ifndef TKG_CUDA_NORMALIZE_H
#define TKG_CUDA_NORMALIZE_H

#include "codes.cuh"
#include "warp.cuh"

enum { EXACT = 32 }; /* stands for the bits of rows that are floats */

static inline int lanes_of(const packed_layout &l) { return tkg_group_width(l.vec8s); }

/* ---- row_norm: max(|x|, least), sqrt(|x|^2 + added) ---- */

typedef struct norm_floor {
  float least, added; /* one of them is 0 */
} norm_floor;

/* Host. */
static inline norm_floor norm_floor_of(const tkg_node *n) {
  const float f0 = (float)n->f[0];
  return n->i[0] ? norm_floor{0, f0} : norm_floor{f0, 0};
}

/* A NaN in the row gives NaN. */
static __device__ __forceinline__ void row_norm_rows(tkg_span s, packed_layout l, int width,
                                                     norm_floor f, const float *x, float *out) {
  const tkg_group g = tkg_group_of(width, s);
  for (int64_t r = g.row; tkg_any_row(r, l.rows); r += g.stride) {
    float sum = 0;
    for (int64_t e = g.lane; r < l.rows && e < l.vec8s; e += g.width) {
      float v[VEC8];
      load_vec8(x + r * l.cols + e * VEC8, l.whole, columns_of(l, e), v);
      TKG_UNROLL
      for (int k = 0; k < VEC8; k++) sum += v[k] * v[k];
    }
    const float length = sqrtf(tkg_group_sum(sum, width) + f.added);
    if (r < l.rows && g.lane == 0) out[r] = length < f.least ? f.least : length;
  }
}

/* ---- normalize: x / n; one thread per eight elements ---- */

static __device__ __forceinline__ void normalize_rows(tkg_span s, packed_layout l, const float *x,
                                                      const float *n, float *out) {
  for (int64_t i = s.first; i < l.rows * l.vec8s; i += s.stride) {
    const int64_t r = i / l.vec8s, e = i - r * l.vec8s, at = r * l.cols + e * VEC8;
    const float scale = 1.0F / n[r];
    float v[VEC8];
    load_vec8(x + at, l.whole, columns_of(l, e), v);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] *= scale;
    store_vec8(out + at, l.whole, columns_of(l, e), v);
  }
}

/* ---- normalize_grad ---- */

typedef struct normalized_gradient {
  packed_layout l;
  codes_noise noise;
  float least;
  const float *g, *n;
  const void *y; /* floats, or codes */
  float *out;    /* may be g */
} normalized_gradient;

template <int BITS>
static __device__ __forceinline__ tkg__codec_pair pair_of(const normalized_gradient &s, int64_t r) {
  const uint8_t *packed = static_cast<const uint8_t *>(s.y);
  if (BITS == EXACT) return {0, 0};
  return tkg__codec_pair_of(reinterpret_cast<const uint32_t *>(packed + s.l.pair_offset)[r]);
}

/* Loads elements 8 e .. 8 e + 7 of row r of g and of y. */
template <int BITS>
static __device__ __forceinline__ void load_both(const normalized_gradient &s, codes_noise &noise,
                                                 int64_t r, int64_t e, tkg__codec_pair pair,
                                                 float g[VEC8], float y[VEC8]) {
  const int64_t at = r * s.l.cols + e * VEC8;
  const int count = columns_of(s.l, e);
  load_vec8(s.g + at, s.l.whole, count, g);
  if (BITS == EXACT)
    load_vec8(static_cast<const float *>(s.y) + at, s.l.whole, count, y);
  else
    decode_vec8<BITS == EXACT ? 8 : BITS>(s.l, static_cast<const uint8_t *>(s.y), r, e, pair, noise,
                                          y);
}

/* Rows first..last-1. */
template <int BITS>
static __device__ __forceinline__ void gradient_rows(tkg_span span, const normalized_gradient &s,
                                                     int width, int64_t first, int64_t last) {
  const tkg_group group = tkg_group_of(width, span);
  codes_noise noise = s.noise;
  TKG_ROLLED
  for (int64_t r = first + group.row; tkg_any_row(r, last); r += group.stride) {
    const bool exists = r < last;
    const tkg__codec_pair pair = pair_of<BITS>(s, exists ? r : first);
    float g[VEC8], y[VEC8], dot = 0;
    TKG_ROLLED
    for (int64_t e = group.lane; exists && e < s.l.vec8s; e += width) {
      load_both<BITS>(s, noise, r, e, pair, g, y);
      TKG_UNROLL
      for (int k = 0; k < VEC8; k++)
        if (k < columns_of(s.l, e)) dot += g[k] * y[k];
    }
    dot = tkg_group_sum(dot, width);
    if (!exists) continue;
    const float n = s.n[r], scale = 1.0F / n;
    const bool floor = n <= s.least;
    const float along = floor ? 0.0F : dot;
    const float own = floor ? 1.0F : 1.0F + pair.step * pair.step / 12.0F;
    TKG_ROLLED
    for (int64_t e = group.lane; e < s.l.vec8s; e += width) {
      if (s.l.vec8s > width) load_both<BITS>(s, noise, r, e, pair, g, y);
      TKG_UNROLL
      for (int k = 0; k < VEC8; k++) g[k] = (own * g[k] - y[k] * along) * scale;
      store_vec8(s.out + r * s.l.cols + e * VEC8, s.l.whole, columns_of(s.l, e), g);
    }
  }
}

/* Host: the operands of a call. */
template <int BITS> static normalized_gradient gradient_of(const tkg_call *c) {
  normalized_gradient s = {};
  s.l = layout_of(BITS, tkg__rows(c->node), tkg__cols(c->node), tkg_in<float>(c, 0));
  s.l.whole = s.l.whole && tkg_vec4_aligned(c->out, 0) &&
              (BITS != EXACT || tkg_vec4_aligned(c->data[1], 0));
  s.noise = codes_noise_of(c, c->in[1]);
  s.least = (float)c->node->f[0];
  s.g = tkg_in<float>(c, 0);
  s.y = c->data[1];
  s.n = tkg_in<float>(c, 2);
  s.out = tkg_out<float>(c);
  return s;
}

#endif
