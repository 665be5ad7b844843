/* Rows divided by their Euclidean lengths: ROW_NORM, NORMALIZE and NORMALIZE_GRAD, which may read
 * the normalised rows from codes. The formulas stand above the kernels.
 *
 * One group of lanes takes a row, each lane eight neighbouring elements at a time. Rows of up to
 * 256 elements are read once and stay in registers; longer ones are read again, from cache. Codes
 * are decoded in registers: a layer saved in 2 bits per element is never written out as floats.
 * Lanes add in a fixed order, so results repeat bit for bit. */
#include "codes.cuh"
#include "family.h"
#include "warp.cuh"

enum { EXACT = 32 }; /* stands for the bits of rows that are floats */

/* ---- row_norm: max(|x|, f0) ---- */

/* A NaN in the row gives NaN. */
static __global__ void row_norm_kernel(packed_layout l, int width, float least, const float *x,
                                       float *out) {
  const tkg_group g = tkg_group_of(width);
  for (int64_t r = g.row; tkg_any_row(r, l.rows); r += g.stride) {
    float sum = 0;
    for (int64_t e = g.lane; r < l.rows && e < l.vec8s; e += g.width) {
      float v[VEC8];
      load_vec8(x + r * l.cols + e * VEC8, l.whole, columns_of(l, e), v);
      TKG_UNROLL
      for (int k = 0; k < VEC8; k++) sum += v[k] * v[k];
    }
    const float length = sqrtf(tkg_group_sum(sum, width));
    if (r < l.rows && g.lane == 0) out[r] = length < least ? least : length;
  }
}

static int lanes_of(const packed_layout &l) { return tkg_group_width(l.vec8s); }

static int row_norm_run(const tkg_call *c, cudaStream_t stream) {
  const float *x = tkg_in<float>(c, 0);
  const packed_layout l = layout_of(EXACT, tkg__rows(c->in[0]), tkg__cols(c->in[0]), x);
  tkg_launch(row_norm_kernel, tkg_groups(l.rows, lanes_of(l)), stream, l, lanes_of(l),
             (float)c->node->f[0], x, tkg_out<float>(c));
  return TKG_OK;
}

/* ---- normalize: x / n; one thread per eight elements ---- */

static __global__ void normalize_kernel(packed_layout l, const float *x, const float *n,
                                        float *out) {
  for (int64_t i = tkg_first(); i < l.rows * l.vec8s; i += tkg_stride()) {
    const int64_t r = i / l.vec8s, e = i - r * l.vec8s, at = r * l.cols + e * VEC8;
    const float scale = 1.0F / n[r];
    float v[VEC8];
    load_vec8(x + at, l.whole, columns_of(l, e), v);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] *= scale;
    store_vec8(out + at, l.whole, columns_of(l, e), v);
  }
}

static int normalize_run(const tkg_call *c, cudaStream_t stream) {
  const float *x = tkg_in<float>(c, 0);
  packed_layout l = layout_of(EXACT, tkg__rows(c->node), tkg__cols(c->node), x);
  l.whole = l.whole && tkg_vec4_aligned(c->out, 0);
  tkg_launch(normalize_kernel, tkg_flat(l.rows * l.vec8s), stream, l, x, tkg_in<float>(c, 1),
             tkg_out<float>(c));
  return TKG_OK;
}

/* ---- normalize_grad: g, y, n -> (g - y (g . y)) / n; g / n at the floor, where n is constant ----
 *
 * Codes give y' = y + e, where e is uniform in a step s and independent by element (dither), with
 * variance s^2 / 12. So E[y' (g . y')] = y (g . y) + s^2 / 12 g, and s^2 / 12 g is added back. */

typedef struct gradient {
  packed_layout l;
  codes_noise noise;
  float least;
  const float *g, *n;
  const void *y; /* floats, or codes */
  float *out;    /* may be g */
} gradient;

template <int BITS>
static __device__ __forceinline__ tkg__codec_pair pair_of(const gradient &s, int64_t r) {
  const uint8_t *packed = static_cast<const uint8_t *>(s.y);
  if (BITS == EXACT) return {0, 0};
  return tkg__codec_pair_of(reinterpret_cast<const uint32_t *>(packed + s.l.pair_offset)[r]);
}

/* Loads elements 8 e .. 8 e + 7 of row r of g and of y. */
template <int BITS>
static __device__ __forceinline__ void load_both(const gradient &s, codes_noise &noise, int64_t r,
                                                 int64_t e, tkg__codec_pair pair, float g[VEC8],
                                                 float y[VEC8]) {
  const int64_t at = r * s.l.cols + e * VEC8;
  const int count = columns_of(s.l, e);
  load_vec8(s.g + at, s.l.whole, count, g);
  if (BITS == EXACT)
    load_vec8(static_cast<const float *>(s.y) + at, s.l.whole, count, y);
  else
    decode_vec8<BITS == EXACT ? 8 : BITS>(s.l, static_cast<const uint8_t *>(s.y), r, e, pair, noise,
                                          y);
}

template <int BITS> static __global__ void gradient_kernel(gradient s, int width) {
  const tkg_group group = tkg_group_of(width);
  codes_noise noise = s.noise;
  for (int64_t r = group.row; tkg_any_row(r, s.l.rows); r += group.stride) {
    const bool exists = r < s.l.rows;
    const tkg__codec_pair pair = pair_of<BITS>(s, exists ? r : 0);
    float g[VEC8], y[VEC8], dot = 0;
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
    for (int64_t e = group.lane; e < s.l.vec8s; e += width) {
      if (s.l.vec8s > width) load_both<BITS>(s, noise, r, e, pair, g, y);
      TKG_UNROLL
      for (int k = 0; k < VEC8; k++) g[k] = (own * g[k] - y[k] * along) * scale;
      store_vec8(s.out + r * s.l.cols + e * VEC8, s.l.whole, columns_of(s.l, e), g);
    }
  }
}

template <int BITS> static void gradient_launch(const tkg_call *c, cudaStream_t stream) {
  const tkg_node *y = c->in[1];
  gradient s = {};
  s.l = layout_of(BITS, tkg__rows(c->node), tkg__cols(c->node), tkg_in<float>(c, 0));
  s.l.whole = s.l.whole && tkg_vec4_aligned(c->out, 0) &&
              (BITS != EXACT || tkg_vec4_aligned(c->data[1], 0));
  s.noise = codes_noise_of(c, y);
  s.least = (float)c->node->f[0];
  s.g = tkg_in<float>(c, 0);
  s.y = c->data[1];
  s.n = tkg_in<float>(c, 2);
  s.out = tkg_out<float>(c);
  tkg_launch(gradient_kernel<BITS>, tkg_groups(s.l.rows, lanes_of(s.l)), stream, s, lanes_of(s.l));
}

static int gradient_run(const tkg_call *c, cudaStream_t stream) {
  if (c->in[1]->dtype == TKG_CODES)
    tkg_with_bits(c->in[1]->i[0], [=](auto bits) { gradient_launch<bits()>(c, stream); });
  else
    gradient_launch<EXACT>(c, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_normalize[] = {
    {TKG_OP_ROW_NORM, row_norm_run, NULL},
    {TKG_OP_NORMALIZE, normalize_run, NULL},
    {TKG_OP_NORMALIZE_GRAD, gradient_run, NULL},
    {0, NULL, NULL},
};
