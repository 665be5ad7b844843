#include "result_page.h"

enum { PAGE_BYTES = 4096, MOST_RESULTS = 64, RESULT_ALIGN = 16 };

static struct {
  char *memory; /* host, pinned */
  int64_t used; /* bytes */
  int count;
  struct {
    const char *from;
    int64_t bytes, at; /* bytes 0: dropped */
  } result[MOST_RESULTS];
} page;

cudaError_t tkg__result_page_open(void) {
  void *memory = NULL;
  if (page.memory) return cudaSuccess;
  const cudaError_t error = cudaMallocHost(&memory, PAGE_BYTES);
  page.memory = static_cast<char *>(memory);
  return error;
}

void tkg__result_page_clear(void) { page.used = page.count = 0; }

cudaError_t tkg__result_page_add(const void *from, int64_t bytes, cudaStream_t stream) {
  if (bytes <= 0 || bytes > PAGE_BYTES - page.used || page.count == MOST_RESULTS)
    return cudaSuccess;
  const int64_t at = page.used;
  page.result[page.count++] = {static_cast<const char *>(from), bytes, at};
  page.used += (bytes + RESULT_ALIGN - 1) / RESULT_ALIGN * RESULT_ALIGN;
  return cudaMemcpyAsync(page.memory + at, from, (size_t)bytes, cudaMemcpyDeviceToHost, stream);
}

void tkg__result_page_drop(const void *memory, int64_t bytes) {
  const char *begin = static_cast<const char *>(memory);
  for (int r = 0; r < page.count; r++)
    if (page.result[r].from < begin + bytes && begin < page.result[r].from + page.result[r].bytes)
      page.result[r].bytes = 0;
}

bool tkg__result_page_read(void *to, const void *from, int64_t bytes) {
  const char *begin = static_cast<const char *>(from);
  for (int r = 0; r < page.count; r++) {
    const int64_t skipped = begin - page.result[r].from;
    if (skipped < 0 || skipped + bytes > page.result[r].bytes) continue;
    memcpy(to, page.memory + page.result[r].at + skipped, (size_t)bytes);
    return true;
  }
  return false;
}
