/* Planted bugs: each must be caught by the checker named above it. A checker that finds nothing
 * here finds nothing in the kernels either. `bugs NAME` runs one. */
#include "cuda/cuda.h"

#include <stdio.h>

#define LAUNCH(kernel, grid, block, shared, ...)                                                   \
  tkg_launch_raw(kernel, grid, block, shared, (cudaStream_t)0, __VA_ARGS__)

/* ---- AddressSanitizer ---- */

/* `>` for `>=`: one thread reads and writes past the end. */
static __global__ void off_by_one(unsigned n, const float *x, float *out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i > n) return;
  out[i] = x[i];
}

static __global__ void beside_shared(float *out) {
  TKG_SHARED(float, s, [33]);
  s[threadIdx.x] = 1;
  __syncthreads();
  const float *next = s + 2;
  out[threadIdx.x] = next[threadIdx.x];
}

/* ---- ThreadSanitizer ---- */

static __global__ void plain_sum(float *out, const float *x) { out[0] += x[threadIdx.x]; }

/* The lanes of a warp are in step before sm_70 only. */
static __global__ void warp_in_step(float *out, const float *x) {
  TKG_SHARED(float, s, [32]);
  const unsigned lane = threadIdx.x;
  s[lane] = x[lane];
  for (unsigned o = 16; o; o /= 2)
    if (lane < o) s[lane] += s[lane + o];
  if (lane == 0) out[0] = s[0];
}

static __global__ void no_barrier(float *out, const float *x) {
  TKG_SHARED(float, s, [64]);
  s[threadIdx.x] = x[threadIdx.x];
  out[threadIdx.x] = s[63 - threadIdx.x];
}

/* The second round overwrites what a slow thread still reads. */
static __global__ void one_barrier_short(float *out, const float *x) {
  TKG_SHARED(float, s, [64]);
  float sum = 0;
  for (unsigned round = 0; round < 2; round++) {
    s[threadIdx.x] = x[threadIdx.x] + (float)round;
    __syncthreads();
    sum += s[63 - threadIdx.x];
  }
  out[threadIdx.x] = sum;
}

/* One thread per block; all blocks write one cell. */
static __global__ void between_blocks(float *out, const float *x) { out[0] = x[blockIdx.x]; }

/* ---- the emulation itself ---- */

static __global__ void divergent_barrier(float *out, const float *x) {
  if (threadIdx.x < 16)
    __syncthreads();
  else
    out[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0);
}

static __global__ void mixed_collectives(float *out, const float *x) {
  if (threadIdx.x < 16)
    out[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 0);
  else
    out[threadIdx.x] = (float)__ballot_sync(0xffffffffu, x[threadIdx.x] > 0);
}

/* A lane that its own mask lacks. */
static __global__ void not_in_mask(float *out, const float *x) {
  out[threadIdx.x] = __shfl_sync(0x0000ffffu, x[threadIdx.x], 0);
}

static const struct {
  const char *name;
  void (*kernel)(float *, const float *);
  unsigned blocks, threads;
} bugs[] = {
    {"plain_sum", plain_sum, 1, 32},
    {"warp_in_step", warp_in_step, 1, 32},
    {"no_barrier", no_barrier, 1, 64},
    {"one_barrier_short", one_barrier_short, 1, 64},
    {"between_blocks", between_blocks, 8, 1},
    {"divergent_barrier", divergent_barrier, 1, 32},
    {"mixed_collectives", mixed_collectives, 1, 32},
    {"not_in_mask", not_in_mask, 1, 32},
};

int main(int argc, char **argv) {
  void *x = NULL, *out = NULL;
  const char *name = argc > 1 ? argv[1] : "";
  cudaMalloc(&x, 64 * sizeof(float));
  cudaMalloc(&out, 64 * sizeof(float));
  for (int k = 0; k < 64; k++) ((float *)x)[k] = (float)k;
  if (strcmp(name, "off_by_one") == 0)
    LAUNCH(off_by_one, dim3(2), dim3(64), 0, 64u, (const float *)x, (float *)out);
  else if (strcmp(name, "beside_shared") == 0)
    LAUNCH(beside_shared, dim3(1), dim3(32), 0, (float *)out);
  for (const auto &bug : bugs)
    if (strcmp(name, bug.name) == 0)
      LAUNCH(bug.kernel, dim3(bug.blocks), dim3(bug.threads), 0, (float *)out, (const float *)x);
  printf("%s: not caught\n", name);
  cudaFree(x);
  cudaFree(out);
  return 0;
}
