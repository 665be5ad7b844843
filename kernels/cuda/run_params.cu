#include "run_params.h"

#include "staging.h"

static tkg_run_params *params; /* device */

const tkg_run_params *tkg__run_params(void) { return params; }

int tkg__run_params_open(void) {
  void *memory = NULL;
  if (params) return TKG_OK;
  const cudaError_t error = cudaMalloc(&memory, sizeof *params);
  params = static_cast<tkg_run_params *>(memory);
  return tkg_cuda_status(error);
}

/* Powers are computed in double on the host, as by the CPU backend. */
int tkg__run_params_upload(const tkg_run_context *c, cudaStream_t stream) {
  tkg_run_params v = {};
  v.seed = c->seed;
  v.step = c->step;
  v.update = (uint32_t)c->t;
  v.lr = (float)c->lr;
  if (c->t > 0) {
    v.rate = (float)(c->lr / (1.0 - pow(c->beta1, c->t)));
    v.scale = (float)(1.0 / sqrt(1.0 - pow(c->beta2, c->t)));
  }
  return tkg_cuda_status(tkg__upload(params, &v, (int64_t)sizeof v, stream));
}
