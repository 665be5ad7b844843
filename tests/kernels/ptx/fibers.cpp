/* Runs a translated kernel on the fibers of kernels/emu, and counts its instructions if asked to.
 */
#include <algorithm>
#include <mutex>
#include <vector>

#include "machine.h"

namespace {
struct launch {
  const translated *kernel;
  const char *const *parameters;
  int64_t shared;
  unsigned threads; /* of a block */
};

/* What the threads of the block ran that an OS thread runs: [threads, stretches], or [stretches] of
 * all of them while nothing is counted. */
struct block_counts {
  std::vector<u32> ran;
  unsigned begun, ended;
};
} // namespace

static thread_local block_counts here;
static struct {
  std::mutex lock;
  bool on;
  uint64_t of[INSTRUCTION_KINDS];
} totals;

extern "C" void count_instructions(bool on) {
  totals.on = on;
  std::fill_n(totals.of, (size_t)INSTRUCTION_KINDS, 0);
}

extern "C" void counted_instructions(uint64_t counts[INSTRUCTION_KINDS]) {
  std::copy_n(totals.of, (size_t)INSTRUCTION_KINDS, counts);
}

static u32 *begin_thread(const launch *l) {
  const size_t stretches = (size_t)l->kernel->stretch_count;
  if (!totals.on) {
    here.ran.resize(std::max(here.ran.size(), stretches));
    return here.ran.data();
  }
  if (here.begun++ == 0) here.ran.assign(stretches * l->threads, 0);
  return here.ran.data() + stretches * emu_at->running;
}

/* Adds what a warp issued of each stretch. */
static void add_warp(const launch *l, unsigned first, uint64_t counts[INSTRUCTION_KINDS]) {
  const size_t stretches = (size_t)l->kernel->stretch_count;
  const unsigned end = std::min(first + 32, l->threads);
  for (size_t s = 0; s < stretches; s++) {
    u32 most = 0;
    for (unsigned t = first; t < end; t++) most = std::max(most, here.ran[stretches * t + s]);
    if (most == 0) continue;
    for (int k = 0; k < INSTRUCTION_KINDS; k++)
      counts[k] += (uint64_t)most * l->kernel->stretches[s].of[k];
  }
}

static void end_thread(const launch *l) {
  uint64_t counts[INSTRUCTION_KINDS] = {};
  if (!totals.on || ++here.ended < l->threads) return;
  for (unsigned t = 0; t < l->threads; t += 32) add_warp(l, t, counts);
  here.begun = here.ended = 0;
  std::lock_guard<std::mutex> guard(totals.lock);
  for (int k = 0; k < INSTRUCTION_KINDS; k++) totals.of[k] += counts[k];
}

static void run_thread(const void *closure) {
  const launch *l = (const launch *)closure;
  const machine m = {l->parameters, emu_at->dynamic_shared, l->shared, begin_thread(l)};
  l->kernel->run(m);
  end_thread(l);
}

extern "C" void run_translated(const translated *kernel, const unsigned grid[3],
                               const unsigned block[3], size_t dynamic_bytes,
                               const char *const *parameters) {
  const size_t shared = (size_t)kernel->shared + dynamic_bytes;
  const launch l = {kernel, parameters, (int64_t)shared, block[0] * block[1] * block[2]};
  emu_run(dim3(grid[0], grid[1], grid[2]), dim3(block[0], block[1], block[2]), shared, run_thread,
          &l);
}
