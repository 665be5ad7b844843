#include "run_params.h"

#include "staging.h"

static tkg_run_values *values; /* device */

const tkg_run_values *tkg__values(void) { return values; }

static int failed(cudaError_t error) {
  if (error == cudaSuccess) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "cuda: %s", cudaGetErrorString(error));
}

int tkg__values_open(void) {
  void *memory = NULL;
  if (values) return TKG_OK;
  const cudaError_t error = cudaMalloc(&memory, sizeof *values);
  values = static_cast<tkg_run_values *>(memory);
  return failed(error);
}

/* Powers are taken in double on the host: as the CPU backend takes them. */
int tkg__values_begin(const tkg_run_context *c, cudaStream_t stream) {
  tkg_run_values v = {};
  v.seed = c->seed;
  v.step = c->step;
  v.update = (uint32_t)c->t;
  v.lr = (float)c->lr;
  if (c->t > 0) {
    v.rate = (float)(c->lr / (1.0 - pow(c->beta1, c->t)));
    v.scale = (float)(1.0 / sqrt(1.0 - pow(c->beta2, c->t)));
  }
  return failed(tkg__upload(values, &v, (int64_t)sizeof v, stream));
}
