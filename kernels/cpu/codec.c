/* The codec's kernels; shared/codec.h has the format and the reasons.
 *
 * A matrix is worked through in tiles of at most TILE elements, which stay in the first cache:
 * several rows, or a piece of a long one. The noise of a tile is made at once: affine noise from
 * the numbers of columns, drawn once per call, and a word per row; of independent noise, the Philox
 * blocks of consecutive rows follow each other. Each row is quantized to one
 * byte per code; then the bytes are packed. Choosing a row's pair takes a few float operations in a
 * fixed order, all else is integers: every instruction set writes the same bytes. */
#include "codec.h"

#include <string.h>

#include "philox_fill.h"

enum { TILE = 2048 };

typedef struct tile {
  int64_t row, rows; /* several rows only if they are whole */
  int64_t col, cols;
  int64_t stride; /* cols rounded up to 8; a row's noise and codes start at a multiple of it */
} tile;

enum { TILE_ROWS = TILE / 8, DRAWN = 4 * TKG__BLOCKS }; /* DRAWN: words in a vector of blocks */
enum { MIXED = 64 };

typedef struct tile_data {
  _Alignas(64) uint16_t noise[TILE];
  _Alignas(64) uint16_t columns[TILE]; /* affine noise: numbers of columns, words of rows */
  _Alignas(64) uint8_t codes[TILE];
  _Alignas(64) uint32_t words[TILE_ROWS + 4 + DRAWN];
  uint32_t pairs[TILE_ROWS];
  int64_t noise_stride; /* from one row's noise to the next one's; 0: all have the same */
  int64_t columns_at;   /* the first of them; -1: none yet */
} tile_data;

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t padded(int64_t cols) { return (cols + 7) / 8 * 8; }

/* The number of rows in a tile; 1 if a row is longer. */
static inline int64_t rows_per_tile(int64_t cols) {
  return cols > TILE / 2 ? 1 : TILE / (cols ? padded(cols) : 8);
}

static inline tile piece(int64_t row, int64_t rows, int64_t col, int64_t cols) {
  int64_t width = smaller(cols - col, TILE);
  return (tile){row, rows, col, width, padded(width)};
}

/* --- noise --- */

/* Noise of rounding to nearest is not drawn: always a half. */
static void begin_noise(const tkg_codec *codec, tile_data *data) {
  for (int64_t i = 0; i < TILE && codec->rounding == TKG_ROUND_NEAREST; i++) data->noise[i] = 32768;
  data->noise_stride = 0;
  data->columns_at = -1;
}

static void draw_columns(const tkg_codec *codec, const tile *t, tile_data *data) {
  if (data->columns_at == t->col) return;
  tkg__philox_fill(codec->seed, tkg__codec_col_block(t->col), t->stride / 8, codec->step,
                   codec->stream, data->columns);
  data->columns_at = t->col;
}

/* Makes a row's numbers (tkg__codec_affine) of `count` columns, in 16 bits: a register has 32. */
static inline void mix(const uint16_t *restrict columns, uint32_t word, int64_t count,
                       uint16_t *restrict noise) {
  const uint16_t factor = (uint16_t)(word | 1), add = (uint16_t)(word >> 16);
#pragma omp simd
  for (int64_t i = 0; i < count; i++) noise[i] = (uint16_t)((uint32_t)columns[i] * factor + add);
}

/* Goes down the rows with as many columns as stay in registers. */
static void mix_rows(const uint16_t *columns, const uint32_t *words, int64_t rows, int64_t stride,
                     uint16_t *noise) {
  int64_t c = 0;
  for (; c + MIXED <= stride; c += MIXED)
    for (int64_t r = 0; r < rows; r++) mix(columns + c, words[r], MIXED, noise + r * stride + c);
  for (int64_t r = 0; r < rows && c < stride; r++)
    mix(columns + c, words[r], stride - c, noise + r * stride + c);
}

