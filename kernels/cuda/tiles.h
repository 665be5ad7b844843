/* Groups of nodes that run a tile of rows at a time, each as one kernel. */
#ifndef TKG_CUDA_TILES_H
#define TKG_CUDA_TILES_H

#include "cuda.h"

enum { TKG_MOST_OPS = 32 }; /* of a group, also of one on small values, and of updates */

/* Finds out how large tiles may be on the device. Returns the rules by which plans are made. A
 * status if it fails. */
int tkg__tiles_open(const cudaDeviceProp *properties, const tkg_tile_rules **rules);

/* Queues a group (backend.h). A status, with tkg__fail's message. */
int tkg__run_tiles(const tkg_tile_call *calls, int n, const tkg_tiling *tiling,
                   cudaStream_t stream);

/* Bytes of scratch of a sum over edges that is made by slices of so many columns (aggregate.cu). */
int64_t tkg__slice_bytes(const tkg_node *node, int64_t slice);

#endif
