/* Elementwise ops: out[i] = a formula of shared/formulas.h of element i of each input, which may
 * broadcast, and DROPOUT.
 *
 * They all wait for memory alone: each input is read and the output written once. So only the width
 * of the accesses counts: four floats (16 bytes) per thread, neighbouring threads at neighbouring
 * addresses. The op's number is a template argument, so a kernel is one formula. Elements are
 * independent: results repeat bit for bit. */
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "philox.cuh"
#include "vec8.cuh"
#include "view.h"

/* A kernel was registered for an op that formulas.h does not have. */
static int no_formula(const tkg_call *c) {
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: no formula", tkg__ops[c->node->op].name);
}

/* ---- one input ---- */

/* The first 4 * n4 elements by four, the others one by one. `out` may be `x`. */
template <int OP>
static __global__ void unary_kernel(int64_t n, int64_t n4, const float *x, float *out, float f0,
                                    float f1) {
  const float4 *x4 = reinterpret_cast<const float4 *>(x);
  for (int64_t i = tkg_first(); i < n4; i += tkg_stride()) {
    const float4 v = x4[i];
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(unary(OP, v.x, f0, f1), unary(OP, v.y, f0, f1), unary(OP, v.z, f0, f1),
                    unary(OP, v.w, f0, f1));
  }
  for (int64_t i = 4 * n4 + tkg_first(); i < n; i += tkg_stride()) out[i] = unary(OP, x[i], f0, f1);
}

/* Groups of four among n elements if all the arrays are aligned for them, else 0. */
static int64_t vec4_count(int64_t n, const void *a, const void *b, const void *c) {
  return tkg_vec4_aligned(a, 0) && tkg_vec4_aligned(b, 0) && tkg_vec4_aligned(c, 0) ? n / 4 : 0;
}

/* One thread per group of four, or per element without groups. */
static tkg_shape vec4_shape(int64_t n, int64_t n4) { return tkg_flat(n4 > 0 ? n4 : n); }

template <int OP> static void unary_launch(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), n4 = vec4_count(n, c->data[0], c->out, NULL);
  tkg_launch(unary_kernel<OP>, vec4_shape(n, n4), stream, n, n4, tkg_in<float>(c, 0),
             tkg_out<float>(c), (float)c->node->f[0], (float)c->node->f[1]);
}

static int unary_run(const tkg_call *c, cudaStream_t stream) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    unary_launch<TKG_OP_##name>(c, stream);                                                        \
    break;
  switch (c->node->op) {
    UNARY_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

/* ---- none ---- */

static __global__ void full_kernel(int64_t n, float value, float *out) {
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) out[i] = value;
}

static int full_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(full_kernel, tkg_flat(n), stream, n, (float)c->node->f[0], tkg_out<float>(c));
  return TKG_OK;
}

/* ---- two inputs that broadcast ---- */

/* Equal shapes: positions need no computation. */
template <int OP>
static __global__ void binary_flat(int64_t n, int64_t n4, const float *a, const float *b,
                                   float *out) {
  const float4 *a4 = reinterpret_cast<const float4 *>(a), *b4 = reinterpret_cast<const float4 *>(b);
  for (int64_t i = tkg_first(); i < n4; i += tkg_stride()) {
    const float4 v = a4[i], w = b4[i];
    reinterpret_cast<float4 *>(out)[i] = make_float4(binary(OP, v.x, w.x), binary(OP, v.y, w.y),
                                                     binary(OP, v.z, w.z), binary(OP, v.w, w.w));
  }
  for (int64_t i = 4 * n4 + tkg_first(); i < n; i += tkg_stride()) out[i] = binary(OP, a[i], b[i]);
}

template <int OP, class Index>
static __global__ void binary_view(Index n, tkg_view v, const float *a, const float *b,
                                   float *out) {
  for (int64_t i = tkg_first(); i < (int64_t)n; i += tkg_stride()) {
    int64_t at[2];
    tkg_view_at<Index>(v, (Index)i, at);
    out[i] = binary(OP, a[at[0]], b[at[1]]);
  }
}

