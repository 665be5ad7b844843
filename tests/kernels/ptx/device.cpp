/* Device memory: a range of addresses that is never used twice, so that a pointer to a freed block
 * is known as such. The host sees it at a second range; the first is open only to running kernels.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <vector>

#include "runtime.h"
#include "translated.h"

static const size_t PAGE = 4096, SPACE = (size_t)64 << 30, TOTAL = (size_t)6 << 30;

struct device_block {
  size_t bytes, mapped;
};

static struct {
  std::recursive_mutex lock;
  char *space, *view; /* the device's and the host's addresses of the same memory */
  size_t next, used;  /* where the next block begins; bytes of live blocks */
  std::map<size_t, device_block> live;
  std::map<const char *, size_t> pinned;
  unsigned char *live_page; /* [SPACE / PAGE] */
} device;

#define LOCK std::lock_guard<std::recursive_mutex> guard(device.lock)

void check_fault(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("check: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
  abort();
}

/* No block begins where the lower half of an address is small: a parameter's int beside padding
 * that holds half of an old pointer is no address then. */
static bool looks_like_an_int(const char *p) { return (uint32_t)(uintptr_t)p < 1u << 26; }

bool is_device_pointer(const void *memory) {
  const char *p = (const char *)memory;
  return device.space && p >= device.space && p < device.space + SPACE && !looks_like_an_int(p);
}

/* A device's memory is no memory of the host's. */
static void on_segfault(int signal, siginfo_t *info, void *) {
  if (is_device_pointer(info->si_addr)) check_fault("the host touched device memory");
  ::signal(signal, SIG_DFL);
}

static void open_space(void) {
  const int file = memfd_create("device", 0);
  const int shared = MAP_SHARED | MAP_NORESERVE;
  if (file < 0 || ftruncate(file, (off_t)SPACE)) check_fault("no device memory");
  device.space = (char *)mmap(NULL, SPACE, PROT_NONE, shared, file, 0);
  device.view = (char *)mmap(NULL, SPACE, PROT_READ | PROT_WRITE, shared, file, 0);
  device.live_page = (unsigned char *)mmap(NULL, SPACE / PAGE, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (device.space == MAP_FAILED || device.view == MAP_FAILED || device.live_page == MAP_FAILED)
    check_fault("no address space for device memory");
  close(file);
  struct sigaction action = {};
  action.sa_sigaction = on_segfault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, NULL);
}

bool is_device_memory(uint64_t address, int64_t bytes) {
  const uint64_t offset = address - (uint64_t)(uintptr_t)device.space;
  return offset < SPACE && device.live_page[offset / PAGE] &&
         device.live_page[(offset + (uint64_t)bytes - 1) / PAGE];
}

char *host_view(const void *memory, size_t bytes, const char *what) {
  LOCK;
  if (!is_device_pointer(memory)) check_fault("%s: %p is no device memory", what, memory);
  const size_t offset = (size_t)((const char *)memory - device.space);
  auto block = device.live.upper_bound(offset);
  if (block == device.live.begin()) check_fault("%s: %p is freed device memory", what, memory);
  --block;
  if (offset >= block->first + block->second.mapped)
    check_fault("%s: %p is freed device memory", what, memory);
  if (offset + bytes > block->first + block->second.bytes)
    check_fault("%s: %zu bytes from %p run over the end of a block of %zu", what, bytes, memory,
                block->second.bytes);
  return device.view + offset;
}

void open_device_memory(bool open) {
  if (mprotect(device.space, device.next, open ? PROT_READ | PROT_WRITE : PROT_NONE))
    check_fault("mprotect of device memory");
}

bool is_pinned(const void *memory) {
  LOCK;
  const char *p = (const char *)memory;
  auto block = device.pinned.upper_bound(p);
  return block != device.pinned.begin() && (--block, p < block->first + block->second);
}

/* ---- CUDA's calls ---- */

static size_t whole_pages(size_t bytes) { return (bytes + PAGE) / PAGE * PAGE; }

extern "C" {

/* Filled with NaN. Fails as a device's does when it is full. */
cudaError_t cudaMalloc(void **out, size_t bytes) {
  LOCK;
  not_in_capture("cudaMalloc");
  if (!device.space) open_space();
  *out = NULL;
  const size_t mapped = whole_pages(bytes);
  while (looks_like_an_int(device.space + device.next) ||
         looks_like_an_int(device.space + device.next + mapped))
    device.next += PAGE;
  if (device.used + bytes > TOTAL) return cudaErrorMemoryAllocation;
  if (device.next + mapped + PAGE > SPACE) check_fault("all addresses of the device are used up");
  *out = device.space + device.next;
  device.live[device.next] = {bytes, mapped};
  memset(device.view + device.next, 0xff, mapped);
  memset(device.live_page + device.next / PAGE, 1, mapped / PAGE);
  device.used += bytes;
  device.next += mapped + PAGE; /* a page of no block between two */
  return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
  if (!memory) return cudaSuccess;
  not_in_capture("cudaFree");
  finish_stream();
  LOCK;
  const size_t offset = (size_t)((char *)memory - device.space);
  auto block = device.live.find(offset);
  if (!is_device_pointer(memory) || block == device.live.end())
    check_fault("cudaFree: %p is no block", memory);
  device.used -= block->second.bytes;
  memset(device.live_page + offset / PAGE, 0, block->second.mapped / PAGE);
  madvise(device.view + offset, block->second.mapped, MADV_REMOVE);
  device.live.erase(block);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
  LOCK;
  not_in_capture("cudaMallocHost");
  *out = aligned_alloc(PAGE, whole_pages(bytes));
  if (!*out) return cudaErrorMemoryAllocation;
  memset(*out, 0xa5, bytes);
  device.pinned[(const char *)*out] = bytes;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
  LOCK;
  *total = TOTAL;
  *left = TOTAL - device.used;
  return cudaSuccess;
}

/* ---- copies ---- */

static uint64_t checksum(const char *bytes, size_t count) {
  uint64_t sum = 14695981039346656037ull; /* FNV-1a */
  for (size_t i = 0; i < count; i++) sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211ull;
  return sum;
}

static void copy_to_device(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  if (is_device_pointer(from)) check_fault("a copy from the host: %p is device memory", from);
  char *view = host_view(to, bytes, "a copy to the device");
  if (!is_pinned(from)) { /* CUDA takes the bytes before it returns */
    std::vector<char> taken((const char *)from, (const char *)from + bytes);
    submit(stream, "a copy", [=] { memcpy(view, taken.data(), bytes); });
    return;
  }
  const uint64_t sum = checksum((const char *)from, bytes);
  submit(stream, "a copy", [=] {
    if (checksum((const char *)from, bytes) != sum)
      check_fault("pinned memory changed before it was copied to the device");
    memcpy(view, from, bytes);
  });
}

static void copy_to_host(void *to, const void *from, size_t bytes, cudaStream_t stream) {
  if (is_device_pointer(to)) check_fault("a copy to the host: %p is device memory", to);
  const char *view = host_view(from, bytes, "a copy from the device");
  submit(stream, "a copy", [=] { memcpy(to, view, bytes); });
  if (!is_pinned(to)) finish_stream();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (kind == cudaMemcpyDeviceToDevice) {
    char *view = host_view(to, bytes, "a copy within the device");
    const char *source = host_view(from, bytes, "a copy within the device");
    if (view < source + bytes && source < view + bytes)
      check_fault("a copy within the device: %p and %p overlap", to, from);
    submit(stream, "a copy", [=] { memcpy(view, source, bytes); });
    return cudaSuccess;
  }
  not_in_capture("a copy from or to the host");
  if (kind == cudaMemcpyHostToDevice)
    copy_to_device(to, from, bytes, stream);
  else
    copy_to_host(to, from, bytes, stream);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
  char *view = host_view(memory, bytes, "cudaMemset");
  submit(stream, "a memset", [=] { memset(view, value, bytes); });
  return cudaSuccess;
}
}
