/* A batch is a few kilobytes that the recipe's next line may overwrite. A copy from ordinary memory
 * makes the host wait for the device, one from pinned memory does not. So batches are first copied
 * to pinned buffers, which take turns. */
#include "staging.h"

enum { BUFFERS = 4 };
#define BUFFER_BYTES ((int64_t)2 << 20)

static struct {
  char *memory[BUFFERS];
  cudaEvent_t done[BUFFERS]; /* the device has read the buffer */
  int next;
  bool open;
} staging;

static cudaError_t open_buffers(void) {
  for (int b = 0; b < BUFFERS; b++) {
    void *memory = NULL;
    cudaError_t error = cudaMallocHost(&memory, (size_t)BUFFER_BYTES);
    if (!error) error = cudaEventCreateWithFlags(&staging.done[b], cudaEventDisableTiming);
    if (error) return error;
    staging.memory[b] = (char *)memory;
  }
  staging.open = true;
  return cudaSuccess;
}

static cudaError_t upload_piece(char *to, const char *from, int64_t bytes, cudaStream_t stream) {
  const int b = staging.next;
  staging.next = (b + 1) % BUFFERS;
  cudaError_t error = cudaEventSynchronize(staging.done[b]);
  if (error) return error;
  memcpy(staging.memory[b], from, (size_t)bytes);
  error = cudaMemcpyAsync(to, staging.memory[b], (size_t)bytes, cudaMemcpyHostToDevice, stream);
  return error ? error : cudaEventRecord(staging.done[b], stream);
}

cudaError_t tkg__upload(void *to, const void *from, int64_t bytes, cudaStream_t stream) {
  cudaError_t error = staging.open ? cudaSuccess : open_buffers();
  for (int64_t at = 0; at < bytes && !error; at += BUFFER_BYTES) {
    const int64_t left = bytes - at;
    error = upload_piece((char *)to + at, (const char *)from + at,
                         left < BUFFER_BYTES ? left : BUFFER_BYTES, stream);
  }
  return error;
}

cudaError_t tkg__download(void *to, const void *from, int64_t bytes, cudaStream_t stream) {
  if (bytes <= 0) return cudaSuccess;
  cudaError_t error = cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToHost, stream);
  return error ? error : cudaStreamSynchronize(stream);
}
