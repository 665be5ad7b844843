#include "codec.h"

#include <inttypes.h>

#include "base/error.h"
#include "isa.h"

TKG__DECLARE_TABLES(tkg__codec_kernels, tkg__cpu_codec);

const tkg__codec_kernels *tkg__codec(void) { return TKG__PICK(tkg__cpu_codec); }

int64_t tkg_codec_bytes(int bits, int64_t rows, int64_t cols) {
  if ((bits != 8 && bits != 4 && bits != 2 && bits != 1) || rows < 0 || cols < 0) return -1;
  /* Half the range of an offset, so that no sum on the way to it overflows either. */
  if (cols > INT64_MAX / 16 || (rows && cols + 16 > INT64_MAX / 16 / rows)) return -1;
  return tkg__codec_bytes(bits, rows, cols);
}

static int check(int bits, int rounding, int64_t rows, int64_t cols) {
  if (rounding < TKG_ROUND_DITHER || rounding >= TKG_ROUNDINGS)
    return tkg__fail(TKG_E_ARGUMENT, "codec: no rounding has the number %d", rounding);
  if (tkg_codec_bytes(bits, rows, cols) < 0)
    return tkg__fail(TKG_E_ARGUMENT,
                     "codec: cannot keep %" PRId64 " x %" PRId64
                     " floats in %d bits; bits are 8, 4, 2 or 1 and sizes not negative",
                     rows, cols, bits);
  return TKG_OK;
}

int tkg_codec_encode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const float *x, int64_t rows, int64_t cols, uint8_t *packed) {
  int status = check(bits, rounding, rows, cols);
  if (status) return status;
  const tkg_codec codec = {bits, rounding, seed, step, stream, 0};
  tkg__codec()->encode(&codec, x, cols, rows, 0, rows, packed);
  return TKG_OK;
}

int tkg_codec_decode(int bits, int rounding, uint64_t seed, uint32_t step, uint32_t stream,
                     const uint8_t *packed, int64_t rows, int64_t cols, float *x) {
  int status = check(bits, rounding, rows, cols);
  if (status) return status;
  const tkg_codec codec = {bits, rounding, seed, step, stream, 0};
  tkg__codec()->decode(&codec, packed, cols, rows, 0, rows, x);
  return TKG_OK;
}
