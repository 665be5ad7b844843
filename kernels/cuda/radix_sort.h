/* A stable sort of keys, or of pairs by key: CUB's radix sort, which needs a real device; on the
 * emulation a sort of the host. */
#ifndef TKG_CUDA_RADIX_SORT_H
#define TKG_CUDA_RADIX_SORT_H

#include <stdint.h>

/* Makes the device in use this thread's (backend.cu): CUB asks the current one, which on a thread
 * that has not chosen is device 0, whose context would be made for it. */
void tkg__use_device(void);

/* `count` keys, and where `places` is not NULL the places 0, 1, ... of them, which move along. Both
 * are written over. */
typedef struct tkg_radix_sort {
  int64_t count;
  int bits[2]; /* of a key by which is sorted: the lowest, and behind the highest */
  uint32_t *keys, *sorted_keys, *places, *sorted_places;
} tkg_radix_sort;

/* Bytes of scratch to sort `count` keys, with places if `pairs`, by bits begin..end-1. */
int64_t tkg__radix_sort_bytes(int64_t count, bool pairs, int begin, int end);

/* Queues a sort. A status. */
int tkg__radix_sort(void *scratch, int64_t scratch_bytes, const tkg_radix_sort *s, void *stream);

#endif
