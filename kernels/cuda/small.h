/* Groups of nodes whose values are all small: one block runs them, one after the other. */
#ifndef TKG_CUDA_SMALL_H
#define TKG_CUDA_SMALL_H

#include "tiles.h"

enum { TKG_SMALL = 4096 }; /* elements of the largest such value */

/* Whether a node can run so; inputs of which it reads listed rows may have any size. */
bool tkg__runs_small(const tkg_node *node, const tkg_node *const *in);

/* Queues a group; `tile_bytes` of shared memory have its inner values. A status, with tkg__fail's
 * message. */
int tkg__run_small(const tkg_tile_call *calls, int n, int64_t tile_bytes, cudaStream_t stream);

/* Queues updates by Adam with the same attributes (optim.cu). */
enum { TKG_SMALL_UPDATE = 16384 }; /* elements of the largest */
int tkg__run_updates(const tkg_tile_call *calls, int n, cudaStream_t stream);

/* Lets the kernel have so much shared memory. */
cudaError_t tkg__small_open(int most_bytes);

#endif
