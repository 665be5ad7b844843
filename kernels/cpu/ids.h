/* Ids of rows as kernels meet them: data of the user, so they are checked before anything is read
 * or written with them. Ids are 0-based, and so are the positions in messages. */
#ifndef TKG_CPU_IDS_H
#define TKG_CPU_IDS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

/* TKG_E_RANGE, naming the first bad id, unless all of ids[begin..end) lie in 0..rows-1. */
static inline int check_ids(const char *op, const int32_t *ids, int64_t begin, int64_t end,
                            int64_t rows) {
  const uint32_t limit = rows <= INT32_MAX ? (uint32_t)rows : UINT32_C(1) << 31;
  uint32_t bad = 0;
  for (int64_t i = begin; i < end; i++) bad |= (uint32_t)ids[i] >= limit;
  if (!bad) return TKG_OK;
  int64_t at = begin;
  while (ids[at] >= 0 && ids[at] < rows) at++;
  if (rows == 0)
    return tkg__fail(TKG_E_RANGE,
                     "%s: id %" PRId32 " at position %" PRId64 ", but there are no rows", op,
                     ids[at], at);
  return tkg__fail(TKG_E_RANGE, "%s: id %" PRId32 " at position %" PRId64 " is outside 0..%" PRId64,
                   op, ids[at], at, rows - 1);
}

/* Ids per block where a thread selects those of its own rows. */
enum { IDS_BLOCK = 512 };

/* Writes to `at` the positions of those of ids[0..count) that lie in begin..end-1, in order.
 * Returns their number. No branch depends on an id, as none could be predicted. */
static inline int select_ids(const int32_t *ids, int count, int64_t begin, int64_t end,
                             int16_t at[IDS_BLOCK]) {
  int found = 0;
  for (int i = 0; i < count; i++) {
    at[found] = (int16_t)i;
    found += (ids[i] >= begin) & (ids[i] < end);
  }
  return found;
}

/* For functions that only prefetch: gcc thinks that they have no effect and drops calls of them,
 * unless they are inlined first. */
#define TKG_PREFETCH static inline __attribute__((always_inline))

/* Prefetches a row of d floats; hardware cannot foresee rows by id. */
TKG_PREFETCH void prefetch_row(const float *row, int64_t d) {
  for (int64_t j = 0; j < d; j += 16) __builtin_prefetch(row + j);
}

/* The same into the second cache, for tables that are larger than it: the first one has few lines
 * on their way at a time, and an op that does nothing but read rows waits for each of them. */
TKG_PREFETCH void prefetch_far(const void *row, int64_t bytes) {
  for (int64_t k = 0; k < bytes; k += 64) __builtin_prefetch((const char *)row + k, 0, 2);
}

/* Copies a row of d elements of four bytes. Rows are short, so a call of memcpy would take as long
 * as the copy: pieces of a known length are copied without one. */
static inline void copy_row(void *to, const void *from, int64_t d) {
  enum { PIECE = 64 };
  char *out = to;
  const char *in = from;
  int64_t bytes = 4 * d;
  for (; bytes >= PIECE; bytes -= PIECE, in += PIECE, out += PIECE) memcpy(out, in, PIECE);
  if (bytes) memcpy(out, in, (size_t)bytes);
}

enum { ROWS_AHEAD = 8 }; /* prefetch so many rows ahead */

#endif
