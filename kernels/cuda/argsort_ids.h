/* Positions of ids sorted by id, equal ids by position: all rows of one id then follow each other,
 * and sums over them can be formed in a fixed order. The host never reads the ids.
 *
 * Up to 4,096 ids are sorted by one block. A radix sort of more goes through 16 bytes per id about
 * three times for each 8 bits of the largest id. */
#ifndef TKG_CUDA_ARGSORT_IDS_H
#define TKG_CUDA_ARGSORT_IDS_H

#include "device_errors.h"

/* Offsets of the arrays in scratch, in bytes. A key is an id, or n where that id is bad. */
typedef struct tkg_argsort {
  int64_t count, n;
  int64_t keys, places; /* uint32 [count], sorted */
  int64_t unsorted_keys, unsorted_places, sort, sort_bytes;
  int64_t bytes; /* of all arrays, a multiple of 256 */
  int bits;      /* of a key */
} tkg_argsort;

/* The layout for `count` ids in 0..n-1. */
tkg_argsort tkg__argsort_plan(int64_t count, int64_t n);

/* Queues the check and the sort of ids. A status: TKG_E_UNSUPPORTED for more than 2^32 - 1. */
int tkg__argsort_ids(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream);

/* The array at an offset of an op's scratch. */
static inline uint32_t *tkg_argsort_part(const tkg_call *c, int64_t offset) {
  return reinterpret_cast<uint32_t *>(static_cast<char *>(c->scratch) + offset);
}

#endif