template <int OP> static void binary_launch(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[1]);
  const float *a = tkg_in<float>(c, 0), *b = tkg_in<float>(c, 1);
  if (v.rank == 1 && v.stride[0][0] && v.stride[0][1]) {
    const int64_t n4 = vec4_count(n, a, b, c->out);
    tkg_launch(binary_flat<OP>, vec4_shape(n, n4), stream, n, n4, a, b, tkg_out<float>(c));
  } else if (n <= UINT32_MAX) {
    tkg_launch(binary_view<OP, uint32_t>, tkg_flat(n), stream, (uint32_t)n, v, a, b,
               tkg_out<float>(c));
  } else {
    tkg_launch(binary_view<OP, uint64_t>, tkg_flat(n), stream, (uint64_t)n, v, a, b,
               tkg_out<float>(c));
  }
}

static int binary_run(const tkg_call *c, cudaStream_t stream) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    binary_launch<TKG_OP_##name>(c, stream);                                                       \
    break;
  switch (c->node->op) {
    BINARY_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

/* ---- gradients: g and what forward saw ---- */

template <int OP>
static __global__ void grad_kernel(int64_t n, int64_t n4, const float *g, const float *y,
                                   float *out, float f0, float f1) {
  const float4 *g4 = reinterpret_cast<const float4 *>(g), *y4 = reinterpret_cast<const float4 *>(y);
  for (int64_t i = tkg_first(); i < n4; i += tkg_stride()) {
    const float4 v = g4[i], w = y4[i];
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(grad(OP, v.x, w.x, f0, f1), grad(OP, v.y, w.y, f0, f1),
                    grad(OP, v.z, w.z, f0, f1), grad(OP, v.w, w.w, f0, f1));
  }
  for (int64_t i = 4 * n4 + tkg_first(); i < n; i += tkg_stride())
    out[i] = grad(OP, g[i], y[i], f0, f1);
}

/* The gradient of LEAKY_RELU from a saved sign mask: bit i % 8 of byte i / 8 is x[i] > 0. */
static __global__ void masked_grad(int64_t n, int64_t n4, const float *g, const uint8_t *mask,
                                   float *out, float slope) {
  for (int64_t i = tkg_first(); i < n4; i += tkg_stride()) {
    const float4 v = reinterpret_cast<const float4 *>(g)[i];
    const unsigned bits = (unsigned)mask[i / 2] >> 4 * (i % 2);
    reinterpret_cast<float4 *>(out)[i] =
        make_float4(bits & 1 ? v.x : slope * v.x, bits & 2 ? v.y : slope * v.y,
                    bits & 4 ? v.z : slope * v.z, bits & 8 ? v.w : slope * v.w);
  }
  for (int64_t i = 4 * n4 + tkg_first(); i < n; i += tkg_stride())
    out[i] = mask[i / 8] >> i % 8 & 1 ? g[i] : slope * g[i];
}

template <int OP> static void grad_launch(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), n4 = vec4_count(n, c->data[0], c->data[1], c->out);
  tkg_launch(grad_kernel<OP>, vec4_shape(n, n4), stream, n, n4, tkg_in<float>(c, 0),
             tkg_in<float>(c, 1), tkg_out<float>(c), (float)c->node->f[0], (float)c->node->f[1]);
}

static void masked_launch(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), n4 = vec4_count(n, c->data[0], NULL, c->out);
  tkg_launch(masked_grad, vec4_shape(n, n4), stream, n, n4, tkg_in<float>(c, 0),
             tkg_in<uint8_t>(c, 1) + tkg__signs_at(c->in[1]), tkg_out<float>(c),
             (float)c->node->f[0]);
}

static int grad_run(const tkg_call *c, cudaStream_t stream) {
  if (c->in[1]->dtype != TKG_F32) {
    masked_launch(c, stream);
    return TKG_OK;
  }
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    grad_launch<TKG_OP_##name>(c, stream);                                                         \
    break;
  switch (c->node->op) {
    GRAD_OPS(X)
  default:
    return no_formula(c);
  }
#undef X
  return TKG_OK;
}

/* ---- dropout ---- */

/* One thread per Philox block and its eight elements. An element is kept if u = (number + 1/2) /
 * 65,536 >= p, which is number >= threshold. */
