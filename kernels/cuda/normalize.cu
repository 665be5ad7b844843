/* Rows divided by their Euclidean lengths: ROW_NORM, NORMALIZE and NORMALIZE_GRAD, which may read
 * the normalised rows from codes. The formulas stand above the kernels.
 *
 * One group of lanes takes a row, each lane eight neighbouring elements at a time. Rows of up to
 * 256 elements are read once and stay in registers; longer ones are read again, from cache. Codes
 * are decoded in registers: a layer saved in 2 bits per element is never written out as floats.
 * Lanes add in a fixed order, so results repeat bit for bit. */
#include "family.h"
#include "normalize.cuh"

/* ---- row_norm ---- */

static __global__ void row_norm_kernel(packed_layout l, int width, norm_floor f, const float *x,
                                       float *out) {
  row_norm_rows(tkg_in_grid(), l, width, f, x, out);
}

static int row_norm_run(const tkg_call *c, cudaStream_t stream) {
  const float *x = tkg_in<float>(c, 0);
  const packed_layout l = layout_of(EXACT, tkg__rows(c->in[0]), tkg__cols(c->in[0]), x);
  tkg_launch(row_norm_kernel, tkg_groups(l.rows, lanes_of(l)), stream, l, lanes_of(l),
             norm_floor_of(c->node), x, tkg_out<float>(c));
  return TKG_OK;
}

/* ---- normalize: x / n; one thread per eight elements ---- */

static __global__ void normalize_kernel(packed_layout l, const float *x, const float *n,
                                        float *out) {
  normalize_rows(tkg_in_grid(), l, x, n, out);
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

template <int BITS> static __global__ void gradient_kernel(normalized_gradient s, int width) {
  gradient_rows<BITS>(tkg_in_grid(), s, width, 0, s.l.rows);
}

template <int BITS> static void gradient_launch(const tkg_call *c, cudaStream_t stream) {
  const normalized_gradient s = gradient_of<BITS>(c);
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