static void draw_affine(const tkg_codec *codec, const tile *t, tile_data *data) {
  draw_columns(codec, t, data);
  tkg__philox_fill(codec->seed, tkg__codec_row_block(t->row), (t->row % 4 + t->rows + 3) / 4,
                   codec->step, codec->stream, data->words);
  mix_rows(data->columns, data->words + t->row % 4, t->rows, t->stride, data->noise);
  data->noise_stride = t->stride;
}

static void draw_independent(const tkg_codec *codec, const tile *t, int64_t cols, tile_data *data) {
  tkg__philox_fill(codec->seed, tkg__codec_block(cols, t->row, t->col), t->rows * t->stride / 8,
                   codec->step, codec->stream, data->noise);
  data->noise_stride = t->stride;
}

static void draw_noise(const tkg_codec *codec, const tile *t, int64_t cols, tile_data *data) {
  if (codec->rounding == TKG_ROUND_DITHER)
    draw_affine(codec, t, data);
  else if (codec->rounding != TKG_ROUND_NEAREST)
    draw_independent(codec, t, cols, data);
}

/* --- pairs --- */

static inline void find_range(const float *restrict x, int64_t cols, float *min, float *max) {
  int32_t low = INT32_MAX, high = INT32_MIN;
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int64_t i = 0; i < cols; i++) {
    int32_t order = tkg__float_order((int32_t)v_bits(x[i]));
    low = order < low ? order : low;
    high = order > high ? order : high;
  }
  *min = v_float((uint32_t)tkg__float_order(low));
  *max = v_float((uint32_t)tkg__float_order(high));
}

static void choose_pairs(int bits, const float *x, int64_t rows, int64_t cols, uint32_t *pairs) {
  float min[TILE_ROWS], max[TILE_ROWS];
  for (int64_t r = 0; r < rows; r++) find_range(x + r * cols, cols, min + r, max + r);
  for (int64_t r = 0; r < rows; r++) pairs[r] = tkg__codec_choose(bits, min[r], max[r]);
}

/* --- codes, one per byte --- */

/* v = (x - zero) / step with 16 fractional bits is not negative, as zero <= x. Rounding can take it
 * past the top code, which would change the neighbour's bits, so it is clamped. */
static inline void quantize(const float *restrict x, int64_t cols, int bits, tkg__codec_pair pair,
                            const uint16_t *restrict noise, uint8_t *restrict codes) {
  const int32_t top = ((1 << bits) - 1) << 16;
  const float zero = pair.zero, scale = pair.step > 0 ? 65536.0f / pair.step : 0.0f;
#pragma omp simd
  for (int64_t i = 0; i < cols; i++) {
    int32_t v = (int32_t)((x[i] - zero) * scale + 0.5f);
    v = v < top ? v : top;
    codes[i] = (uint8_t)((v + noise[i]) >> 16);
  }
}

/* q - u in units of 2^-17; `dither` is a constant where this is inlined. */
static inline void restore(const uint8_t *restrict codes, const uint16_t *restrict noise,
                           int64_t cols, int dither, tkg__codec_pair pair, float *restrict x) {
  const float zero = pair.zero, unit = pair.step * 0x1p-17f;
#pragma omp simd
  for (int64_t i = 0; i < cols; i++) {
    int32_t q = codes[i] << 17;
    if (dither) q += 65535 - 2 * noise[i];
    x[i] = zero + (float)q * unit;
  }
}

/* --- packing `bytes` bytes from 8 / bits times as many codes, and back --- */

static inline void pack4(const uint8_t *restrict codes, int64_t bytes, uint8_t *restrict packed) {
  for (int64_t i = 0; i < bytes; i++) {
    uint16_t w;
    memcpy(&w, codes + 2 * i, 2);
    packed[i] = (uint8_t)(w | w >> 4);
  }
}

static inline void pack2(const uint8_t *restrict codes, int64_t bytes, uint8_t *restrict packed) {
  for (int64_t i = 0; i < bytes; i++) {
    uint32_t w;
    memcpy(&w, codes + 4 * i, 4);
    w |= w >> 6;
    packed[i] = (uint8_t)(w | w >> 12);
  }
}

