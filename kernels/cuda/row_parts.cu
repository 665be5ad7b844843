#include "row_parts.h"

#include "family.h"
#include "gemm.h"

int64_t tkg__part_bytes(const tkg_node *node, const tkg_node *const *in, bool tiled) {
  if (tiled) return tkg__tile_part_bytes(node, in);
  const bool doubles = node->op == TKG_OP_SUM; /* a product's are floats */
  return (doubles ? 2 : 1) * tkg__bytes(node);
}

void tkg__add_row_parts(const tkg_call *c, const void *all, int parts, bool tiled,
                        cudaStream_t stream) {
  if (tiled)
    tkg__add_tile_parts(c, all, parts, stream);
  else if (c->node->op == TKG_OP_SUM)
    tkg__add_sum_parts(c, all, parts, stream);
  else
    tkg__add_parts(tkg__count(c->node), parts, static_cast<const float *>(all), tkg_out<float>(c),
                   stream);
}
