/* Kept values: device memory with a shape and a reference count. */
#ifndef TKG_TENSOR_H
#define TKG_TENSOR_H

#include "engine.h"

struct tkg_tensor {
  tkg_engine *engine;
  int references, kind, parameter;
  tkg_node shape; /* dtype, rank, shape; nothing else of it is used */
  void *data;
  uint64_t version;     /* grows with each change of the contents */
  tkg_tensor *gradient; /* of the last backward without an optimizer, or NULL */
  /* Where it stands on the tape that last saw it: makes tkg_tape_leaf O(1). */
  const tkg_tape *tape;
  uint64_t tape_generation;
  int tape_node;
};

int tkg__tensor_like(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out);

#endif
