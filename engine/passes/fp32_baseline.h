#ifndef TKG_FP32_BASELINE_H
#define TKG_FP32_BASELINE_H

#include "program.h"

/* What an op-by-op FP32 autograd tape saves for a program that ends with its forward nodes. All
 * arrays have an entry per node. */
typedef struct tkg_fp32_saved {
  const tkg_tape *tape;
  int64_t *extra;   /* bytes that the node's op saves beside values of the tape; owns the arrays */
  int64_t *scratch; /* bytes that its backward takes for a moment, gradients of inputs included */
  int32_t *saver;   /* of a value: the first op that saves it, -1 if none does */
  bool *wanted;     /* depends on a parameter */
  bool *reached;    /* by gradients of what is asked for */
  bool *own;        /* made in backward for a gradient of its own */
} tkg_fp32_saved;

/* Finds it; the caller frees `extra`. Returns TKG_E_MEMORY if there is no memory. */
int tkg__fp32_saved(const tkg_program *p, int loss, tkg_fp32_saved *out);

/* The bytes of all that is saved: `reference_bytes`. */
int64_t tkg__fp32_saved_bytes(const tkg_fp32_saved *saved);

/* Whether a node is a product with a sparse matrix: a sum over edges whose weights are constant. */
bool tkg__fp32_sparse_product(const tkg_fp32_saved *saved, const tkg_node *n);

/* The node whose memory a value has: itself, or what it is a view of. */
int tkg__fp32_storage(const tkg_tape *tape, int v);

#endif
