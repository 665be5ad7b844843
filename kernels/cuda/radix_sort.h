/* A stable sort of pairs by key: CUB's radix sort, which needs a real device; on the emulation a
 * sort of the host. */
#ifndef TKG_CUDA_RADIX_SORT_H
#define TKG_CUDA_RADIX_SORT_H

#include <stdint.h>

#include "cuda.h"

/* Makes the device in use this thread's (backend.cu): CUB asks the current one, which on a thread
 * that has not chosen is device 0, whose context would be made for it. */
void tkg__use_device(void);

/* Bytes of scratch to sort `count` pairs by the lowest `bits` of their keys. */
int64_t tkg__radix_sort_bytes(int64_t count, int bits);

/* Queues the sort of pairs (keys[i], values[i]), all arrays of `count`. A status. */
int tkg__radix_sort(void *scratch, int64_t scratch_bytes, const uint32_t *keys, uint32_t *keys_out,
                    const uint32_t *values, uint32_t *values_out, int64_t count, int bits,
                    cudaStream_t stream);

#endif
