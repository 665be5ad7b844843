/* Reading rows of codes: a window of rows is opened at a time, so that their noise is drawn several
 * at a time and what they need is prefetched. Affine noise has a number per column, which is drawn
 * once, and a word per row: drawing it is no slower than a table of all rows, which would have to
 * be made first and is read at random. */
#include "coded_rows.h"

#include <string.h>

#include "shared/shapes.h"

/* ---- noise ---- */

static void draw_columns(coded_rows *s) {
  uint16_t noise[CODED_FLOATS + 8 * TKG__BLOCKS] = {0};
  tkg__philox_fill(s->codec.seed, tkg__codec_col_block(0), s->stride / 8, s->codec.step,
                   s->codec.stream, noise);
  for (int64_t c = 0; c < s->stride; c++) s->column_noise[c] = (uint32_t)noise[c] << 16;
}

/* The word of each row's block that is the row's. */
static tkg__words own_word(tkg__words row, const tkg__words w[4]) {
  const tkg__words odd = -(row & 1), high = -(row >> 1 & 1);
  const tkg__words front = (w[0] & ~odd) | (w[1] & odd), back = (w[2] & ~odd) | (w[3] & odd);
  return (front & ~high) | (back & high);
}

/* The words of the window's first `count` rows, whose numbers are there: one of the four of each
 * row's block. */
static void draw_rows(coded_rows *s, int count) {
  for (int i = 0; i < count; i += TKG__ABREAST * TKG__BLOCKS) {
    tkg__words row[TKG__ABREAST], block[TKG__ABREAST];
    tkg__philox_out drawn[TKG__ABREAST];
    memcpy(row, s->noise + i, sizeof row);
    for (int v = 0; v < TKG__ABREAST; v++) block[v] = tkg__codec_row_block(0) | row[v] >> 2;
    tkg__philox_words(&s->keys, TKG__ABREAST, block, s->codec.step, s->codec.stream, drawn);
    for (int v = 0; v < TKG__ABREAST; v++) row[v] = own_word(row[v], drawn[v].w);
    memcpy(s->noise + i, row, sizeof row);
  }
}

/* ---- rows ---- */

void TKG_ISA_NAME(tkg__coded_open)(coded_rows *s, const tkg_call *c, int k, const int32_t *ids) {
  const tkg_node *n = c->in[k];
  const uint8_t *packed = c->data[k];
  s->cols = tkg__cols(n);
  s->ids = ids;
  s->x = n->dtype == TKG_CODES ? NULL : c->data[k];
  if (s->x) return;
  s->codec = codec_of(c, n);
  s->rows = tkg__rows(n);
  s->row_bytes = tkg__codec_row_bytes(s->codec.bits, s->cols);
  s->stride = (s->cols + CODE_GROUP - 1) / CODE_GROUP * CODE_GROUP;
  s->packed = packed;
  s->pairs = packed + tkg__codec_pair_offset(s->codec.bits, s->rows, s->cols);
  s->signs = n->i[3] ? packed + tkg__signs_at(n) : NULL;
  s->begin = s->end = 0;
  s->half = tkg__codec_dithers(s->codec.rounding) ? 65535 : 0;
  memset(s->noise, 0, sizeof s->noise);
  memset(s->column_noise, 0, (size_t)s->stride * sizeof *s->column_noise);
  if (s->codec.rounding != TKG_ROUND_DITHER) return;
  s->keys = tkg__philox_keys_of(s->codec.seed);
  draw_columns(s);
}

/* Prefetches what is read of rows by number: their codes, pairs and signs. */
TKG_PREFETCH void prefetch_coded(const coded_rows *s, const int32_t *rows, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    const int64_t row = rows[i];
    const uint8_t *codes = s->packed + row * s->row_bytes;
    prefetch_far(codes, s->row_bytes);
    __builtin_prefetch(s->pairs + 4 * row, 0, 2);
    if (s->signs) __builtin_prefetch(s->signs + row * s->cols / 8, 0, 2);
  }
}

/* Opens rows by number. */
static void open_rows(coded_rows *s, const int32_t *restrict rows, int count) {
  const uint8_t *const packed = s->packed, *const pairs = s->pairs;
  const int64_t row_bytes = s->row_bytes, cols = s->cols;
  for (int i = 0; i < count; i++) {
    const int64_t row = rows[i];
    uint32_t word;
    memcpy(&word, pairs + 4 * row, sizeof word);
    const tkg__codec_pair pair = tkg__codec_pair_of(word);
    const uint8_t *codes = packed + row * row_bytes;
    s->codes[i] = codes;
    s->zero[i] = pair.zero;
    s->unit[i] = pair.step * 0x1p-17F;
  }
  for (int i = 0; s->signs && i < count; i++)
    s->first_sign[i] = s->unit[i] == s->unit[i] ? rows[i] * cols : -1;
  if (s->codec.rounding != TKG_ROUND_DITHER) return;
  for (int i = 0; i < count; i++) s->noise[i] = (uint64_t)rows[i];
  draw_rows(s, count);
}

/* The rows of the next window are on their way while this one is read. */
void TKG_ISA_NAME(tkg__coded_window)(coded_rows *s, int64_t p, int64_t limit, int most) {
  const int64_t end = p + most < limit ? p + most : limit;
  if (p != s->end) prefetch_coded(s, s->ids + p, end - p);
  s->begin = p;
  s->end = end;
  open_rows(s, s->ids + p, (int)(end - p));
  prefetch_coded(s, s->ids + end, end + most < limit ? most : limit - end);
}

/* ---- decoding ---- */