static __global__ void dropout_kernel(int64_t n, bool aligned, tkg_noise noise, const float *x,
                                      float *out, uint32_t threshold, float scale) {
  for (int64_t b = tkg_first(); b * VEC8 < n; b += tkg_stride()) {
    const int count = n - b * VEC8 < VEC8 ? (int)(n - b * VEC8) : VEC8;
    const bool whole = aligned && count == VEC8;
    uint32_t words[4];
    float v[VEC8];
    load_vec8(x + b * VEC8, whole, count, v);
    tkg_draw(noise, (uint64_t)b, words);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] = tkg_half(words, k) >= threshold ? v[k] * scale : 0.0F;
    store_vec8(out + b * VEC8, whole, count, v);
  }
}

/* With ids, row k is dropped as row ids[k] of a larger matrix: element (k, j) uses number
 * ids[k] cols + j. One thread per eight elements of a row; their numbers lie in one Philox block,
 * or in two if rows are no multiple of eight. */
static __global__ void dropout_rows_kernel(int64_t rows, int64_t cols, bool aligned,
                                           tkg_noise noise, const float *x, const int32_t *ids,
                                           float *out, uint32_t threshold, float scale,
                                           tkg_error_slot error) {
  const int64_t vec8s = (cols + VEC8 - 1) / VEC8;
  for (int64_t i = tkg_first(); i < rows * vec8s; i += tkg_stride()) {
    const int64_t r = i / vec8s, e = i - r * vec8s, left = cols - e * VEC8;
    const int count = left < VEC8 ? (int)left : VEC8;
    const bool whole = aligned && count == VEC8;
    if (!tkg_check_id(ids[r], (int64_t)INT32_MAX + 1, r, error, e == 0)) continue;
    const uint64_t number = (uint64_t)(ids[r] * cols + e * VEC8);
    const int skip = (int)(number % VEC8);
    uint32_t words[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    float v[VEC8];
    load_vec8(x + r * cols + e * VEC8, whole, count, v);
    tkg_draw(noise, number / VEC8, words);
    if (skip) tkg_draw(noise, number / VEC8 + 1, words + 4);
    for (int k = 0; k < skip; k++) { /* shift the noise down by one number */
      TKG_UNROLL
      for (int w = 0; w < 8; w++) words[w] = words[w] >> 16 | (w < 7 ? words[w + 1] << 16 : 0u);
    }
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) v[k] = tkg_half(words, k) >= threshold ? v[k] * scale : 0.0F;
    store_vec8(out + r * cols + e * VEC8, whole, count, v);
  }
}

static int dropout_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), cols = tkg__cols(c->node), rows = tkg__rows(c->node);
  const double p = c->node->f[0], least = ceil(p * 65536.0 - 0.5);
  const uint32_t threshold = (uint32_t)(least > 0 ? least : 0);
  const float scale = (float)(1.0 / (1.0 - p));
  const tkg_noise noise = tkg_noise_of(c, c->node->i[0]);
  const bool rows_too = c->data[1] != NULL;
  const bool aligned = tkg_vec4_aligned(c->data[0], rows_too ? cols : 0) &&
                       tkg_vec4_aligned(c->out, rows_too ? cols : 0);
  if (rows_too)
    tkg_launch(dropout_rows_kernel, tkg_flat(rows * tkg_ceil(cols, VEC8)), stream, rows, cols,
               aligned, noise, tkg_in<float>(c, 0), tkg_in<int32_t>(c, 1), tkg_out<float>(c),
               threshold, scale, tkg__error_slot_ids(c, (int64_t)INT32_MAX + 1));
  else
    tkg_launch(dropout_kernel, tkg_flat(tkg_ceil(n, VEC8)), stream, n, aligned, noise,
               tkg_in<float>(c, 0), tkg_out<float>(c), threshold, scale);
  return TKG_OK;
}

#define UNARY(name, ...) {TKG_OP_##name, unary_run, NULL},
#define BINARY(name, ...) {TKG_OP_##name, binary_run, NULL},
#define GRAD(name, ...) {TKG_OP_##name, grad_run, NULL},

/* clang-format off */
const tkg_cuda_op tkg__cuda_elementwise[] = {
    {TKG_OP_FULL, full_run, NULL},
    UNARY_OPS(UNARY)
    BINARY_OPS(BINARY)
    GRAD_OPS(GRAD)
    {TKG_OP_DROPOUT, dropout_run, NULL},
    {0, NULL, NULL},
};
