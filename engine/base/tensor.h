/* Tensors: device memory with a shape and a reference count. */
#ifndef TKG_TENSOR_H
#define TKG_TENSOR_H

#include "engine.h"

struct tkg_tensor {
  tkg_engine *engine;
  int references, kind, parameter;
  bool divided;       /* each rank has some columns (placement.h); `shape` is that of the whole */
  bool frozen;        /* a parameter that gets no gradient */
  bool has_decay;     /* whether decay is used instead of the optimizer's */
  double rate, decay; /* of a parameter: what multiplies lr, 0 for 1; weight decay */
  int number;         /* of a parameter of 16 bits: which noise its updates are rounded with */
  tkg_node shape;     /* its dtype, rank and shape; the rest is unused */
  void *data;
  uint64_t version;     /* grows with each change of the contents */
  tkg_tensor *gradient; /* of the last backward without an optimizer, or NULL */
  /* Its node on the tape that last recorded it, so that tkg_tape_leaf finds it in O(1). */
  const tkg_tape *tape;
  uint64_t tape_generation;
  int tape_node;
};

enum { TKG_MOST_NUMBERED = 1 << 20 };

/* Creates a tensor with the dtype and shape of a node, contents undefined. The caller owns *out.
 * Returns TKG_E_MEMORY if there is no memory. */
int tkg__tensor_like(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out);

/* The same for one that is divided among the ranks. */
int tkg__tensor_divided(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out);

/* Divides a tensor among the ranks, or makes it whole on each; all ranks call it. A status. */
int tkg__divide_tensor(tkg_tensor *tensor, bool divided);

/* Replaces NaNs with a payload, which LuaJIT takes for other values, among numbers of 4 bytes. */
void tkg__replace_odd_nans(char *numbers, int64_t count);

/* Bytes of a tensor on this rank. */
int64_t tkg__tensor_bytes(const tkg_tensor *tensor);

#endif
