/* Groups of elementwise ops on rows that are too wide for a tile of them. */
#ifndef TKG_CUDA_WIDE_H
#define TKG_CUDA_WIDE_H

#include "cuda.h"

enum { TKG_WIDE_TILE = 2048 }; /* elements of a tile: eight of each thread */

/* Whether a node can run so, apart from how wide its rows are. */
bool tkg__runs_wide(const tkg_node *node, const tkg_node *const *in);

/* Queues a group (backend.h). A status. */
int tkg__run_wide(const tkg_tile_call *calls, int n, const tkg_tiling *tiling, cudaStream_t stream);

/* Lets the kernel have so much shared memory. */
cudaError_t tkg__wide_open(int most_bytes);

#endif
