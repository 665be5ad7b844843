/* The host's side of rows of codes that are read in any order (coded_rows.cuh), and their noise. */
#include "coded_rows.cuh"

#include "family.h"
#include "shared/codec.h"

static int64_t align(int64_t bytes) { return tkg_ceil(bytes, 256) * 256; }

static bool has_noise(const tkg_node *x) {
  return x->dtype == TKG_CODES && x->i[1] == TKG_ROUND_DITHER;
}

/* Numbers of rows, or of columns: whole blocks of eight. */
static int64_t line_bytes(int64_t count) { return align(2 * tkg_ceil(count, 8) * 8); }

int64_t tkg__coded_bytes(const tkg_node *const *in, int k) {
  return has_noise(in[k]) ? line_bytes(tkg__rows(in[k])) + line_bytes(tkg__cols(in[k])) : 0;
}

/* One thread per block of eight numbers, of rows, then of columns. */
static __global__ void noise_kernel(tkg_noise noise, int64_t row_blocks, int64_t column_blocks,
                                    uint4 *rows, uint4 *columns) {
  for (int64_t i = tkg_first(); i < row_blocks + column_blocks; i += tkg_stride()) {
    const int64_t column = i - row_blocks;
    uint32_t words[4];
    tkg_draw(noise, column < 0 ? tkg__codec_row_block(8 * i) : tkg__codec_col_block(8 * column),
             words);
    *(column < 0 ? rows + i : columns + column) =
        make_uint4(words[0], words[1], words[2], words[3]);
  }
}

tkg_coded_rows tkg__coded_rows(const tkg_call *c, int k, void *scratch, cudaStream_t stream) {
  const tkg_node *x = c->in[k];
  const int64_t rows = tkg__rows(x), cols = tkg__cols(x);
  tkg_coded_rows s = {};
  s.columns = cols;
  s.x = tkg_in<float>(c, k);
  if (x->dtype != TKG_CODES) return s;
  char *lines = static_cast<char *>(scratch);
  s.bits = (int)x->i[0];
  s.dithers = tkg__codec_dithers((int)x->i[1]);
  s.independent = x->i[1] == TKG_ROUND_DITHER_INDEPENDENT;
  s.noise = tkg_noise_of(c, x->i[2]);
  s.row_bytes = tkg__codec_row_bytes(s.bits, cols);
  s.codes = tkg_in<uint8_t>(c, k);
  s.pairs =
      reinterpret_cast<const uint32_t *>(s.codes + tkg__codec_pair_offset(s.bits, rows, cols));
  s.signs = x->i[3] ? s.codes + tkg__signs_at(x) : NULL;
  if (!has_noise(x)) return s;
  char *columns = lines + line_bytes(rows);
  s.row_noise = reinterpret_cast<const uint16_t *>(lines);
  s.column_noise = reinterpret_cast<const uint16_t *>(columns);
  const int64_t row_blocks = tkg_ceil(rows, 8), column_blocks = tkg_ceil(cols, 8);
  tkg_launch(noise_kernel, tkg_flat(row_blocks + column_blocks), stream, s.noise, row_blocks,
             column_blocks, reinterpret_cast<uint4 *>(lines), reinterpret_cast<uint4 *>(columns));
  return s;
}
