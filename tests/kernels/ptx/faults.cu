/* Planted faults of the host's calls and of kernels: `faults NAME` commits one, which must end the
 * program with a line that begins with "check:". Compiled by nvcc, linked to the checking runtime;
 * tests/kernels/check.sh lists the lines that are expected. */
#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

#include "cuda/cusparse.h"

static cudaStream_t stream;

static __global__ void fill(float *to, int n, float value) {
  const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) to[i] = value;
}

static __global__ void load_vector(const float *from, float *to) {
  const float4 v = *reinterpret_cast<const float4 *>(from);
  *to = v.x + v.w;
}

static __global__ void shift_shared(float *to, int by) {
  __shared__ float tile[32];
  tile[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = tile[threadIdx.x + by];
}

static __global__ void shuffle_some(float *to) {
  float value = (float)threadIdx.x;
  if (threadIdx.x < 16) value = __shfl_xor_sync(0xffff0000u, value, 1);
  to[threadIdx.x] = value;
}

static float *device_floats(int n) {
  void *memory = NULL;
  cudaMalloc(&memory, (size_t)n * sizeof(float));
  return (float *)memory;
}

static float *pinned_floats(int n) {
  void *memory = NULL;
  cudaMallocHost(&memory, (size_t)n * sizeof(float));
  memset(memory, 0, (size_t)n * sizeof(float));
  return (float *)memory;
}

/* ---- the host ---- */

static void allocates_in_capture(void) {
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  device_floats(1);
}

static void waits_in_capture(void) {
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  cudaStreamSynchronize(stream);
}

static void uploads_in_capture(void) {
  float *to = device_floats(4), *from = pinned_floats(4);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  cudaMemcpyAsync(to, from, 16, cudaMemcpyHostToDevice, stream);
}

static void frees_twice(void) {
  float *x = device_floats(4);
  cudaFree(x);
  cudaFree(x);
}

static void keeps_a_freed_pointer(void) {
  float *x = device_floats(4);
  cudaFree(x);
  fill<<<1, 32, 0, stream>>>(x, 4, 1);
}

static void passes_host_memory(void) { fill<<<1, 32, 0, stream>>>(pinned_floats(4), 4, 1); }

static void changes_a_source(void) {
  float *to = device_floats(4), *from = pinned_floats(4);
  cudaMemcpyAsync(to, from, 16, cudaMemcpyHostToDevice, stream);
  from[0] = 1;
  cudaStreamSynchronize(stream);
}

static void copies_too_much(void) {
  cudaMemcpyAsync(device_floats(4), pinned_floats(5), 20, cudaMemcpyHostToDevice, stream);
}

static void reads_on_the_host(void) { printf("%g\n", (double)*device_floats(1)); }

static void uses_another_stream(void) { fill<<<1, 32>>>(device_floats(4), 4, 1); }

static void asks_for_too_large_a_grid(void) {
  fill<<<dim3(1, 65536), 32, 0, stream>>>(device_floats(4), 4, 1);
}

static void asks_for_too_much_shared_memory(void) {
  fill<<<1, 32, 64 * 1024, stream>>>(device_floats(4), 4, 1);
}

/* ---- sparse products: of a matrix of 4 x 4 with ones on its diagonal, by CSR_ALG3 ---- */

typedef struct sparse {
  tkg_cusparse call;
  void *handle, *a, *b, *c, *buffer;
  int *offsets;
} sparse;

static int *device_counting(int n) {
  int *to = (int *)device_floats(n), *from = (int *)pinned_floats(n);
  for (int k = 0; k < n; k++) from[k] = k;
  cudaMemcpyAsync(to, from, (size_t)n * sizeof(int), cudaMemcpyHostToDevice, stream);
  return to;
}

static sparse prepared_sparse(void) {
  const float one = 1, none = 0;
  sparse s = {};
  size_t bytes = 0;
  tkg__cusparse_open(&s.call);
  s.call.create(&s.handle);
  s.call.set_stream(s.handle, stream);
  s.offsets = device_counting(5);
  s.call.create_csr(&s.a, 4, 4, 4, s.offsets, device_counting(4), device_floats(4), 2, 2, 0, 0);
  s.call.create_dense(&s.b, 4, 8, 8, device_floats(32), 0, 2);
  s.call.create_dense(&s.c, 4, 8, 8, device_floats(32), 0, 2);
  s.call.buffer_size(s.handle, 0, 0, &one, s.a, s.b, &none, s.c, 0, 12, &bytes);
  s.buffer = device_floats((int)bytes / 4);
  s.call.preprocess(s.handle, 0, 0, &one, s.a, s.b, &none, s.c, 0, 12, s.buffer);
  return s;
}

static void multiply_sparse(const sparse &s, void *buffer) {
  const float one = 1, none = 0;
  s.call.multiply(s.handle, 0, 0, &one, s.a, s.b, &none, s.c, 0, 12, buffer);
}

static void uses_another_buffer(void) {
  const sparse s = prepared_sparse();
  multiply_sparse(s, device_floats(64));
}

static void changes_a_graph(void) {
  const sparse s = prepared_sparse();
  cudaMemsetAsync(s.offsets, 0, 4, stream);
  cudaMemsetAsync(s.offsets + 1, 0, 4, stream);
  multiply_sparse(s, s.buffer);
}

static void prepares_in_capture(void) {
  const float one = 1, none = 0;
  const sparse s = prepared_sparse();
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  s.call.preprocess(s.handle, 0, 0, &one, s.a, s.b, &none, s.c, 0, 12, s.buffer);
}

/* ---- kernels ---- */

static void loads_a_misaligned_vector(void) {
  float *x = device_floats(8);
  load_vector<<<1, 1, 0, stream>>>(x + 1, x);
}

static void writes_behind_a_block(void) { fill<<<64, 32, 0, stream>>>(device_floats(4), 2048, 1); }

static void reads_behind_shared_memory(void) {
  shift_shared<<<1, 32, 0, stream>>>(device_floats(32), 1);
}

static void shuffles_outside_its_mask(void) {
  shuffle_some<<<1, 32, 0, stream>>>(device_floats(32));
}

/* No fault: what the others do, done right. */
static void nothing(void) {
  const sparse s = prepared_sparse();
  multiply_sparse(s, s.buffer);
  float *to = device_floats(32), *host = pinned_floats(32);
  fill<<<1, 32, 0, stream>>>(to, 32, 1);
  shift_shared<<<1, 32, 0, stream>>>(to, 0);
  load_vector<<<1, 1, 0, stream>>>(to + 4, to);
  cudaMemcpyAsync(host, to, 128, cudaMemcpyDeviceToHost, stream);
  cudaStreamSynchronize(stream);
  printf("%g %g\n", (double)host[0], (double)host[31]);
}

#define X(name)                                                                                    \
  { #name, name }
static const struct {
  const char *name;
  void (*commit)(void);
} faults[] = {X(allocates_in_capture),      X(waits_in_capture),
              X(uploads_in_capture),        X(frees_twice),
              X(keeps_a_freed_pointer),     X(passes_host_memory),
              X(changes_a_source),          X(copies_too_much),
              X(reads_on_the_host),         X(uses_another_stream),
              X(asks_for_too_large_a_grid), X(asks_for_too_much_shared_memory),
              X(uses_another_buffer),       X(changes_a_graph),
              X(prepares_in_capture),       X(loads_a_misaligned_vector),
              X(writes_behind_a_block),     X(reads_behind_shared_memory),
              X(shuffles_outside_its_mask), X(nothing)};

int main(int argc, char **argv) {
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (const auto &fault : faults)
    if (argc > 1 && strcmp(argv[1], fault.name) == 0) {
      fault.commit();
      cudaStreamSynchronize(stream);
      return 0;
    }
  fprintf(stderr, "faults: no fault of that name\n");
  return 2;
}
