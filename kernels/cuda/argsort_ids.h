/* Positions of ids sorted by id, equal ids by position: all rows of one id then follow each other,
 * and sums over them can be formed in a fixed order. The host never reads the ids.
 *
 * An id and its position share a word where both fit in 32 bits, id above position, as nearly
 * always: an order then takes 4 bytes per id, else 8. Up to 4,096 ids are sorted by one block. A
 * radix sort of more goes through twice these bytes for each 8 bits of the largest id. */
#ifndef TKG_CUDA_ARGSORT_IDS_H
#define TKG_CUDA_ARGSORT_IDS_H

#include "device_errors.h"

/* Where the arrays lie, in bytes: the sorted ones in the call's `order`, the others at the begin of
 * its scratch, where what follows the sort may be written over them. A key is an id, or n where
 * that id is bad. */
typedef struct tkg_argsort {
  int64_t count, n;
  int bits, shift;             /* of a key; of a place that shares its word, 0: none does */
  int64_t places, order_bytes; /* words, uint32 [count]; places begin there or behind keys */
  int64_t unsorted_places, sort, sort_bytes;
  int64_t bytes; /* of scratch, a multiple of 256 */
} tkg_argsort;

/* The layout for `count` ids in 0..n-1. */
tkg_argsort tkg__argsort_plan(int64_t count, int64_t n);

/* Queues the check and the sort of ids, unless the call's order is there. A status:
 * TKG_E_UNSUPPORTED for more than 2^32 - 1, or of as many rows. */
int tkg__argsort_ids(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream);

/* The sorted keys, and their places, by number. */
typedef struct tkg_sorted_keys {
  const uint32_t *word;
  int shift;
  __host__ __device__ uint32_t operator[](int64_t i) const { return word[i] >> shift; }
} tkg_sorted_keys;

typedef struct tkg_sorted_places {
  const uint32_t *word;
  uint32_t mask;
  __host__ __device__ uint32_t operator[](int64_t i) const { return word[i] & mask; }
} tkg_sorted_places;

static inline tkg_sorted_keys tkg_argsort_keys(const tkg_call *c, const tkg_argsort *o) {
  return {static_cast<const uint32_t *>(c->order), o->shift};
}
static inline tkg_sorted_places tkg_argsort_places(const tkg_call *c, const tkg_argsort *o) {
  const char *at = static_cast<const char *>(c->order) + o->places;
  return {reinterpret_cast<const uint32_t *>(at), o->shift ? (1u << o->shift) - 1 : UINT32_MAX};
}

/* The array at an offset of an op's scratch. */
static inline uint32_t *tkg_argsort_part(const tkg_call *c, int64_t offset) {
  return reinterpret_cast<uint32_t *>(static_cast<char *>(c->scratch) + offset);
}

/* Which order a node needs (tkg_backend.ids_order). */
tkg_ids_order tkg__ids_order(const tkg_node *node, const tkg_node *const *in, bool tiled);

#endif
