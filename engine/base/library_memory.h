/* What libraries keep on a device beside its tensors and the arena, where a run is `fast`: of a sum
 * over edges by cuSPARSE the matrix of its graph, once per orientation and number of columns, with
 * weights and without (tkg_backend.library_bytes). Counted when a plan is made, so that a run can
 * be planned without the device. */
#ifndef TKG_LIBRARY_MEMORY_H
#define TKG_LIBRARY_MEMORY_H

#include "engine.h"

/* Counts a node that a library may compute, whose input 0 is this graph. */
void tkg__library_count(tkg_engine *engine, const tkg_node *node, const tkg_node *const *in,
                        const tkg_tensor *graph);

/* Forgets what was counted for a tensor that is freed. */
void tkg__library_forget(tkg_engine *engine, const tkg_tensor *graph);

#endif
