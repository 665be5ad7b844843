/* Host memory to device memory and back, in the stream's order. */
#ifndef TKG_CUDA_STAGING_H
#define TKG_CUDA_STAGING_H

#include "cuda.h"

/* Both return CUDA's error. `upload` has copied `from` when it returns, and waits for the device
 * only if all of its buffers are in flight. `download` waits for the copy. */
cudaError_t tkg__upload(void *to, const void *from, int64_t bytes, cudaStream_t stream);
cudaError_t tkg__download(void *to, const void *from, int64_t bytes, cudaStream_t stream);

#endif
