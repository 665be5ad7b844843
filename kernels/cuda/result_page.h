/* What the host reads after a run, such as its loss: copied to a pinned page in the stream's order,
 * before the one wait that ends the run. `read` of a loss would wait once more. */
#ifndef TKG_CUDA_RESULT_PAGE_H
#define TKG_CUDA_RESULT_PAGE_H

#include "cuda.h"

/* Allocates the page. CUDA's error. */
cudaError_t tkg__result_page_open(void);

/* Empties the page: a run begins. */
void tkg__result_page_clear(void);

/* Queues a copy of device memory to the page if it has room. Returns CUDA's error. */
cudaError_t tkg__result_page_add(const void *from, int64_t bytes, cudaStream_t stream);

/* Device memory is written: the page no longer has it. */
void tkg__result_page_drop(const void *memory, int64_t bytes);

/* Copies from the page, after the run has ended; false: it does not have these bytes. */
bool tkg__result_page_read(void *to, const void *from, int64_t bytes);

#endif