static inline void pack1(const uint8_t *restrict codes, int64_t bytes, uint8_t *restrict packed) {
  for (int64_t i = 0; i < bytes; i++) {
    uint64_t w;
    memcpy(&w, codes + 8 * i, 8);
    w |= w >> 7;
    w |= w >> 14;
    packed[i] = (uint8_t)(w | w >> 28);
  }
}

static inline void unpack4(const uint8_t *restrict packed, int64_t bytes, uint8_t *restrict codes) {
  for (int64_t i = 0; i < bytes; i++) {
    uint16_t w = (uint16_t)((packed[i] | packed[i] << 4) & 0x0F0F);
    memcpy(codes + 2 * i, &w, 2);
  }
}

static inline void unpack2(const uint8_t *restrict packed, int64_t bytes, uint8_t *restrict codes) {
  for (int64_t i = 0; i < bytes; i++) {
    uint32_t w = packed[i];
    w = (w | w << 12) & 0x000F000Fu;
    w = (w | w << 6) & 0x03030303u;
    memcpy(codes + 4 * i, &w, 4);
  }
}

static inline void unpack1(const uint8_t *restrict packed, int64_t bytes, uint8_t *restrict codes) {
  for (int64_t i = 0; i < bytes; i++) {
    uint64_t w = packed[i];
    w = (w | w << 28) & 0x0000000F0000000Fu;
    w = (w | w << 14) & 0x0003000300030003u;
    w = (w | w << 7) & 0x0101010101010101u;
    memcpy(codes + 8 * i, &w, 8);
  }
}

static void pack(int bits, const uint8_t *codes, int64_t bytes, uint8_t *packed) {
  switch (bits) {
  case 4:
    pack4(codes, bytes, packed);
    break;
  case 2:
    pack2(codes, bytes, packed);
    break;
  default:
    pack1(codes, bytes, packed);
  }
}

static void unpack(int bits, const uint8_t *packed, int64_t bytes, uint8_t *codes) {
  switch (bits) {
  case 4:
    unpack4(packed, bytes, codes);
    break;
  case 2:
    unpack2(packed, bytes, codes);
    break;
  default:
    unpack1(packed, bytes, codes);
  }
}

/* Rows are packed at once if their packed bytes lie as close as their codes. Codes of 8 bits are
 * packed as they are. */
static void pack_tile(int bits, const tile *t, int64_t row_bytes, const uint8_t *codes,
                      uint8_t *packed) {
  if (bits == 8) return;
  int64_t bytes = tkg__codec_row_bytes(bits, t->cols);
  if (bytes * 8 == t->stride * bits) {
    pack(bits, codes, t->rows * bytes, packed);
    return;
  }
  for (int64_t r = 0; r < t->rows; r++)
    pack(bits, codes + r * t->stride, bytes, packed + r * row_bytes);
}

static void unpack_tile(int bits, const tile *t, int64_t row_bytes, const uint8_t *packed,
                        uint8_t *codes) {
  if (bits == 8) return;
  int64_t bytes = tkg__codec_row_bytes(bits, t->cols);
  if (bytes * 8 == t->stride * bits) {
    unpack(bits, packed, t->rows * bytes, codes);
    return;
  }
  for (int64_t r = 0; r < t->rows; r++)
    unpack(bits, packed + r * row_bytes, bytes, codes + r * t->stride);
}

/* --- tiles --- */

/* `x` and `packed` are those of the tile's first element, data->pairs of its rows. */
static void encode_tile(const tkg_codec *codec, const tile *t, const float *x, int64_t cols,
                        uint8_t *packed, tile_data *data) {
  const int bits = codec->bits;
  const int64_t room = bits == 8 ? t->cols : t->stride; /* of a row's codes */
  draw_noise(codec, t, cols, data);
  for (int64_t r = 0; r < t->rows; r++) {
    uint8_t *codes = bits == 8 ? packed + r * cols : data->codes + r * t->stride;
    tkg__codec_pair pair = tkg__codec_pair_of(data->pairs[r]);
    if (pair.step == pair.step) {
      quantize(x + r * cols, t->cols, bits, pair, data->noise + r * data->noise_stride, codes);
      for (int64_t c = t->cols; c < room; c++) codes[c] = 0;
    } else {
      memset(codes, 0, (size_t)room);
    }
  }
  pack_tile(bits, t, tkg__codec_row_bytes(bits, cols), data->codes, packed);
}

