/* The codec (shared/codec.h) on the CPU. */
#ifndef TKG_CODEC_CPU_H
#define TKG_CODEC_CPU_H

#include "shared/codec.h"

/* Kernels for rows row_begin..row_end-1 of a rows_total x cols matrix. `x` and `packed` are the
 * starts of the whole matrices, but decode's `x` is the start of row row_begin. Calls on disjoint
 * rows may run at once, and write the bytes that one call on all rows writes. */
typedef struct tkg__codec_kernels {
  void (*encode)(const tkg_codec *codec, const float *x, int64_t cols, int64_t rows_total,
                 int64_t row_begin, int64_t row_end, uint8_t *packed);
  void (*decode)(const tkg_codec *codec, const uint8_t *packed, int64_t cols, int64_t rows_total,
                 int64_t row_begin, int64_t row_end, float *x);
  /* Bit i, low bit first in each byte, is x[i] > 0. n_begin is a multiple of 8; the bits of the
   * last byte beyond n_end are zero. */
  void (*sign_mask)(const float *x, int64_t n_begin, int64_t n_end, uint8_t *mask);
} tkg__codec_kernels;

/* The kernels for the instruction set in use. */
const tkg__codec_kernels *tkg__codec(void);

/* Encodes or decodes a whole matrix. TKG_E_ARGUMENT for impossible bits, rounding or sizes.
 * `packed` has tkg_codec_bytes(bits, rows, cols) bytes, which is -1 for impossible arguments. */
int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols);
int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed);
int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x);

#endif
