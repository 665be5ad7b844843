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
#include "family.h"
#include "launch.h"
#include "saved.cuh"

/* ---- encode ---- */

template <int BITS>
static __global__ void encode_kernel(packed_layout l, int width, codes_noise noise, const float *x,
                                     uint8_t *packed) {
  TKG_SHARED(shared_noise, drawn, [1]);
  encode_rows<BITS>(tkg_in_grid(), l, width, noise, 0, l.rows, x, packed, drawn);
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
  TKG_SHARED(shared_noise, drawn, [1]);
  decode_rows<BITS>(tkg_in_grid(), l, width, noise, 0, l.rows, packed, signs, x, drawn);
}

template <int BITS> static void decode_launch(const tkg_call *c, cudaStream_t stream) {
  float *x = tkg_out<float>(c);
  const packed_layout l = layout_of(BITS, tkg__rows(c->node), tkg__cols(c->node), x);
  const int width = tkg_group_width(l.vec8s);
  tkg_launch(decode_kernel<BITS>, tkg_groups(l.rows, width), stream, l, width,
             codes_noise_of(c, c->node), tkg_in<uint8_t>(c, 0), codes_signs(c, 0), x);
}

/* ---- sign_mask ---- */

static __global__ void sign_mask_kernel(int64_t n, const float *x, uint8_t *mask) {
  sign_mask_elements(tkg_in_grid(), n, true, x, mask);
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
