/* Launches of kernels: an H200's limits, pointers among the parameters, and their execution by what
 * translate.py made of their PTX. TKG_CHECK_RUN=no checks the launches alone. */
#include <cxxabi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime.h"
#include "translated.h"

extern "C" void run_translated(const translated *kernel, const unsigned grid[3],
                               const unsigned block[3], size_t dynamic_bytes,
                               const char *const *parameters);

static std::map<std::string, const translated *> &table(void) {
  static std::map<std::string, const translated *> all; /* constructors of other files fill it */
  return all;
}

/* Whether two kernels of one name may be one template, compiled in two files. */
static bool alike(const translated *a, const translated *b) {
  return a->registers == b->registers && a->shared == b->shared && a->count == b->count &&
         std::equal(a->parameters, a->parameters + a->count, b->parameters);
}

bool add_translated(const translated *kernels, int count) {
  for (int k = 0; k < count; k++) {
    const auto added = table().emplace(kernels[k].name, kernels + k);
    if (!added.second && !alike(added.first->second, kernels + k))
      check_fault("two kernels are named %s", kernels[k].name);
  }
  return true;
}

/* A kernel that is not in the table, of a library, may be registered but not launched. */
static std::map<const void *, std::string> &registered(void) {
  static std::map<const void *, std::string> names;
  return names;
}

static std::string readable(const std::string &mangled) {
  int status;
  char *text = abi::__cxa_demangle(mangled.c_str(), NULL, NULL, &status);
  std::string name = text ? text : mangled;
  free(text);
  return name.substr(0, name.find('('));
}

/* Dynamic shared memory that a kernel may have beyond 48 KiB, after cudaFuncSetAttribute. */
static const int MOST_SHARED = 227 * 1024;
static std::map<const void *, int> shared_of;

static void check_limits(const char *name, const translated *k, dim3 grid, dim3 block,
                         size_t shared, int allowed) {
  const unsigned threads = block.x * block.y * block.z, warps = (threads + 31) / 32;
  if (!grid.x || !grid.y || !grid.z || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
    check_fault("%s: a grid of (%u,%u,%u)", name, grid.x, grid.y, grid.z);
  if (!threads || threads > 1024 || block.z > 64)
    check_fault("%s: a block of (%u,%u,%u)", name, block.x, block.y, block.z);
  const int most = allowed > 48 * 1024 ? MOST_SHARED : 48 * 1024;
  if (shared + (size_t)k->shared > (size_t)most || (int)shared > std::max(allowed, most * !allowed))
    check_fault("%s: %zu bytes of shared memory", name, shared + (size_t)k->shared);
  /* Registers are given to a warp in groups of 8 per thread. */
  if ((unsigned)(k->registers + 7) / 8 * 8 * 32 * warps > 65536)
    check_fault("%s: %u threads with %d registers", name, threads, k->registers);
}

/* Each aligned word that is an address of the device must be one of a live block. */
static void check_pointers(const char *name, const translated *k, void **arguments) {
  for (int i = 0; i < k->count; i++)
    for (int at = 0; at + 8 <= k->parameters[i]; at += 8) {
      const void *p;
      memcpy(&p, (char *)arguments[i] + at, sizeof p);
      if (is_device_pointer(p)) host_view(p, 0, name);
      if (is_pinned(p)) check_fault("%s: parameter %d points to the host's memory", name, i);
    }
}

static bool runs(void) {
  const char *run = getenv("TKG_CHECK_RUN");
  return !run || strcmp(run, "no") != 0;
}

/* Copies the arguments: a launch may run long after it was queued, and more than once. */
static std::function<void()> execution(const translated *k, dim3 grid, dim3 block, size_t shared,
                                       void **arguments) {
  auto kept = std::make_shared<std::vector<std::string>>();
  for (int i = 0; i < k->count; i++)
    kept->emplace_back((const char *)arguments[i], (size_t)k->parameters[i]);
  return [=] {
    const unsigned of_grid[3] = {grid.x, grid.y, grid.z}, of_block[3] = {block.x, block.y, block.z};
    std::vector<std::vector<double>> aligned;
    std::vector<const char *> parameters;
    for (const std::string &bytes : *kept) {
      aligned.emplace_back(bytes.size() / sizeof(double) + 2);
      memcpy(aligned.back().data(), bytes.data(), bytes.size());
      parameters.push_back((const char *)aligned.back().data());
    }
    open_device_memory(true);
    run_translated(k, of_grid, of_block, shared, parameters.data());
    open_device_memory(false);
  };
}

/* ---- what nvcc's code calls ---- */

static struct {
  dim3 grid, block;
  size_t shared;
  void *stream;
} pushed;

extern "C" {

void **__cudaRegisterFatBinary(void *) { return (void **)1; }
void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *,
                            uint3 *, dim3 *, dim3 *, int *) {
  registered()[host] = name;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *(void **)stream = pushed.stream;
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *out, const void *host) {
  *out = (cudaKernel_t)host;
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments,
                               size_t shared, cudaStream_t stream) {
  const std::string &name = registered()[(const void *)kernel];
  const std::string text = readable(name);
  auto found = table().find(name);
  if (found == table().end()) check_fault("no code for kernel %s", text.c_str());
  check_limits(text.c_str(), found->second, grid, block, shared, shared_of[(const void *)kernel]);
  check_pointers(text.c_str(), found->second, arguments);
  submit(
      stream, "a kernel",
      runs() ? execution(found->second, grid, block, shared, arguments) : [] {});
  return cudaSuccess;
}

/* ---- the device: TKG_CHECK_DEVICE=no_driver or no_code is one that cannot be used ---- */

static bool device_is(const char *what) {
  const char *asked = getenv("TKG_CHECK_DEVICE");
  return asked && strcmp(asked, what) == 0;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, const void *) {
  memset(out, 0, sizeof *out);
  return device_is("no_code") ? cudaErrorNoKernelImageForDevice : cudaSuccess;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDevice(int *out) { return *out = 0, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *out) {
  if (device_is("no_driver")) return cudaErrorInsufficientDriver;
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  *out = visible && strcmp(visible, "-1") == 0 ? 0 : 1;
  return *out ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetLastError(void) { return cudaSuccess; }
cudaError_t cudaPeekAtLastError(void) { return cudaSuccess; }
const char *cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorMemoryAllocation) return "out of memory";
  return error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "an error";
}
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) check_fault("an unknown attribute");
  if (value > MOST_SHARED) check_fault("%d bytes of shared memory are asked for", value);
  shared_of[kernel] = value;
  return cudaSuccess;
}

/* All processes have the same device: ranks that share a GPU. */
cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int) {
  snprintf(out, (size_t)size, "0000:00:00.0");
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int) {
  memset(out, 0, sizeof *out);
  strcpy(out->name, "checking runtime");
  out->multiProcessorCount = 132;
  out->major = 9;
  out->sharedMemPerBlockOptin = (size_t)MOST_SHARED;
  out->sharedMemPerMultiprocessor = 228 * 1024;
  out->reservedSharedMemPerBlock = 1024;
  size_t left;
  return cudaMemGetInfo(&left, &out->totalGlobalMem);
}
}
