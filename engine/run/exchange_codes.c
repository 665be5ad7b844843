#include "exchange_codes.h"

#include <stdbool.h>
#include <string.h>

#include "shared/codec.h"
#include "shared/philox.h"

enum { BITS = 8, MOST = (1 << BITS) - 1 };

/* The pair of a row, NaN if one of its numbers is. */
static uint32_t pair_of(const float *x, int64_t cols) {
  float min = x[0], max = x[0];
  bool nan = false;
  for (int64_t j = 0; j < cols; j++) {
    nan |= x[j] != x[j];
    min = x[j] < min ? x[j] : min;
    max = x[j] > max ? x[j] : max;
  }
  return tkg__codec_choose(BITS, nan ? (float)NAN : min, max);
}

/* A number as a code: its place above zero in steps, rounded up as often as it is nearer to the
 * upper one. */
static uint8_t code_of(float x, tkg__codec_pair p, uint32_t word) {
  if (!(p.step > 0)) return 0; /* all are equal, or NaN */
  const int q = (int)((x - p.zero) / p.step + tkg__unit(word));
  return (uint8_t)(q > MOST ? MOST : q);
}

static void encode_row(const tkg_sent_rows *rows, int64_t row, const float *x, uint8_t *to) {
  const uint32_t word = pair_of(x, rows->cols);
  const tkg__codec_pair pair = tkg__codec_pair_of(word);
  const uint64_t first = (uint64_t)(row * rows->whole + rows->col);
  uint64_t drawn = UINT64_MAX;
  uint32_t noise[4];
  memcpy(to, &word, sizeof word);
  for (int64_t j = 0; j < rows->cols; j++) {
    const uint64_t at = first + (uint64_t)j;
    if (at / 4 != drawn)
      tkg__philox_block(rows->seed, drawn = at / 4, rows->step, rows->stream, noise);
    to[sizeof word + (size_t)j] = code_of(x[j], pair, noise[at % 4]);
  }
}

void tkg__encode_sent(const tkg_sent_rows *rows, const float *from, int64_t stride, uint8_t *to) {
  for (int64_t i = 0; i < rows->rows; i++)
    encode_row(rows, rows->row + i, from + i * stride, to + i * tkg__sent_row_bytes(rows->cols));
}

void tkg__decode_sent(const uint8_t *from, int64_t rows, int64_t cols, float *to, int64_t stride) {
  for (int64_t i = 0; i < rows; i++, from += tkg__sent_row_bytes(cols)) {
    uint32_t word;
    memcpy(&word, from, sizeof word);
    const tkg__codec_pair pair = tkg__codec_pair_of(word);
    for (int64_t j = 0; j < cols; j++)
      to[i * stride + j] = pair.zero + pair.step * (float)from[sizeof word + (size_t)j];
  }
}
