/* Sorting pairs by key, stable. CUB's radix sort on the device; on the emulation a host sort, as
 * CUB needs a real device. */
#ifndef TKG_CUDA_SORT_H
#define TKG_CUDA_SORT_H

#include "cuda.h"

/* Bytes of scratch for so many pairs whose keys have so many bits. */
int64_t tkg__sort_bytes(int64_t count, int bits);

/* Queues the sort. A status. */
int tkg__sort(void *scratch, int64_t scratch_bytes, const uint32_t *keys, uint32_t *keys_out,
              const uint32_t *values, uint32_t *values_out, int64_t count, int bits,
              cudaStream_t stream);

#endif
