/* What differs between two runs of one plan: seed, step, learning rate, number of updates. They lie
 * in device memory, and a run begins by writing them. Kernels get their address, so that a captured
 * run, whose arguments are fixed, can be launched again (cuda_graph.h). */
#ifndef TKG_CUDA_RUN_PARAMS_H
#define TKG_CUDA_RUN_PARAMS_H

#include "cuda.h"

typedef struct tkg_run_params {
  uint64_t seed;
  uint32_t step, update; /* update: the optimizer's t */
  float lr;
  float rate;  /* Adam's lr / (1 - beta1^t) */
  float scale; /* Adam's 1 / sqrt(1 - beta2^t) */
} tkg_run_params;

/* Host, both return a status: allocates the parameters, once; queues their upload. */
int tkg__run_params_open(void);
int tkg__run_params_upload(const tkg_run_context *context, cudaStream_t stream);

/* Their address on the device. */
const tkg_run_params *tkg__run_params(void);

#endif
