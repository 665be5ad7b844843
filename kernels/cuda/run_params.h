/* What differs between two runs of one plan: seed, step, learning rate, count of updates. It lies
 * in device memory and is written when a run begins, so that a run can be queued again as it was
 * (cuda_graph.h): a kernel's arguments are frozen there. */
#ifndef TKG_CUDA_RUN_PARAMS_H
#define TKG_CUDA_RUN_PARAMS_H

#include "cuda.h"

typedef struct tkg_run_values {
  uint64_t seed;
  uint32_t step, update; /* update: the optimizer's t */
  float lr;
  float rate;  /* lr / (1 - beta1^t), Adam's */
  float scale; /* 1 / sqrt(1 - beta2^t) */
} tkg_run_values;

/* Host: queues the values of a run that begins; a status. `open` makes their place, once. */
int tkg__values_open(void);
int tkg__values_begin(const tkg_run_context *context, cudaStream_t stream);

/* Device memory, for a kernel's argument. */
const tkg_run_values *tkg__values(void);

#endif
