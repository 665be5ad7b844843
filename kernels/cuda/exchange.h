/* Exchanges among the devices of ranks: by NCCL (link.h), and the copies before and after. */
#ifndef TKG_CUDA_EXCHANGE_H
#define TKG_CUDA_EXCHANGE_H

#include "cuda.h"

/* `interleave` of backend.h. */
void tkg__interleave(void *blocks, void *rows, int64_t count, int64_t bytes, int ranks, bool joins,
                     cudaStream_t stream);

/* Fills the table for the device whose work goes through `stream`. */
void tkg__nccl_link(tkg_link *out, cudaStream_t stream, int device);

/* A captured run is queued: its exchanges are under way. */
void tkg__nccl_replayed(void);

/* Waits until the stream has done its work, while it looks for errors of NCCL and of other ranks:
 * an exchange with one that is gone would wait for ever. Without an exchange under way it returns
 * at once. A status. */
int tkg__nccl_wait(cudaStream_t stream);

#endif
