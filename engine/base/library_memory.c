#include "library_memory.h"

#include "error.h"

/* Two matrices of a graph are the same. */
static bool same(const tkg_library_use *a, const tkg_library_use *b) {
  return a->graph == b->graph && a->layout == b->layout && a->cols == b->cols &&
         a->weighted == b->weighted;
}

/* While ways are timed there is one more. */
static int64_t bytes_now(const tkg_engine *engine) {
  int64_t sum = 0, most = 0;
  for (int k = 0; k < engine->library_uses; k++) {
    const int64_t bytes = engine->library[k].bytes;
    sum += bytes;
    most = bytes > most ? bytes : most;
  }
  return sum + most;
}

void tkg__library_count(tkg_engine *engine, const tkg_node *node, const tkg_node *const *in,
                        const tkg_tensor *graph) {
  const tkg_library_use use = {graph, node->i[3], tkg__cols(node), node->inputs > 2,
                               engine->backend->library_bytes(node, in)};
  for (int k = 0; k < engine->library_uses; k++)
    if (same(&engine->library[k], &use)) return;
  /* The backend keeps no more either, and forgets the first. */
  if (engine->library_uses == TKG_LIBRARY_USES)
    tkg__library_forget(engine, engine->library[0].graph);
  engine->library[engine->library_uses++] = use;
  const int64_t bytes = bytes_now(engine);
  if (bytes > engine->library_peak) engine->library_peak = bytes;
}

void tkg__library_forget(tkg_engine *engine, const tkg_tensor *graph) {
  int kept = 0;
  for (int k = 0; k < engine->library_uses; k++)
    if (engine->library[k].graph != graph) engine->library[kept++] = engine->library[k];
  engine->library_uses = kept;
}

double tkg_engine_library_bytes(const tkg_engine *engine) {
  TKG__NEEDS(engine, 0);
  return (double)engine->library_peak;
}
