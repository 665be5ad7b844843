/* The host's side of rows of codes that are read in any order (coded_rows.cuh), and their noise. */
#include "coded_rows.cuh"

#include "family.h"
#include "shared/codec.h"

static int64_t align(int64_t bytes) { return tkg_ceil(bytes, 256) * 256; }

static bool has_noise(const tkg_node *x) {
  return x->dtype == TKG_CODES && x->i[1] == TKG_ROUND_DITHER;
}

/* Philox blocks of four words of rows, or of eight numbers of columns. */
static int64_t row_blocks(const tkg_node *x) { return tkg_ceil(tkg__rows(x), 4); }
static int64_t column_blocks(const tkg_node *x) { return tkg_ceil(tkg__cols(x), 8); }
static int64_t line_bytes(int64_t blocks) { return align(blocks * (int64_t)sizeof(uint4)); }

int64_t tkg__coded_bytes(const tkg_node *const *in, int k) {
  if (!has_noise(in[k])) return 0;
  return line_bytes(row_blocks(in[k])) + line_bytes(column_blocks(in[k]));
}

/* One thread per block, of rows, then of columns. */
static __global__ void noise_kernel(tkg_noise noise, uint64_t first_row, uint64_t first_column,
                                    int64_t row_blocks, int64_t column_blocks, uint4 *rows,
                                    uint4 *columns) {
  for (int64_t i = tkg_first(); i < row_blocks + column_blocks; i += tkg_stride()) {
    const int64_t column = i - row_blocks;
    uint32_t words[4];
    tkg_draw(noise, column < 0 ? first_row + (uint64_t)i : first_column + (uint64_t)column, words);
    *(column < 0 ? rows + i : columns + column) =
        make_uint4(words[0], words[1], words[2], words[3]);
  }
}

tkg_coded_rows tkg__coded_rows(const tkg_call *c, int k, void *scratch, cudaStream_t stream) {
  const tkg_node *x = c->in[k];
  const int64_t rows = tkg__rows(x), cols = tkg__cols(x);
  tkg_coded_rows s = {};
  s.columns = cols;
  s.before = x->first_row;
  s.x = tkg_in<float>(c, k);
  if (x->dtype != TKG_CODES) return s;
  char *words = static_cast<char *>(scratch), *numbers = words + line_bytes(row_blocks(x));
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
  tkg_launch(noise_kernel, tkg_flat(row_blocks(x) + column_blocks(x)), stream, s.noise,
             tkg__codec_row_block(x->first_row), tkg__codec_col_block(0), row_blocks(x),
             column_blocks(x), reinterpret_cast<uint4 *>(words),
             reinterpret_cast<uint4 *>(numbers));
  s.row_noise = reinterpret_cast<const uint32_t *>(words);
  s.column_noise = reinterpret_cast<const uint16_t *>(numbers);
  return s;
}
