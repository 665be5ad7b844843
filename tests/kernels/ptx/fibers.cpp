/* Runs a translated kernel on the fibers of kernels/emu. */
#include "machine.h"

namespace {
struct launch {
  const translated *kernel;
  const char *const *parameters;
  int64_t shared;
};
} // namespace

static void run_thread(const void *closure) {
  const launch *l = (const launch *)closure;
  const machine m = {l->parameters, emu_at->dynamic_shared, l->shared};
  l->kernel->run(m);
}

extern "C" void run_translated(const translated *kernel, const unsigned grid[3],
                               const unsigned block[3], size_t dynamic_bytes,
                               const char *const *parameters) {
  const size_t shared = (size_t)kernel->shared + dynamic_bytes;
  const launch l = {kernel, parameters, (int64_t)shared};
  emu_run(dim3(grid[0], grid[1], grid[2]), dim3(block[0], block[1], block[2]), shared, run_thread,
          &l);
}
