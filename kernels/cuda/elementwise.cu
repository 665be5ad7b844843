/* Elementwise ops: out[i] = a formula of shared/formulas.h of element i of each input, which may
 * broadcast, and DROPOUT.
 *
 * They all wait for memory alone: each input is read and the output written once. So only the width
 * of the accesses counts: four floats (16 bytes) per thread, neighbouring threads at neighbouring
 * addresses. The op's number is a template argument, so a kernel is one formula. Elements are
 * independent: results repeat bit for bit. */
#include "elementwise.cuh"
#include "family.h"
#include "launch.h"
#include "view.h"

/* A kernel was registered for an op that formulas.h does not have. */
static int no_formula(const tkg_call *c) {
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: no formula", tkg__ops[c->node->op].name);
}

/* ---- one input ---- */

template <int OP>
static __global__ void unary_kernel(int64_t n, int64_t n4, const float *x, float *out, float f0,
                                    float f1) {
  unary_elements<OP>(tkg_in_grid(), n, n4, x, out, f0, f1);
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

template <int OP>
static __global__ void binary_flat(int64_t n, int64_t n4, const float *a, const float *b,
                                   float *out) {
  binary_elements<OP>(tkg_in_grid(), n, n4, a, b, out);
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

template <int OP>
static __global__ void choice_kernel(int64_t n, tkg_view v, const float *x, const uint8_t *mask,
                                     float *out) {
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) {
    int64_t at[2];
    tkg_view_at<uint64_t>(v, (uint64_t)i, at);
    out[i] = masked_choice<OP>(mask, at[1], x[at[0]]);
  }
}

template <int OP> static void choice_launch(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(choice_kernel<OP>, tkg_flat(n), stream, n, tkg__view(c->node, c->in[0], c->in[1]),
             tkg_in<float>(c, 0), tkg_in<uint8_t>(c, 1) + tkg__signs_at(c->in[1]),
             tkg_out<float>(c));
}

static int binary_run(const tkg_call *c, cudaStream_t stream) {
  if (c->in[1]->dtype != TKG_F32) {
    if (c->node->op == TKG_OP_SELECT)
      choice_launch<TKG_OP_SELECT>(c, stream);
    else
      choice_launch<TKG_OP_REJECT>(c, stream);
    return TKG_OK;
  }
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
  grad_elements<OP>(tkg_in_grid(), n, n4, g, y, out, f0, f1);
}

static __global__ void masked_grad(int64_t n, int64_t n4, const float *g, const uint8_t *mask,
                                   float *out, float slope) {
  masked_elements(tkg_in_grid(), n, n4, g, mask, out, slope);
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

static __global__ void dropout_kernel(int64_t n, bool aligned, dropout_numbers d, const float *x,
                                      float *out) {
  dropout_elements(tkg_in_grid(), n, aligned, d, 0, x, out);
}

static __global__ void dropout_rows_kernel(int64_t rows, int64_t cols, bool aligned,
                                           dropout_numbers d, const float *x, const int32_t *ids,
                                           float *out) {
  dropout_rows(tkg_in_grid(), 0, rows, cols, aligned, d, x, ids, out);
}

static int dropout_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), cols = tkg__cols(c->node), rows = tkg__rows(c->node);
  const dropout_numbers d = dropout_numbers_of(c);
  const bool rows_too = c->data[1] != NULL;
  const bool aligned = tkg_vec4_aligned(c->data[0], rows_too ? cols : 0) &&
                       tkg_vec4_aligned(c->out, rows_too ? cols : 0);
  if (rows_too && cols == 0)
    tkg__check_ids(tkg_in<int32_t>(c, 1), rows, (int64_t)INT32_MAX + 1, d.error, stream);
  else if (rows_too)
    tkg_launch(dropout_rows_kernel, tkg_flat(rows * tkg_ceil(cols, VEC8)), stream, rows, cols,
               aligned, d, tkg_in<float>(c, 0), tkg_in<int32_t>(c, 1), tkg_out<float>(c));
  else
    tkg_launch(dropout_kernel, tkg_flat(tkg_ceil(n, VEC8)), stream, n, aligned, d,
               tkg_in<float>(c, 0), tkg_out<float>(c));
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
