/* Device memory: cudaMalloc and cudaFree wait for the device, so blocks that were given back are
 * kept and given out again. The stream orders who used a block before and who uses it next. */
#ifndef TKG_CUDA_POOL_H
#define TKG_CUDA_POOL_H

#include "cuda.h"

/* At least so many bytes, at a multiple of 256; NULL when the device has no more, even after what
 * is kept was freed. */
void *tkg__pool_allocate(int64_t bytes);
void tkg__pool_release(void *memory); /* NULL: nothing */
void tkg__pool_trim(void);            /* frees what is kept */

/* Bytes held, used and used at most, into the backend's places for them. */
void tkg__pool_figures(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak);

#endif
