/* Numbers that travel between ranks in codes of 8 bits: gradients, on request (rank_bits).
 *
 * A row of some columns is sent as its pair (codec.h) and a byte per number, rounded up or down at
 * random, so that it is right on average. The noise of a number depends on its row and column in
 * the whole matrix; the pair on the columns that are sent together, and so on how many ranks there
 * are. */
#ifndef TKG_RUN_EXCHANGE_CODES_H
#define TKG_RUN_EXCHANGE_CODES_H

#include <stdint.h>

typedef struct tkg_sent_rows {
  uint64_t seed;
  uint32_t step, stream;
  int64_t whole;    /* columns of the whole matrix */
  int64_t row, col; /* of the whole: the first that is encoded */
  int64_t rows, cols;
} tkg_sent_rows;

/* Bytes of a row of so many columns. */
static inline int64_t tkg__sent_row_bytes(int64_t cols) { return cols + 4; }

/* Encodes rows, the next of which is `stride` numbers behind. A row with a number that is not
 * finite arrives as NaNs. */
void tkg__encode_sent(const tkg_sent_rows *rows, const float *from, int64_t stride, uint8_t *to);
void tkg__decode_sent(const uint8_t *from, int64_t rows, int64_t cols, float *to, int64_t stride);

#endif
