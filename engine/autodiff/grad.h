/* The grad pass appends backward to a tape. */
#ifndef TKG_GRAD_H
#define TKG_GRAD_H

#include "tape/tape.h"

/* Records d(loss)/d(leaf) for each parameter leaf that `loss` depends on. gradient[leaf] = its
 * node, -1 for every other node; the array has room for `n_forward` = tape->n at the call. */
int tkg__grad(tkg_tape *tape, int loss, int32_t *gradient);

/* Copies in backward of the recorded gradients of custom_vjp nodes; see custom_vjp.c. */
typedef struct tkg_copies {
  int32_t upstream, g; /* the op they are of: its UPSTREAM node, and the gradient that arrived */
  int32_t *of;         /* by forward node; -1: none yet */
} tkg_copies;

/* One vector-Jacobian product being recorded; see vjp.c. */
typedef struct tkg_vjp {
  tkg_tape *tape;
  int self;          /* the forward node */
  int32_t g;         /* gradient of its output */
  int32_t *gradient; /* by forward node; -1: none yet */
  const bool *wanted;
  tkg_copies *copies;
} tkg_vjp;

/* Records the contributions of one forward node to the gradients of its inputs. */
int tkg__vjp(tkg_vjp *v);

/* Adds node `contribution` to the gradient of input `k`. Returns false with a message when
 * recording failed. The contribution is recorded for that alone, or is the gradient v->g passed on;
 * tkg__add also takes nodes with other readers. */
bool tkg__accumulate(tkg_vjp *v, int k, int contribution);
bool tkg__add(tkg_vjp *v, int k, int contribution);

#endif
