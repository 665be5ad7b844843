/* The codec's kernels; shared/codec.h has the format and the reasons.
 *
 * A matrix is worked through in tiles of at most TILE elements, which stay in the first cache:
 * several rows, or a piece of a long one. The noise of a tile is made at once: of affine noise a
 * word per row, beside the numbers of columns, drawn once per call; of independent noise, the
 * Philox blocks of consecutive rows follow each other. Each row is quantized to one byte per code;
 * then the bytes are packed. Choosing a row's pair takes a few float operations in a fixed order,
 * all else is integers: every instruction set writes the same bytes.
 *
 * Rows are short: what is done once per row takes as long as what is done per element. So ends of
 * rows are found for sixteen columns at a time and folded for many rows at once, and the widths
 * that models have are constants of the loops. */
#include "codec.h"

#include <string.h>

#include "code_registers.h"
#include "philox_fill.h"
#include "row_range.h"

enum { TILE = 2048 };

typedef struct tile {
  int64_t row, rows; /* several rows only if they are whole */
  int64_t col, cols;
  int64_t stride; /* cols rounded up to 8; a row's noise and codes start at a multiple of it */
} tile;

enum { TILE_ROWS = TILE / 8, DRAWN = 4 * TKG__BLOCKS }; /* DRAWN: words in a vector of blocks */

typedef struct tile_data {
  _Alignas(64) uint16_t noise[TILE]; /* numbers of elements; of columns alone if it is affine */
  _Alignas(64) uint8_t codes[TILE];
  _Alignas(64) uint32_t columns[TILE]; /* the numbers of columns, times 2^16 */
  _Alignas(64) uint32_t drawn[TILE_ROWS + 4 + DRAWN];
  _Alignas(64) int32_t low[RANGE_ENDS * TILE_ROWS], high[RANGE_ENDS * TILE_ROWS];
  const uint32_t *words; /* by which a row's numbers differ from those of its noise */
  uint32_t pairs[TILE_ROWS];
  float zero[TILE_ROWS], scale[TILE_ROWS];
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
  data->words = NULL;
  data->noise_stride = 0;
  data->columns_at = -1;
}

static void draw_columns(const tkg_codec *codec, const tile *t, tile_data *data) {
  if (data->columns_at == t->col) return;
  tkg__philox_fill(codec->seed, tkg__codec_col_block(t->col), t->stride / 8, codec->step,
                   codec->stream, data->noise);
  for (int64_t c = 0; c < t->stride; c++) data->columns[c] = (uint32_t)data->noise[c] << 16;
  data->columns_at = t->col;
}

static void draw_affine(const tkg_codec *codec, const tile *t, tile_data *data) {
  draw_columns(codec, t, data);
  tkg__philox_fill(codec->seed, tkg__codec_row_block(codec->first_row + t->row),
                   (t->row % 4 + t->rows + 3) / 4, codec->step, codec->stream, data->drawn);
  data->words = data->drawn + t->row % 4;
}

static void draw_independent(const tkg_codec *codec, const tile *t, int64_t cols, tile_data *data) {
  tkg__philox_fill(codec->seed, tkg__codec_block(cols, codec->first_row + t->row, t->col),
                   t->rows * t->stride / 8, codec->step, codec->stream, data->noise);
  data->noise_stride = t->stride;
}

static void draw_noise(const tkg_codec *codec, const tile *t, int64_t cols, tile_data *data) {
  if (codec->rounding == TKG_ROUND_DITHER)
    draw_affine(codec, t, data);
  else if (codec->rounding != TKG_ROUND_NEAREST)
    draw_independent(codec, t, cols, data);
}

/* The word of row r that makes numbers of elements; 0 leaves them as they are. */
TKG_INLINE uint32_t word_of(const tile_data *data, int64_t r) {
  return data->words ? data->words[r] : 0;
}

/* The number of an element (tkg__codec_affine), in 16 bits: a register has 32. */
TKG_INLINE uint16_t number_of(uint16_t noise, uint16_t factor, uint16_t add) {
  return (uint16_t)((uint32_t)noise * factor + add);
}

/* --- pairs --- */