TKG_INLINE void decode_group(const coded_rows *s, int i, int64_t c, const uint8_t *at, int bits,
                             const code_levels *levels, float *to) {
  for (int first = 0; first < CODE_GROUP; first += WIDTH) {
    const words noise = code_noise(words_load(s->column_noise + c + first), (uint32_t)s->noise[i]);
    wide_store(to + first,
               s->zero[i] +
                   code_value(code_load(at, bits, first), bits, levels, noise) * s->unit[i]);
  }
}

/* Whole groups of columns c..end-1 of window entry i. Returns where the last of them ends. */
TKG_INLINE int64_t decode_groups(const coded_rows *s, int i, int64_t c, int64_t end, int bits,
                                 float *to) {
  const code_levels levels = code_levels_of(bits, s->half);
  for (; c + CODE_GROUP <= end; c += CODE_GROUP, to += CODE_GROUP)
    decode_group(s, i, c, s->codes[i] + c / 8 * bits, bits, &levels, to);
  return c;
}

/* The columns from c on of window entry i, fewer than a group, into a group of floats. What lies
 * behind the row's codes may belong to nobody. */
TKG_INLINE void decode_rest(const coded_rows *s, int i, int64_t c, int bits, float *to) {
  const code_levels levels = code_levels_of(bits, s->half);
  uint8_t rest[CODE_GROUP] = {0};
  memcpy(rest, s->codes[i] + c / 8 * bits, (size_t)(s->row_bytes - c / 8 * bits));
  decode_group(s, i, c, rest, bits, &levels, to);
}

/* Entry i of the window, into whole groups of floats. */
TKG_INLINE void decode_row(const coded_rows *s, int i, int bits, float *to) {
  const int64_t c = decode_groups(s, i, 0, s->cols, bits, to);
  if (c < s->cols) decode_rest(s, i, c, bits, to + c);
}

/* Decodes the rows of the window, whose numbers are `rows`. */
static void decode_window(coded_rows *s, const int32_t *rows, int count) {
  for (int i = 0; i < count; i++) {
    float *to = s->decoded + i * s->stride;
    switch (coded_apart(s) ? 0 : s->codec.bits) {
    case 0:
      TKG_ISA_NAME(tkg__cpu_codec)
          .decode(&s->codec, s->packed, s->cols, s->rows, rows[i], (int64_t)rows[i] + 1, to);
      break;
#define X(bits)                                                                                    \
  case bits:                                                                                       \
    decode_row(s, i, bits, to);                                                                    \
    break;
      X(8) X(4) X(2) X(1)
#undef X
    }
    if (s->signs && s->first_sign[i] >= 0) restore_zeros(to, s->signs, s->first_sign[i], s->cols);
  }
}

void TKG_ISA_NAME(tkg__coded_read)(coded_rows *s, int64_t row) {
  const int32_t rows[1] = {(int32_t)row};
  open_rows(s, rows, 1);
  decode_window(s, rows, 1);
}

void TKG_ISA_NAME(tkg__coded_decode)(coded_rows *s, int64_t p, int64_t limit) {
  const int64_t most = s->stride ? CODED_FLOATS / s->stride : CODED_ROWS;
  TKG_ISA_NAME(tkg__coded_window)(s, p, limit, most < CODED_ROWS ? (int)most : CODED_ROWS);
  decode_window(s, s->ids + p, (int)(s->end - p));
}

/* Columns first..first+count-1 of window entry i, no further than the row's last. */
TKG_INLINE void decode_columns(const coded_rows *s, int i, int64_t first, int64_t count, int bits,
                               float *to) {
  float rest[CODE_GROUP];
  const int64_t end = first + count, c = decode_groups(s, i, first, end, bits, to);
  if (c == end) return;
  decode_rest(s, i, c, bits, rest);
  memcpy(to + c - first, rest, (size_t)(end - c) * sizeof *to);
}

void TKG_ISA_NAME(tkg__coded_columns)(coded_rows *s, int64_t begin, int64_t end, int64_t first,
                                      int64_t count, float *to) {
  int32_t rows[CODED_ROWS];
  for (int64_t row = begin; row < end; row += CODED_ROWS) {
    const int n = end - row < CODED_ROWS ? (int)(end - row) : CODED_ROWS;
    for (int i = 0; i < n; i++) rows[i] = (int32_t)(row + i);
    open_rows(s, rows, n);
    for (int i = 0; i < n; i++, to += count) {
      switch (s->codec.bits) {
#define X(bits)                                                                                    \
  case bits:                                                                                       \
    decode_columns(s, i, first, count, bits, to);                                                  \
    break;
        X(8) X(4) X(2) X(1)
#undef X
      }
      if (s->signs) restore_zeros(to, s->signs, rows[i] * s->cols + first, count);
    }
  }
}

/* The window is rows begin..end-1 themselves, as the codec decodes them. */
const float *TKG_ISA_NAME(tkg__coded_in_turn)(coded_rows *s, int64_t row, int64_t limit) {
  const int64_t most = s->cols ? CODED_FLOATS / s->cols : 1;
  if (row < s->begin || row >= s->end) {
    s->begin = row;
    s->end = row + most < limit ? row + most : limit;
    TKG_ISA_NAME(tkg__cpu_codec)
        .decode(&s->codec, s->packed, s->cols, s->rows, s->begin, s->end, s->decoded);
    if (s->signs)
      restore_zeros(s->decoded, s->signs, s->begin * s->cols, (s->end - s->begin) * s->cols);
  }
  return s->decoded + (row - s->begin) * s->cols;
}
