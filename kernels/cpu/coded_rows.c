/* Sixteen columns are decoded at a time. Their codes come from one load; pairwise noise is that of
 * the column, which is drawn once, and that of the row, which is drawn for several rows at a time:
 * no slower than a table of all rows, which would have to be made and is read at random. */
#include "coded_rows.h"

#include <string.h>

#include "ids.h"
#include "philox_fill.h"
#include "shared/shapes.h"
#include "wide.h"

enum { GROUP = 16 }; /* columns: one or more registers */

typedef uint32_t words __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));
typedef uint8_t bytes __attribute__((vector_size(WIDTH)));

/* ---- noise ---- */

static bool is_pairwise(const coded_rows *s) { return s->codec.rounding == TKG_ROUND_DITHER; }

static void draw_columns(coded_rows *s) {
  uint16_t noise[CODED_FLOATS + 8 * TKG__BLOCKS];
  tkg__philox_halves(s->codec.seed, tkg__codec_col_block(0), s->stride / 8, s->codec.step,
                     s->codec.stream, noise);
  for (int64_t c = 0; c < s->stride; c++) s->column_noise[c] = (uint32_t)noise[c] << 16;
}

/* The noise of count rows, times 2^16: one of the eight numbers of each row's block. `noise`
 * has room for whole vectors. */
static void draw_rows(const coded_rows *s, const int32_t *rows, int count, uint64_t *noise) {
  for (int i = 0; i < count; i += TKG__BLOCKS) {
    tkg__words row = {0}, w[4];
    for (int k = 0; k < TKG__BLOCKS && i + k < count; k++) row[k] = (uint64_t)rows[i + k];
    tkg__philox_words(s->codec.seed, tkg__codec_row_block(0) | row >> 3, s->codec.step,
                      s->codec.stream, w);
    const tkg__words odd = -(row >> 1 & 1), high = -(row >> 2 & 1);
    const tkg__words front = (w[0] & ~odd) | (w[1] & odd), back = (w[2] & ~odd) | (w[3] & odd);
    const tkg__words word = (front & ~high) | (back & high);
    const tkg__words half = word >> 16 * (row & 1) << 16;
    memcpy(noise + i, &half, sizeof half);
  }
}

/* ---- sixteen columns ---- */

static const uint32_t LANES[GROUP] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* The codes of columns first..first+WIDTH-1 of a group at `at`, times 2^17. */
TKG_INLINE words codes_of(const uint8_t *at, int bits, int first) {
  const words none = {0};
  words lane;
  uint32_t w[2] = {0};
  memcpy(&lane, LANES + first, sizeof lane);
  if (bits == 8) {
    bytes codes;
    memcpy(&codes, at + first, sizeof codes);
    return __builtin_convertvector(codes, words) << 17;
  }
  memcpy(w, at, (size_t)(GROUP / 8 * bits));
  if (bits == 4) {
    const words left = (words)(lane < 8);
    return ((((none + w[0]) & left) | ((none + w[1]) & ~left)) >> (lane % 8 * 4) & 15) << 17;
  }
  if (bits == 2) return ((none + w[0]) >> (lane * 2) & 3) << 17;
  return (none + w[0]) << (17 - lane) & 1U << 17;
}

/* Decodes a group; column_noise is NULL for codes without noise. */
TKG_INLINE void decode_group(const uint8_t *at, int bits, tkg__codec_pair pair,
                             const uint32_t *column_noise, uint32_t row_noise, float *to) {
  const float unit = pair.step * 0x1p-17F;
  for (int first = 0; first < GROUP; first += WIDTH) {
    words q = codes_of(at, bits, first);
    if (column_noise) {
      words noise;
      memcpy(&noise, column_noise + first, sizeof noise);
      q = (q | 65535) - ((noise + row_noise) >> 15);
    }
    wide_store(to + first, pair.zero + __builtin_convertvector((ints)q, wide) * unit);
  }
}

/* ---- rows ---- */