TKG_INLINE void choose_pairs(int bits, const float *x, int64_t rows, int64_t cols,
                             tile_data *data) {
  float min[TILE_ROWS], max[TILE_ROWS];
  const bool at_once = RANGE_ROWS && cols > 0 && cols % RANGE == 0;
  for (int64_t r = 0; at_once && r < rows; r += RANGE_ROWS)
    find_ranges(x + r * cols, rows - r, cols, min + r, max + r);
  for (int64_t r = 0; !at_once && r < rows; r++)
    find_range(x + r * cols, cols, data->low + RANGE_ENDS * r, data->high + RANGE_ENDS * r);
  for (int64_t r = 0; !at_once && r < rows; r++) {
    min[r] = range_least(data->low + RANGE_ENDS * r);
    max[r] = range_most(data->high + RANGE_ENDS * r);
  }
  for (int64_t r = 0; r < rows; r++) data->pairs[r] = tkg__codec_choose(bits, min[r], max[r]);
  for (int64_t r = 0; r < rows; r++) {
    const tkg__codec_pair pair = tkg__codec_pair_of(data->pairs[r]);
    data->zero[r] = pair.zero;
    data->scale[r] = pair.step > 0 ? 65536.0f / pair.step : pair.step;
  }
}

/* --- codes, one per byte --- */

/* What quantizing a row takes beside its elements. */
typedef struct row_code {
  float zero, scale;
  uint16_t factor, add; /* from numbers of noise to those of the row */
  int32_t top;
} row_code;

TKG_INLINE row_code row_code_of(const tile_data *data, int64_t r, int32_t top) {
  const uint32_t word = word_of(data, r);
  return (row_code){data->zero[r], data->scale[r], (uint16_t)(word | 1), (uint16_t)(word >> 16),
                    top};
}

/* v = (x - zero) / step with 16 fractional bits is not negative, as zero <= x. Rounding can take it
 * past the top code, which would change the neighbour's bits, so it is clamped. */
TKG_INLINE uint8_t quantized(float x, uint16_t noise, const row_code *row) {
  const int32_t v = (int32_t)((x - row->zero) * row->scale + 0.5F);
  return (uint8_t)(((v < row->top ? v : row->top) + number_of(noise, row->factor, row->add)) >> 16);
}

/* The same of a register of columns. */
TKG_INLINE void quantize_register(const float *x, const uint16_t *noise, const row_code *row,
                                  uint8_t *codes) {
  typedef uint8_t bytes __attribute__((vector_size(WIDTH)));
  const wide v = (wide_load(x) - row->zero) * row->scale + 0.5F;
  const range_ints none = {0};
  const range_ints q = range_min(__builtin_convertvector(v, range_ints), none + row->top);
  const wide_halves n = *(const wide_halves *)noise * row->factor + row->add;
  const bytes out =
      __builtin_convertvector((q + __builtin_convertvector(n, range_ints)) >> 16, bytes);
  memcpy(codes, &out, sizeof out);
}

TKG_INLINE void quantize(const float *restrict x, int64_t cols, const row_code *of,
                         const uint16_t *restrict noise, uint8_t *restrict codes) {
  const row_code row = *of;
  const int count = (int)cols; /* at most TILE */
  int i = 0;
  for (; WIDTH == 16 && i + WIDTH <= count; i += WIDTH)
    quantize_register(x + i, noise + i, &row, codes + i);
#pragma omp simd
  for (int j = i; j < count; j++) codes[j] = quantized(x[j], noise[j], &row);
}

