/* RANDOM: numbers of a stream (shared/random_numbers.h). A thread draws a Philox block and writes
 * its four numbers at once; the op writes and reads nothing else. */
#include "random.cuh"

#include "family.h"

static __global__ void random_kernel(int64_t n, bool aligned, random_stream r, float *out) {
  random_elements(tkg_in_grid(), n, aligned, r, 0, out);
}

static int random_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(random_kernel, tkg_flat(tkg_ceil(n, 4)), stream, n, tkg_vec4_aligned(c->out, 0),
             random_stream_of(c), tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_random[] = {
    {TKG_OP_RANDOM, random_run, NULL},
    {0, NULL, NULL},
};