static void decode_tile(const tkg_codec *codec, const tile *t, const uint8_t *packed, int64_t cols,
                        float *x, tile_data *data) {
  const int dither = tkg__codec_dithers(codec->rounding);
  if (dither) draw_noise(codec, t, cols, data);
  unpack_tile(codec->bits, t, tkg__codec_row_bytes(codec->bits, cols), packed, data->codes);
  for (int64_t r = 0; r < t->rows; r++) {
    const uint8_t *codes = codec->bits == 8 ? packed + r * cols : data->codes + r * t->stride;
    tkg__codec_pair pair = tkg__codec_pair_of(data->pairs[r]);
    if (dither)
      restore(codes, data->noise + r * data->noise_stride, t->cols, 1, pair, x + r * cols);
    else
      restore(codes, NULL, t->cols, 0, pair, x + r * cols);
  }
}

/* --- matrices --- */

static void encode(const tkg_codec *codec, const float *x, int64_t cols, int64_t rows_total,
                   int64_t row_begin, int64_t row_end, uint8_t *packed) {
  const int64_t row_bytes = tkg__codec_row_bytes(codec->bits, cols);
  const int64_t pair_offset = tkg__codec_pair_offset(codec->bits, rows_total, cols);
  const int64_t step = rows_per_tile(cols);
  tile_data data;
  begin_noise(codec, &data);
  for (int64_t row = row_begin; row < row_end; row += step) {
    int64_t rows = smaller(step, row_end - row);
    choose_pairs(codec->bits, x + row * cols, rows, cols, data.pairs);
    memcpy(packed + pair_offset + 4 * row, data.pairs, (size_t)rows * 4);
    for (int64_t col = 0; col < cols; col += TILE) {
      tile t = piece(row, rows, col, cols);
      encode_tile(codec, &t, x + row * cols + col, cols,
                  packed + row * row_bytes + col / 8 * codec->bits, &data);
    }
  }
  int64_t end = rows_total * row_bytes;
  if (row_end == rows_total && end < pair_offset)
    memset(packed + end, 0, (size_t)(pair_offset - end));
}

static void decode(const tkg_codec *codec, const uint8_t *packed, int64_t cols, int64_t rows_total,
                   int64_t row_begin, int64_t row_end, float *x) {
  const int64_t row_bytes = tkg__codec_row_bytes(codec->bits, cols);
  const uint8_t *pairs = packed + tkg__codec_pair_offset(codec->bits, rows_total, cols);
  const int64_t step = rows_per_tile(cols);
  tile_data data;
  begin_noise(codec, &data);
  memset(data.codes, 0, sizeof data.codes);
  for (int64_t row = row_begin; row < row_end; row += step) {
    int64_t rows = smaller(step, row_end - row);
    memcpy(data.pairs, pairs + 4 * row, (size_t)rows * 4);
    for (int64_t col = 0; col < cols; col += TILE) {
      tile t = piece(row, rows, col, cols);
      decode_tile(codec, &t, packed + row * row_bytes + col / 8 * codec->bits, cols,
                  x + (row - row_begin) * cols + col, &data);
    }
  }
}

static void sign_mask(const float *x, int64_t n_begin, int64_t n_end, uint8_t *mask) {
  uint8_t positive[TILE];
  for (int64_t i = n_begin; i < n_end; i += TILE) {
    int64_t n = smaller(TILE, n_end - i);
    for (int64_t j = 0; j < n; j++) positive[j] = x[i + j] > 0;
    for (int64_t j = n; j < padded(n); j++) positive[j] = 0;
    pack1(positive, padded(n) / 8, mask + i / 8);
  }
}

const tkg__codec_kernels TKG_ISA_NAME(tkg__cpu_codec) = {encode, decode, sign_mask};