/* q - u in units of 2^-17; `dither` is a constant where this is inlined. */
TKG_INLINE void restore(const uint8_t *restrict codes, const uint16_t *restrict noise,
                        uint32_t word, int64_t cols, int dither, tkg__codec_pair pair,
                        float *restrict x) {
  const float zero = pair.zero, unit = pair.step * 0x1p-17f;
  const uint16_t factor = (uint16_t)(word | 1), add = (uint16_t)(word >> 16);
#pragma omp simd
  for (int64_t i = 0; i < cols; i++) {
    int32_t q = codes[i] << 17;
    if (dither) q += 65535 - 2 * number_of(noise[i], factor, add);
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

/* The tile's first rows, many together; returns how many. */
TKG_INLINE int64_t encode_most(const tkg_codec *codec, const tile *t, const float *x, int64_t cols,
                               uint8_t *packed, tile_data *data) {
  uint16_t factor[TILE_ROWS], add[TILE_ROWS];
  const int64_t most = cols < AT_ONCE ? t->rows / (AT_ONCE / cols) * (AT_ONCE / cols) : t->rows;
  for (int64_t r = 0; r < most; r++) {
    const uint32_t word = word_of(data, r);
    factor[r] = (uint16_t)(word | 1);
    add[r] = (uint16_t)(word >> 16);
  }
  const quantized_rows rows = {data->noise, factor,      add,
                               data->zero,  data->scale, ((1 << codec->bits) - 1) << 16};
  switch (codec->bits) {
#define X(bits)                                                                                    \
  case bits:                                                                                       \
    encode_at_once(&rows, bits, most, cols, x, packed);                                            \
    break;
    X(8) X(4) X(2) X(1)
#undef X
  }
  return most;
}

/* `x` and `packed` are those of the tile's first element, data->pairs of its rows. */
TKG_INLINE void encode_tile(const tkg_codec *codec, const tile *t, const float *x, int64_t cols,
                            uint8_t *packed, tile_data *data) {
  const int bits = codec->bits;
  const int32_t top = ((1 << bits) - 1) << 16;
  const int64_t room = bits == 8 ? t->cols : t->stride; /* of a row's codes */
  draw_noise(codec, t, cols, data);
  const bool many = encoded_at_once(cols) && t->cols == cols && data->noise_stride == 0;
  const int64_t begin = many ? encode_most(codec, t, x, cols, packed, data) : 0;
  const tile rest = {t->row + begin, t->rows - begin, t->col, t->cols, t->stride};
  for (int64_t r = begin; r < t->rows; r++) {
    uint8_t *codes = bits == 8 ? packed + r * cols : data->codes + (r - begin) * t->stride;
    if (data->zero[r] == data->zero[r]) {
      const row_code row = row_code_of(data, r, top);
      quantize(x + r * cols, t->cols, &row, data->noise + r * data->noise_stride, codes);
      for (int64_t c = t->cols; c < room; c++) codes[c] = 0;
    } else {
      memset(codes, 0, (size_t)room);
    }
  }
  const int64_t row_bytes = tkg__codec_row_bytes(bits, cols);
  pack_tile(bits, &rest, row_bytes, data->codes, packed + begin * row_bytes);
}

TKG_INLINE void decode_tile(const tkg_codec *codec, const tile *t, const uint8_t *packed,
                            int64_t cols, float *x, tile_data *data) {
  const int dither = tkg__codec_dithers(codec->rounding);
  if (dither) draw_noise(codec, t, cols, data);
  unpack_tile(codec->bits, t, tkg__codec_row_bytes(codec->bits, cols), packed, data->codes);
  for (int64_t r = 0; r < t->rows; r++) {
    const uint8_t *codes = codec->bits == 8 ? packed + r * cols : data->codes + r * t->stride;
    const tkg__codec_pair pair = tkg__codec_pair_of(data->pairs[r]);
    if (dither)
      restore(codes, data->noise + r * data->noise_stride, word_of(data, r), t->cols, 1, pair,
              x + r * cols);
    else
      restore(codes, NULL, 0, t->cols, 0, pair, x + r * cols);
  }
}

/* --- matrices --- */

TKG_INLINE void encode_rows(int64_t cols, const tkg_codec *codec, const float *x,
                            int64_t rows_total, int64_t row_begin, int64_t row_end,
                            uint8_t *packed) {
  const int64_t row_bytes = tkg__codec_row_bytes(codec->bits, cols);
  const int64_t pair_offset = tkg__codec_pair_offset(codec->bits, rows_total, cols);
  const int64_t step = rows_per_tile(cols);
  tile_data data;
  begin_noise(codec, &data);
  for (int64_t row = row_begin; row < row_end; row += step) {
    int64_t rows = smaller(step, row_end - row);
    choose_pairs(codec->bits, x + row * cols, rows, cols, &data);
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

/* Whole rows whose noise is the same but for a word per row, from data->pairs on. */
TKG_INLINE void decode_whole(const tkg_codec *codec, const tile *t, const uint8_t *packed,
                             int64_t cols, float *x, tile_data *data) {
  uint32_t zero[TILE_ROWS], unit[TILE_ROWS], factor[TILE_ROWS], add[TILE_ROWS];
  const uint32_t half = tkg__codec_dithers(codec->rounding) ? 65535 : 0;
  if (half) draw_affine(codec, t, data);
  for (int64_t r = 0; r < t->rows; r++) {
    const tkg__codec_pair pair = tkg__codec_pair_of(data->pairs[r]);
    const uint32_t word = word_of(data, r);
    zero[r] = v_bits(pair.zero);
    unit[r] = v_bits(pair.step * 0x1p-17f);
    factor[r] = (word | 1) << 16;
    add[r] = word & 0xFFFF0000U;
  }
  const code_rows rows = {data->columns, zero, unit, factor, add, half};
  switch (codec->bits) {
#define X(bits)                                                                                    \
  case bits:                                                                                       \
    decode_registers(&rows, bits, t->rows, cols, packed, x);                                       \
    break;
    X(8) X(4) X(2) X(1)
#undef X
  }
}

TKG_INLINE void decode_rows(int64_t cols, const tkg_codec *codec, const uint8_t *packed,
                            int64_t rows_total, int64_t row_begin, int64_t row_end, float *x) {
  const int64_t row_bytes = tkg__codec_row_bytes(codec->bits, cols);
  const uint8_t *pairs = packed + tkg__codec_pair_offset(codec->bits, rows_total, cols);
  const int64_t step = rows_per_tile(cols);
  tile_data data;
  begin_noise(codec, &data);
  const bool whole = in_registers(cols) && cols > 0 && cols <= TILE &&
                     codec->rounding != TKG_ROUND_DITHER_INDEPENDENT;
  if (whole)
    memset(data.columns, 0, (size_t)cols * sizeof *data.columns);
  else
    memset(data.codes, 0, sizeof data.codes);
  for (int64_t row = row_begin; row < row_end; row += step) {
    int64_t rows = smaller(step, row_end - row);
    memcpy(data.pairs, pairs + 4 * row, (size_t)rows * 4);
    if (whole) {
      const tile t = piece(row, rows, 0, cols);
      decode_whole(codec, &t, packed + row * row_bytes, cols, x + (row - row_begin) * cols, &data);
      continue;
    }
    for (int64_t col = 0; col < cols; col += TILE) {
      tile t = piece(row, rows, col, cols);
      decode_tile(codec, &t, packed + row * row_bytes + col / 8 * codec->bits, cols,
                  x + (row - row_begin) * cols + col, &data);
    }
  }
}

static void encode(const tkg_codec *codec, const float *x, int64_t cols, int64_t rows_total,
                   int64_t row_begin, int64_t row_end, uint8_t *packed) {
  EACH_COLUMNS(encode_rows, cols, codec, x, rows_total, row_begin, row_end, packed);
}

static void decode(const tkg_codec *codec, const uint8_t *packed, int64_t cols, int64_t rows_total,
                   int64_t row_begin, int64_t row_end, float *x) {
  EACH_COLUMNS(decode_rows, cols, codec, packed, rows_total, row_begin, row_end, x);
}

#if defined(__AVX__)
/* A register at a time, up to what is returned. */
static int64_t sign_registers(const float *x, int64_t i, int64_t n_end, uint8_t *mask) {
#if defined(__AVX512F__)
  for (; i + 16 <= n_end; i += 16) {
    const uint16_t bits =
        _mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), _mm512_setzero_ps(), _CMP_GT_OQ);
    memcpy(mask + i / 8, &bits, sizeof bits);
  }
#else
  for (; i + 8 <= n_end; i += 8)
    mask[i / 8] = (uint8_t)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_setzero_ps(), _CMP_GT_OQ));
#endif
  return i;
}
#endif

static void sign_mask(const float *x, int64_t n_begin, int64_t n_end, uint8_t *mask) {
  uint8_t positive[TILE];
  int64_t i = n_begin;
#if defined(__AVX__)
  i = sign_registers(x, i, n_end, mask);
#endif
  for (; i < n_end; i += TILE) {
    int64_t n = smaller(TILE, n_end - i);
    for (int64_t j = 0; j < n; j++) positive[j] = x[i + j] > 0;
    for (int64_t j = n; j < padded(n); j++) positive[j] = 0;
    pack1(positive, padded(n) / 8, mask + i / 8);
  }
}

const tkg__codec_kernels TKG_ISA_NAME(tkg__cpu_codec) = {encode, decode, sign_mask};
