/* Loops of elementwise ops, over the elements that a span gives to a thread: those of a whole value
 * (elementwise.cu), or of a tile (tiles.cu). Elements are independent. `out` may be an input that
 * has its shape. */
#ifndef TKG_CUDA_ELEMENTWISE_H
#define TKG_CUDA_ELEMENTWISE_H

#include "device_errors.h"
#include "launch.h"
#include "philox.cuh"
#include "vec4.cuh"
#include "vec8.cuh"

/* ---- one input ---- */

/* The first 4 * n4 elements by four, the others one by one. `out` may be `x`. */
template <int OP>
static __device__ __forceinline__ void
unary_elements(tkg_span s, int64_t n, int64_t n4, const float *x, float *out, float f0, float f1) {
  const float4 *x4 = reinterpret_cast<const float4 *>(x);
  for (int64_t i = s.first; i < n4; i += s.stride) {
    const float4 v = x4[i];
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(unary(OP, v.x, f0, f1), unary(OP, v.y, f0, f1), unary(OP, v.z, f0, f1),
                    unary(OP, v.w, f0, f1));
  }
  for (int64_t i = 4 * n4 + s.first; i < n; i += s.stride) out[i] = unary(OP, x[i], f0, f1);
}

/* ---- two inputs ---- */

/* Equal shapes: positions need no computation. */
template <int OP>
static __device__ __forceinline__ void binary_elements(tkg_span s, int64_t n, int64_t n4,
                                                       const float *a, const float *b, float *out) {
  const float4 *a4 = reinterpret_cast<const float4 *>(a), *b4 = reinterpret_cast<const float4 *>(b);
  for (int64_t i = s.first; i < n4; i += s.stride) {
    const float4 v = a4[i], w = b4[i];
    reinterpret_cast<float4 *>(out)[i] = make_float4(binary(OP, v.x, w.x), binary(OP, v.y, w.y),
                                                     binary(OP, v.z, w.z), binary(OP, v.w, w.w));
  }
  for (int64_t i = 4 * n4 + s.first; i < n; i += s.stride) out[i] = binary(OP, a[i], b[i]);
}

/* Where a thread reads an input that may be broadcast: elements from one row, or column, to the
 * next, 0 where it is repeated. */
typedef struct tkg_strides {
  int row, column;
} tkg_strides;

/* Four columns from c on. */
static __device__ __forceinline__ float4 four_of(const float *x, tkg_strides s, uint32_t r,
                                                 uint32_t c) {
  x += (int64_t)r * s.row;
  if (s.column) return *reinterpret_cast<const float4 *>(x + c);
  return make_float4(*x, *x, *x, *x);
}

/* Rows of two inputs that broadcast; by four columns if `four`: rows are aligned. There are less
 * than 2^32 elements. */
template <int OP>
static __device__ __forceinline__ void binary_rows(tkg_span s, uint32_t rows, uint32_t cols,
                                                   bool four, const float *a, tkg_strides sa,
                                                   const float *b, tkg_strides sb, float *out) {
  const uint32_t units = four ? cols / 4 : cols;
  TKG_ROLLED
  for (tkg_place p(s, units); p.row < rows; p.go_on()) {
    const uint32_t r = p.row, c = p.unit;
    const int64_t i = (int64_t)r * units + c;
    if (!four) {
      out[i] = binary(OP, a[(int64_t)r * sa.row + c * (uint32_t)sa.column],
                      b[(int64_t)r * sb.row + c * (uint32_t)sb.column]);
      continue;
    }
    const float4 v = four_of(a, sa, r, 4 * c), w = four_of(b, sb, r, 4 * c);
    reinterpret_cast<float4 *>(out)[i] = make_float4(binary(OP, v.x, w.x), binary(OP, v.y, w.y),
                                                     binary(OP, v.z, w.z), binary(OP, v.w, w.w));
  }
}

/* SELECT or REJECT by a saved sign mask: bit i % 8 of byte i / 8 is c[i] > 0. */
template <int OP>
static __device__ __forceinline__ float masked_choice(const uint8_t *mask, int64_t i, float x) {
  return (mask[i / 8] >> i % 8 & 1) == (OP == TKG_OP_SELECT) ? x : 0.0F;
}

template <int OP>
static __device__ __forceinline__ void
choose_rows(tkg_span s, uint32_t rows, uint32_t cols, const float *x, tkg_strides sx,
            const uint8_t *mask, tkg_strides sc, float *out) {
  TKG_ROLLED
  for (tkg_place p(s, cols); p.row < rows; p.go_on()) {
    const uint32_t r = p.row, c = p.unit;
    out[(int64_t)r * cols + c] =
        masked_choice<OP>(mask, (int64_t)r * sc.row + c * (uint32_t)sc.column,
                          x[(int64_t)r * sx.row + c * (uint32_t)sx.column]);
  }
}

/* ---- gradients: g and what forward saw ---- */

