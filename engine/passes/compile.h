/* From a recorded tape to a program that runs: the passes, one after the other. */
#ifndef TKG_COMPILE_H
#define TKG_COMPILE_H

#include "program.h"
#include "tape/optimizer.h"

/* What a step asks of a tape: the arguments of tkg_step_run. */
typedef struct tkg_request {
  int32_t loss;             /* node; -1: forward only */
  tkg_optimizer *optimizer; /* NULL: gradients are outputs too */
  const int32_t *outputs;   /* nodes whose values are returned */
  int n;
} tkg_request;

/* Copies what the request needs of the tape into `p`, which begins as zeros, and runs the passes on
 * it. The caller frees `p` with tkg__program_free, also after a failure. Leaves that the recipe
 * recorded are unbound: tkg_side.origin tells where a run finds their tensors. */
int tkg__compile(const tkg_tape *tape, const tkg_request *request, const tkg_policy *policy,
                 tkg_program *p);

void tkg__program_free(tkg_program *p);

#endif
