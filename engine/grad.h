/* The grad pass: extends a tape with its backward. */
#ifndef TKG_GRAD_H
#define TKG_GRAD_H

#include "tape.h"

/* Records d(loss)/d(leaf) for each parameter leaf that `loss` depends on. gradient[leaf] = its
 * node, -1 for every other node; the array has room for `n_forward` = tape->n at the call. */
int tkg__grad(tkg_tape *tape, int loss, int32_t *gradient);

/* One vector-Jacobian product being recorded; see vjp.c. */
typedef struct tkg_vjp {
  tkg_tape *tape;
  int self;          /* the forward node */
  int32_t g;         /* gradient of its output */
  int32_t *gradient; /* by forward node; -1: none yet */
  const bool *wanted;
} tkg_vjp;

/* Records the contributions of one forward node to the gradients of its inputs. */
int tkg__vjp(tkg_vjp *v);

/* Adds `part` to the gradient of input `k`; false with a message when recording failed. */
bool tkg__give(tkg_vjp *v, int k, int part);

#endif
