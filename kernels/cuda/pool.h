/* Device memory. cudaMalloc and cudaFree wait for the device, so freed blocks are kept and
 * allocated again. The stream orders the uses of a block: one ends before the next begins. */
#ifndef TKG_CUDA_POOL_H
#define TKG_CUDA_POOL_H

#include "cuda.h"

/* Allocates at least so many bytes, at a multiple of 256. NULL when the device has no more, even
 * after the free blocks were returned to it. */
void *tkg__pool_allocate(int64_t bytes);
/* Why the last allocation failed: another error than a lack of memory is one of the device. */
cudaError_t tkg__pool_error(void);
void tkg__pool_release(void *memory); /* NULL is ignored */
void tkg__pool_trim(void);            /* returns the free blocks to the device */

/* Writes the bytes held, used and used at most to the backend's table. */
void tkg__pool_figures(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak);

#endif
