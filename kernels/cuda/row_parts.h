/* Partial sums over rows that are dealt to ranks (part_bytes and add_parts in backend.h). */
#ifndef TKG_CUDA_ROW_PARTS_H
#define TKG_CUDA_ROW_PARTS_H

#include "cuda.h"

/* Bytes of one that a node leaves in scratch: by itself, or in a group. */
int64_t tkg__part_bytes(const tkg_node *node, const tkg_node *const *in, bool tiled);

/* Queues the sum of `parts` such, in the order in which one rank adds its own up. */
void tkg__add_row_parts(const tkg_call *c, const void *all, int parts, bool tiled,
                        cudaStream_t stream);

/* Its ways: of sums in tiles (tiles.cu), and of SUM by itself (reduce.cu). */
int64_t tkg__tile_part_bytes(const tkg_node *node, const tkg_node *const *in);
void tkg__add_tile_parts(const tkg_call *c, const void *all, int parts, cudaStream_t stream);
void tkg__add_sum_parts(const tkg_call *c, const void *all, int parts, cudaStream_t stream);

#endif