/* A row whose codes are at `at`, into `stride` floats. */
TKG_INLINE void decode_row(const coded_rows *s, const uint8_t *at, int bits, tkg__codec_pair pair,
                           bool pairwise, uint32_t row_noise, float *to) {
  const uint32_t *noise = s->column_noise;
  int64_t c = 0;
  for (; c + GROUP <= s->cols; c += GROUP, at += GROUP / 8 * bits)
    decode_group(at, bits, pair, pairwise ? noise + c : NULL, row_noise, to + c);
  if (c < s->cols) { /* what lies behind the row's codes may belong to nobody */
    uint8_t rest[GROUP] = {0};
    memcpy(rest, at, (size_t)(s->row_bytes - c / 8 * bits));
    decode_group(rest, bits, pair, pairwise ? noise + c : NULL, row_noise, to + c);
  }
}

TKG_INLINE void decode(const coded_rows *s, const int32_t *rows, int count, int bits, bool pairwise,
                       float *to) {
  uint64_t noise[CODED_ROWS];
  if (pairwise) draw_rows(s, rows, count, noise);
  for (int i = 0; i < count; i++) {
    uint32_t word;
    memcpy(&word, s->pairs + 4 * rows[i], sizeof word);
    decode_row(s, s->packed + (int64_t)rows[i] * s->row_bytes, bits, tkg__codec_pair_of(word),
               pairwise, pairwise ? (uint32_t)noise[i] : 0, to + i * s->stride);
  }
}

/* Independent noise is drawn for each element that is read. */
static void decode_apart(const coded_rows *s, const int32_t *rows, int count, float *to) {
  for (int i = 0; i < count; i++)
    TKG_ISA_NAME(tkg__cpu_codec)
        .decode(&s->codec, s->packed, s->cols, s->rows, (int64_t)rows[i], (int64_t)rows[i] + 1,
                to + i * s->stride);
}

void TKG_ISA_NAME(tkg__coded_read)(coded_rows *s, const int32_t *rows, int count) {
  const bool pairwise = is_pairwise(s);
  float *to = s->decoded;
  if (s->codec.rounding == TKG_ROUND_DITHER_INDEPENDENT)
    decode_apart(s, rows, count, to);
  else
    switch (s->codec.bits + 16 * pairwise) {
#define X(bits)                                                                                    \
  case bits:                                                                                       \
    decode(s, rows, count, bits, false, to);                                                       \
    break;                                                                                         \
  case bits + 16:                                                                                  \
    decode(s, rows, count, bits, true, to);                                                        \
    break;
      X(8) X(4) X(2) X(1)
#undef X
    }
  for (int i = 0; s->signs && i < count; i++)
    restore_zeros(to + i * s->stride, s->signs, rows[i] * s->cols, s->cols);
}

/* ---- what ops call ---- */

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
  s->stride = (s->cols + GROUP - 1) / GROUP * GROUP;
  s->packed = packed;
  s->pairs = packed + tkg__codec_pair_offset(s->codec.bits, s->rows, s->cols);
  s->signs = n->i[3] ? tkg__signs_of(n, packed) : NULL;
  s->begin = s->end = 0;
  if (is_pairwise(s)) draw_columns(s);
}

TKG_PREFETCH void prefetch_coded(const coded_rows *s, int64_t row) {
  const uint8_t *codes = s->packed + row * s->row_bytes;
  for (int64_t at = 0; at < s->row_bytes; at += 64) __builtin_prefetch(codes + at);
  __builtin_prefetch(s->pairs + 4 * row);
  if (s->signs) __builtin_prefetch(s->signs + row * s->cols / 8);
}

void TKG_ISA_NAME(tkg__coded_window)(coded_rows *s, int64_t p, int64_t limit) {
  const int64_t rows = s->stride ? CODED_FLOATS / s->stride : CODED_ROWS;
  const int64_t most = rows < CODED_ROWS ? rows : CODED_ROWS;
  s->begin = p;
  s->end = p + most < limit ? p + most : limit;
  for (int64_t next = s->end; next < limit && next < s->end + most; next++)
    prefetch_coded(s, s->ids[next]);
  TKG_ISA_NAME(tkg__coded_read)(s, s->ids + p, (int)(s->end - p));
}
