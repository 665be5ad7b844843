/* Ids brought into order: positions sorted by the id they hold, equal ids by position, so that all
 * rows of one id follow each other. Sorting needs no look at the ids from the host. */
#ifndef TKG_CUDA_ARGSORT_IDS_H
#define TKG_CUDA_ARGSORT_IDS_H

#include "device_errors.h"

/* Where the pieces lie, in bytes from the start of scratch. A key is an id, and n for an id that is
 * none. */
typedef struct tkg_argsort {
  int64_t count, n;
  int64_t keys, places; /* uint32 [count], sorted */
  int64_t unsorted_keys, unsorted_places, sort, sort_bytes;
  int64_t bytes; /* of all of it, a multiple of 256 */
  int bits;
} tkg_argsort;

/* Of `count` ids of n rows. */
tkg_argsort tkg__argsort_plan(int64_t count, int64_t n);

/* Host: queues the sort of ids, which are checked. A status: more than 2^32 - 1 are not sorted. */
int tkg__argsort_ids(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream);

static inline uint32_t *tkg_argsort_part(const tkg_call *c, int64_t offset) {
  return reinterpret_cast<uint32_t *>(static_cast<char *>(c->scratch) + offset);
}

#endif
