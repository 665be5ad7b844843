/* The emulation's own tests: each kernel is a corner of CUDA that a small scheduler gets wrong,
 * with results worked out by hand. */
#include "cuda/cuda.h"

#include <stdio.h>

#define LAUNCH(kernel, grid, block, shared, ...)                                                   \
  tkg_launch_raw(kernel, grid, block, shared, (cudaStream_t)0, __VA_ARGS__)

/* 40 threads: the last warp has 8 lanes. */
static __global__ void partial_warp(const float *x, float *out) {
  const unsigned mask = threadIdx.x < 32 ? 0xffffffffu : 0xffu;
  float v = x[threadIdx.x];
  for (int k = 4; k; k /= 2) v += __shfl_down_sync(mask, v, (unsigned)k);
  if (threadIdx.x == 32) *out = v;
}

/* Threads past n leave, the others meet at a barrier. */
static __global__ void early_exit(int n, float *out) {
  TKG_SHARED(int, s, [1]);
  if (threadIdx.x == 0) s[0] = 7;
  if ((int)threadIdx.x >= n) return;
  __syncthreads();
  out[blockIdx.x * n + threadIdx.x] = (float)s[0];
}

/* The two halves of a warp are at different collectives at once. */
static __global__ void halves(float *out) {
  const unsigned lane = threadIdx.x;
  float v = (float)lane;
  if (lane < 16) {
    for (int k = 8; k; k /= 2) v += __shfl_xor_sync(0x0000ffffu, v, k);
  } else {
    v *= 2;
    for (int k = 8; k; k /= 2) v = fmaxf(v, __shfl_xor_sync(0xffff0000u, v, k));
  }
  out[lane] = v;
}

/* Groups of 16 lanes, and what shuffles return at their edges. */
static __global__ void width_16(int *out) {
  const int lane = (int)threadIdx.x;
  out[lane] = __shfl_sync(0xffffffffu, lane, 3, 16) * 1000000 +
              __shfl_up_sync(0xffffffffu, lane, 1u, 16) * 1000 +
              __shfl_down_sync(0xffffffffu, lane, 1u, 16);
}

static __global__ void votes(unsigned *out) {
  const int lane = (int)threadIdx.x;
  const unsigned thirds = __ballot_sync(0xffffffffu, lane % 3 == 0);
  const int any = __any_sync(0xffffffffu, lane == 31), all = __all_sync(0xffffffffu, lane < 31);
  out[lane] = thirds ^ (any ? 1u : 0u) ^ (all ? 2u : 0u);
}

/* A prefix sum with two barriers per step, in dynamic shared memory and a block of three
 * dimensions. */
static __global__ void prefix_sum(int n, int *x) {
  TKG_DYNAMIC_SHARED(int, s);
  const int t = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  s[t] = x[t];
  __syncthreads();
  for (int o = 1; o < n; o *= 2) {
    const int v = t >= o ? s[t - o] : 0;
    __syncthreads();
    s[t] += v;
    __syncthreads();
  }
  x[t] = s[t];
}

/* A block has shared memory of its own, without values of an earlier block. */
static __global__ void own_shared(float *out) {
  TKG_SHARED(float, s, [32]);
  out[blockIdx.x] = s[threadIdx.x] == 5.0F ? 1.0F : 0.0F;
  s[threadIdx.x] = 5.0F;
}

/* Many blocks add to one counter, and keep the smallest number. */
static __global__ void counters(int *sum, unsigned long long *least) {
  atomicAdd(sum, 1);
  atomicMin(least, (unsigned long long)(1000 - blockIdx.x));
}

static int failures;
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      printf("FAIL line %d: %s\n", __LINE__, #condition);                                          \
      failures++;                                                                                  \
    }                                                                                              \
  } while (0)

static void *memory(size_t bytes) {
  void *p = NULL;
  cudaMalloc(&p, bytes);
  return p;
}

static void warps(float *x, float *out, int *numbers, unsigned *words) {
  for (int k = 0; k < 1024; k++) x[k] = 1;
  LAUNCH(partial_warp, dim3(1), dim3(40), 0, x, out);
  CHECK(*out == 8);
  LAUNCH(halves, dim3(1), dim3(32), 0, out);
  CHECK(out[0] == 120 && out[15] == 120 && out[16] == 62 && out[31] == 62);
  LAUNCH(width_16, dim3(1), dim3(32), 0, numbers);
  CHECK(numbers[0] == 3000001 && numbers[15] == 3014015);
  CHECK(numbers[16] == 19016017 && numbers[31] == 19030031);
  LAUNCH(votes, dim3(1), dim3(32), 0, words);
  CHECK(words[0] == (0x49249249u ^ 1u));
  CHECK(words[1] == (0x49249249u ^ 1u));
}

static void blocks(float *out, int *numbers, unsigned long long *least) {
  LAUNCH(early_exit, dim3(3), dim3(96), 0, 50, out);
  CHECK(out[0] == 7 && out[49] == 7 && out[149] == 7);
  for (int k = 0; k < 1024; k++) numbers[k] = k + 1;
  LAUNCH(prefix_sum, dim3(1), dim3(8, 8, 16), 1024 * sizeof(int), 1024, numbers);
  CHECK(numbers[1023] == 1024 * 1025 / 2 && numbers[500] == 501 * 502 / 2);
  LAUNCH(own_shared, dim3(20), dim3(1), 0, out);
  for (int k = 0; k < 20; k++) CHECK(out[k] == 0);
  *numbers = 0;
  *least = ~0ull;
  LAUNCH(counters, dim3(100), dim3(33), 0, numbers, least);
  CHECK(*numbers == 3300 && *least == 901);
}

int main(void) {
  float *x = (float *)memory(4096), *out = (float *)memory(4096);
  int *numbers = (int *)memory(4096);
  unsigned *words = (unsigned *)memory(4096);
  unsigned long long *least = (unsigned long long *)memory(8);
  CHECK(isnan(x[0]));
  warps(x, out, numbers, words);
  blocks(out, numbers, least);
  printf("harness: %d failed\n", failures);
  void *const all[] = {x, out, numbers, words, least};
  for (void *p : all) cudaFree(p);
  return failures != 0;
}