template <int OP>
static __device__ __forceinline__ void grad_elements(tkg_span s, int64_t n, int64_t n4,
                                                     const float *g, const float *y, float *out,
                                                     float f0, float f1) {
  const float4 *g4 = reinterpret_cast<const float4 *>(g), *y4 = reinterpret_cast<const float4 *>(y);
  for (int64_t i = s.first; i < n4; i += s.stride) {
    const float4 v = g4[i], w = y4[i];
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(grad(OP, v.x, w.x, f0, f1), grad(OP, v.y, w.y, f0, f1),
                    grad(OP, v.z, w.z, f0, f1), grad(OP, v.w, w.w, f0, f1));
  }
  for (int64_t i = 4 * n4 + s.first; i < n; i += s.stride) out[i] = grad(OP, g[i], y[i], f0, f1);
}

/* The gradient of LEAKY_RELU from a saved sign mask: bit i % 8 of byte i / 8 is x[i] > 0. */
static __device__ __forceinline__ void masked_elements(tkg_span s, int64_t n, int64_t n4,
                                                       const float *g, const uint8_t *mask,
                                                       float *out, float slope) {
  for (int64_t i = s.first; i < n4; i += s.stride) {
    const float4 v = reinterpret_cast<const float4 *>(g)[i];
    const unsigned bits = (unsigned)mask[i / 2] >> 4 * (i % 2);
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(bits & 1 ? v.x : slope * v.x, bits & 2 ? v.y : slope * v.y,
                    bits & 4 ? v.z : slope * v.z, bits & 8 ? v.w : slope * v.w);
  }
  for (int64_t i = 4 * n4 + s.first; i < n; i += s.stride)
    out[i] = mask[i / 8] >> i % 8 & 1 ? g[i] : slope * g[i];
}

/* ---- dropout ---- */

typedef struct dropout_numbers {
  tkg_noise noise;
  uint32_t threshold; /* an element whose number is as large is kept, and multiplied: */
  float scale;
  int64_t before;       /* blocks of rows that other ranks have before the first; not with ids */
  tkg_error_slot error; /* with ids */
} dropout_numbers;

/* Host. */
static inline dropout_numbers dropout_numbers_of(const tkg_call *c) {
  const double p = c->node->f[0], least = ceil(p * 65536.0 - 0.5);
  dropout_numbers d = {};
  d.noise = tkg_noise_of(c, c->node->i[0]);
  d.threshold = (uint32_t)(least > 0 ? least : 0);
  d.scale = (float)(1.0 / (1.0 - p));
  d.before = c->node->first_row * tkg__cols(c->node) / VEC8;
  if (c->data[1]) d.error = tkg__error_slot_ids(c, (int64_t)INT32_MAX + 1);
  return d;
}

/* One thread per Philox block and its eight elements. An element is kept if u = (number + 1/2) /
 * 65,536 >= p, which is number >= threshold. `before`: blocks of this value before the
 * first element. */
static __device__ __forceinline__ void dropout_elements(tkg_span s, int64_t n, bool aligned,
                                                        const dropout_numbers &d, int64_t before,
                                                        const float *x, float *out) {
  for (int64_t b = s.first; b * VEC8 < n; b += s.stride) {
    const int count = n - b * VEC8 < VEC8 ? (int)(n - b * VEC8) : VEC8;
    const bool whole = aligned && count == VEC8;
    uint32_t words[4];
    float v[VEC8];
    load_vec8(x + b * VEC8, whole, count, v);
    tkg_draw(d.noise, (uint64_t)(d.before + before + b), words);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] = tkg_half(words, k) >= d.threshold ? v[k] * d.scale : 0.0F;
    store_vec8(out + b * VEC8, whole, count, v);
  }
}

/* With ids, row k is dropped as row ids[k] of a larger matrix: element (k, j) uses number
 * ids[k] cols + j. One thread per eight elements of a row; their numbers lie in one Philox block,
 * or in two if rows are no multiple of eight. `first` is the number of row 0. */
static __device__ __forceinline__ void dropout_rows(tkg_span s, int64_t first, int64_t rows,
                                                    int64_t cols, bool aligned,
                                                    const dropout_numbers &d, const float *x,
                                                    const int32_t *ids, float *out) {
  const int64_t vec8s = (cols + VEC8 - 1) / VEC8;
  for (int64_t i = s.first; i < rows * vec8s; i += s.stride) {
    const int64_t r = i / vec8s, e = i - r * vec8s, left = cols - e * VEC8;
    const int count = left < VEC8 ? (int)left : VEC8;
    const bool whole = aligned && count == VEC8;
    if (!tkg_check_id(ids[r], (int64_t)INT32_MAX + 1, first + r, d.error, e == 0)) continue;
    const uint64_t number = (uint64_t)(ids[r] * cols + e * VEC8);
    const int skip = (int)(number % VEC8);
    uint32_t words[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    float v[VEC8];
    load_vec8(x + r * cols + e * VEC8, whole, count, v);
    tkg_draw(d.noise, number / VEC8, words);
    if (skip) tkg_draw(d.noise, number / VEC8 + 1, words + 4);
    for (int k = 0; k < skip; k++) { /* shift the noise down by one number */
      TKG_UNROLL
      for (int w = 0; w < 8; w++) words[w] = words[w] >> 16 | (w < 7 ? words[w + 1] << 16 : 0u);
    }
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] = tkg_half(words, k) >= d.threshold ? v[k] * d.scale : 0.0F;
    store_vec8(out + r * cols + e * VEC8, whole, count, v);
  }
}

#endif
