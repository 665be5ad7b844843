/* The emulation's runtime: fibers, the scheduler of a block, barriers and warp collectives.
 *
 * This file is compiled without instrumentation also where kernels are sanitized. The race detector
 * does not see the emulation; RELEASE and ACQUIRE tell it the order that CUDA gives to threads: a
 * launch comes before its threads and ends after them; threads that meet at a barrier or collective
 * leave it after all have arrived; blocks of a launch have no order. Under -DEMU_TSAN each CUDA
 * thread runs on a fiber of its own, another one in each block, as thread 0 of two blocks would
 * otherwise look like one thread. Under -DEMU_ASAN the sanitizer is told of each change of stacks.
 */
#include "emu.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#include "context.h"

#if defined(EMU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMU_TSAN)
#include <sanitizer/tsan_interface.h>
#define RELEASE(p) __tsan_release(p)
#define ACQUIRE(p) __tsan_acquire(p)
#else
#define RELEASE(p) ((void)(p))
#define ACQUIRE(p) ((void)(p))
#endif

EMU_THREAD emu_view *emu_at;

namespace {

enum { WARP = 32, MOST_THREADS = 1024, MOST_WARPS = MOST_THREADS / WARP };
enum { GUARD = 4096 };
enum { MOST_SITES = 16, GAP = 64 };
enum { SHARED = 64 * 1024, MOST_DYNAMIC = 227 * 1024 }; /* shared memory: declared, asked for */

struct fiber {
  context at;
  char *stack;
#if defined(EMU_ASAN)
  void *fake;
  const void *bottom;
  size_t size;
#endif
#if defined(EMU_TSAN)
  void *tsan;
#endif
};

/* ---- a block ---- */

struct lane { /* a thread: what it brought to a collective and what it gets */
  fiber *on;
  dim3 thread;
  uint64_t in, out;
  unsigned mask, from;
  enum emu_wait wait;
};

struct warp {
  unsigned ready;   /* waiting lanes whose wait is over */
  unsigned arrived; /* lanes that wait at a collective */
  unsigned left;    /* lanes that are done */
};

/* The memory of one block: each OS thread keeps one. Under the race detector each block has its own
 * and it is freed at the end of the launch, so that no address means two things in one launch. */
struct block_memory {
  block_memory *older;
  /* Addresses for RELEASE and ACQUIRE; two of each, as a lane may arrive at the next wait before
   * another has left this one. */
  uint64_t barrier[2], warp[MOST_WARPS][2];
  const void *site[MOST_SITES];                /* of each shared array, and where it lies */
  size_t offset[MOST_SITES], used, size, room; /* bytes: of the block, allocated */
  int sites;
  alignas(GAP) char shared[];
};

/* The block that an OS thread runs, and the thread's fibers. */
struct block {
  emu_view view; /* the first member: emu_at points to it */
  fiber home, *current, *came_from;
  fiber *fibers[MOST_THREADS + 1]; /* unused; with the race detector that of each CUDA thread */
  int spares;
  block_memory *own;
  int64_t number;
  int threads, next, done, at_barrier;
  void (*call)(const void *);
  const void *closure;
  warp warps[MOST_WARPS];
  lane lanes[MOST_THREADS];
  uint64_t order_start, order_end; /* of the launch */
  unsigned barriers, collectives[MOST_WARPS];
};

/* OpenMP ends threads when a team is smaller than the last one. What such a thread had goes with
 * it: the stacks of a block's threads are as many as a kernel of a large block needs. */
void end_block(block *b);
thread_local struct block_owner {
  block *owned = nullptr;
  ~block_owner() {
    if (owned) end_block(owned);
  }
} owner;

block *current_block(void) { return reinterpret_cast<block *>(emu_at); }

int warps_of(const block *b) { return (b->threads + WARP - 1) / WARP; }

void set_running(block *b, int t) {
  b->view.running = (unsigned)t;
  b->view.thread = b->lanes[t].thread;
}

[[noreturn]] void die(const char *what) {
  static const char *const names[] = {"-", "__syncthreads", "__syncwarp", "shfl", "ballot"};
  const block *b = current_block();
  const dim3 at = b->view.block;
  fprintf(stderr, "emu: %s in block (%u,%u,%u)\n", what, at.x, at.y, at.z);
  int shown = 0;
  for (int t = 0; t < b->threads && shown < 40; t++)
    if (b->lanes[t].wait) {
      fprintf(stderr, "  thread %d waits at %s, mask %08x\n", t, names[b->lanes[t].wait],
              b->lanes[t].mask);
      shown++;
    }
  abort();
}

/* The first call of a fiber after a switch to it. */
void arrive(void *fake) {
  (void)fake;
#if defined(EMU_ASAN)
  const void *bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(fake, &bottom, &size);
  fiber *came_from = current_block()->came_from;
  came_from->bottom = bottom;
  came_from->size = size;
#endif
}

void switch_to(block *b, fiber *to) {
  fiber *from = b->current;
  if (to == from) return;
  b->came_from = from;
  b->current = to;
#if defined(EMU_ASAN)
  __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
#if defined(EMU_TSAN)
  __tsan_switch_to_fiber(to->tsan, 1); /* 1: implies no order */
#endif
  context_switch(&from->at, &to->at);
#if defined(EMU_ASAN)
  arrive(from->fake);
#endif
}

void fiber_main(void);

fiber *fiber_make(void) {
  fiber *f = (fiber *)calloc(1, sizeof *f);
  void *m = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (!f || m == MAP_FAILED || mprotect(m, GUARD, PROT_NONE)) {
    fprintf(stderr, "emu: no stack for a thread (two of vm.max_map_count maps): %s\n",
            strerror(errno));
    abort();
  }
  f->stack = (char *)m + GUARD;
#if defined(EMU_ASAN)
  f->bottom = f->stack;
  f->size = STACK;
#endif
#if defined(EMU_TSAN)
  f->tsan = __tsan_create_fiber(0);
#endif
  context_make(&f->at, f->stack, fiber_main);
  return f;
}

void fiber_free(fiber *f) {
  emu_unfence(f->stack, STACK); /* frames that never return have fences */
  munmap(f->stack - GUARD, STACK + GUARD);
  free(f);
}

fiber *fiber_get(block *b) {
#if defined(EMU_TSAN)
  return b->fibers[(b->next + b->number) % MOST_THREADS];
#else
  return b->spares ? b->fibers[--b->spares] : fiber_make();
#endif
}

/* Switches to a thread whose wait is over, looking from warp `w` on. False if there is none. */
bool resume_one(block *b, int w) {
  const int warps = warps_of(b);
  for (int i = 0; i < warps; i++, w = w + 1 == warps ? 0 : w + 1) {
    unsigned ready = b->warps[w].ready;
    if (!ready) continue;
    int l = __builtin_ctz(ready);
    b->warps[w].ready &= ready - 1;
    switch_to(b, b->lanes[w * WARP + l].on);
    return true;
  }
  return false;
}

/* Makes the running thread wait: others run until it is resumed. */
void wait_here(block *b, int t) {
  const int w = t / WARP;
  if (!b->warps[w].ready && b->next < b->threads)
    switch_to(b, fiber_get(b));
  else if (!resume_one(b, w))
    die("deadlock");
  set_running(b, t);
}

/* ---- barriers and collectives ---- */

void free_barrier(block *b) {
  b->at_barrier = 0;
  b->barriers++;
  for (int t = 0; t < b->threads; t++)
    if (b->lanes[t].wait == EMU_BARRIER) {
      b->lanes[t].wait = EMU_NONE;
      b->warps[t / WARP].ready |= 1u << (t % WARP);
    }
}

uint64_t answer(const lane *lanes, int l, unsigned mask) {
  unsigned votes = 0;
  switch (lanes[l].wait) {
  case EMU_SHUFFLE:
    return lanes[lanes[l].from].in;
  case EMU_BALLOT:
    for (unsigned m = mask; m; m &= m - 1)
      if (lanes[__builtin_ctz(m)].in) votes |= m & -m;
    return votes;
  default:
    return 0;
  }
}

/* Called when all lanes of the mask have arrived: gives each its answer and makes it ready. */
void complete(block *b, int w, unsigned mask) {
  lane *lanes = b->lanes + w * WARP;
  const enum emu_wait wait = lanes[__builtin_ctz(mask)].wait;
  for (unsigned m = mask; m; m &= m - 1)
    if (lanes[__builtin_ctz(m)].wait != wait)
      die("lanes of one mask wait at different collectives");
  for (unsigned m = mask; m; m &= m - 1) {
    int l = __builtin_ctz(m);
    lanes[l].out = answer(lanes, l, mask);
  }
  for (unsigned m = mask; m; m &= m - 1) lanes[__builtin_ctz(m)].wait = EMU_NONE;
  b->warps[w].arrived &= ~mask;
  b->warps[w].ready |= mask;
  b->collectives[w]++;
}

/* Counts a thread as done, which may complete a wait of others. CUDA does not define what happens
 * to a mask that names a lane that exited; here that lane no longer counts. */
void leave(block *b, int t) {
  const int w = t / WARP;
  b->done++;
  b->warps[w].left |= 1u << (t % WARP);
  if (b->at_barrier && b->at_barrier == b->threads - b->done) free_barrier(b);
  for (unsigned m = b->warps[w].arrived; m; m &= m - 1) {
    unsigned need = b->lanes[w * WARP + __builtin_ctz(m)].mask & ~b->warps[w].left;
    if ((b->warps[w].arrived & need) != need) continue;
    complete(b, w, need);
    break;
  }
}

void run_threads(block *b) {
  while (b->next < b->threads) {
    const int t = b->next++;
    b->lanes[t].on = b->current;
    set_running(b, t);
    ACQUIRE(&b->order_start);
    b->call(b->closure);
    RELEASE(&b->order_end);
    leave(b, t);
#if defined(EMU_TSAN)
    return; /* one fiber per CUDA thread: a shared one would order them */
#endif
  }
}

void fiber_main(void) {
  arrive(nullptr);
  block *b = current_block(); /* a fiber stays with its OS thread */
  for (;;) {
    run_threads(b);
#if defined(EMU_TSAN)
    if (b->next < b->threads) {
      switch_to(b, fiber_get(b));
      continue;
    }
#else
    b->fibers[b->spares++] = b->current; /* it is not taken before the switch away from it */
#endif
    if (resume_one(b, 0)) continue;
    if (b->done != b->threads) die("deadlock");
    switch_to(b, &b->home);
  }
}

/* Allocates some of the block's shared memory, full of NaN (no kernel may count on zeros), with a
 * fence behind it. */
char *take_shared(block_memory *own, size_t bytes) {
  char *memory = own->shared + own->used;
  if (bytes + GAP > own->size - own->used) die("more shared memory than a block has");
  own->used += (bytes + GAP + GAP - 1) / GAP * GAP;
  emu_unfence(memory, bytes);
  memset(memory, 0xff, bytes);
  return memory;
}

void free_memory(block *b) {
  while (b->own) {
    block_memory *older = b->own->older;
    emu_unfence(b->own->shared, b->own->room);
    free(b->own);
    b->own = older;
  }
}

void end_block(block *b) {
  while (b->spares > 0) fiber_free(b->fibers[--b->spares]);
  free_memory(b);
  emu_at = nullptr;
  free(b);
}

/* The memory for a block with so many bytes of shared memory. */
block_memory *memory_for(block *b, size_t size) {
#if !defined(EMU_TSAN)
  if (b->own && b->own->room >= size) return b->own;
  free_memory(b);
#endif
  void *memory = nullptr;
  if (posix_memalign(&memory, GAP, offsetof(block_memory, shared) + size)) abort();
  block_memory *own = (block_memory *)memory;
  memset(own, 0, offsetof(block_memory, shared));
  own->room = size;
  own->older = b->own;
  return b->own = own;
}

void start_block(block *b, size_t dynamic_bytes) {
  if (dynamic_bytes > MOST_DYNAMIC) die("more shared memory than a block has");
  const size_t size = SHARED + (dynamic_bytes + 2 * GAP - 1) / GAP * GAP;
  block_memory *own = memory_for(b, size);
  own->size = size;
  own->used = 0;
  own->sites = 0;
  emu_fence(own->shared, own->room);
  b->view.dynamic_shared = dynamic_bytes ? take_shared(own, dynamic_bytes) : nullptr;
}

void run_block(block *b, size_t dynamic_bytes) {
  b->current = &b->home;
  start_block(b, dynamic_bytes);
  b->next = b->done = b->at_barrier = 0;
  b->barriers = 0;
  memset(b->warps, 0, sizeof b->warps);
  memset(b->collectives, 0, sizeof b->collectives);
#if defined(EMU_TSAN)
  b->home.tsan = __tsan_get_current_fiber();
  for (int t = 0; t < MOST_THREADS; t++) /* made here: making one orders it after its maker */
    if (!b->fibers[t]) b->fibers[t] = fiber_make();
#endif
  RELEASE(&b->order_start);
  switch_to(b, fiber_get(b));
}

/* The OS thread's block, for a launch of blocks of this size. */
block *block_for(dim3 grid, dim3 size) {
  block *b = current_block();
  if (!b) {
    b = (block *)calloc(1, sizeof *b);
    if (!b) abort();
    emu_at = &b->view;
#if !defined(EMU_TSAN) /* which has one thread, and leaves it with its fibers */
    owner.owned = b;
#endif
  }
  b->view.grid_size = grid;
  const dim3 old = b->view.block_size;
  if (old.x == size.x && old.y == size.y && old.z == size.z) return b;
  b->threads = (int)(size.x * size.y * size.z);
  b->view.block_size = size;
  for (unsigned t = 0; t < (unsigned)b->threads; t++)
    b->lanes[t].thread = dim3(t % size.x, t / size.x % size.y, t / (size.x * size.y));
  return b;
}

} // namespace

void emu_barrier(void) {
  block *b = current_block();
  const int t = (int)b->view.running;
  uint64_t *order = &b->own->barrier[b->barriers & 1];
  RELEASE(order);
  if (++b->at_barrier == b->threads - b->done) {
    free_barrier(b);
  } else {
    b->lanes[t].wait = EMU_BARRIER;
    b->lanes[t].mask = ~0u;
    wait_here(b, t);
  }
  ACQUIRE(order);
}

uint64_t emu_collective(enum emu_wait wait, unsigned mask, uint64_t in, unsigned from) {
  block *b = current_block();
  const int t = (int)b->view.running, w = t / WARP, l = t % WARP, rest = b->threads - w * WARP;
  const unsigned in_block = rest >= WARP ? ~0u : (1u << rest) - 1;
  lane *self = &b->lanes[t];
  self->wait = wait;
  self->mask = mask;
  self->in = in;
  self->from = from;
  if (!(mask >> l & 1)) die("a lane calls a collective whose mask lacks it");
  b->warps[w].arrived |= 1u << l;
  uint64_t *order = &b->own->warp[w][b->collectives[w] & 1];
  RELEASE(order);
  const unsigned need = mask & in_block & ~b->warps[w].left;
  if ((b->warps[w].arrived & need) == need) {
    complete(b, w, need);
    b->warps[w].ready &= ~(1u << l);
  } else {
    wait_here(b, t);
  }
  ACQUIRE(order);
  return self->out;
}

void *emu_shared(const void *site, size_t bytes) {
  block_memory *own = current_block()->own;
  int k = 0;
  while (k < own->sites && own->site[k] != site) k++;
  if (k == own->sites) {
    if (k == MOST_SITES) die("more shared arrays than the emulation counts");
    own->sites++;
    own->site[k] = site;
    own->offset[k] = (size_t)(take_shared(own, bytes) - own->shared);
  }
  return own->shared + own->offset[k];
}

void emu_run(dim3 grid, dim3 size, size_t dynamic_bytes, void (*call)(const void *),
             const void *closure) {
  const int64_t blocks = (int64_t)grid.x * grid.y * grid.z;
  const int64_t threads = (int64_t)size.x * size.y * size.z;
  if (threads < 1 || threads > MOST_THREADS || blocks < 1 || grid.y > 65535 || grid.z > 65535) {
    fprintf(stderr, "emu: a launch of (%u,%u,%u) blocks of (%u,%u,%u) threads\n", grid.x, grid.y,
            grid.z, size.x, size.y, size.z);
    abort();
  }
#pragma omp parallel if (blocks > 1)
  {
    block *b = block_for(grid, size);
    b->call = call;
    b->closure = closure;
#pragma omp for schedule(dynamic, 4)
    for (int64_t i = 0; i < blocks; i++) {
      const int64_t row = i / grid.x;
      b->view.block =
          dim3((unsigned)(i % grid.x), (unsigned)(row % grid.y), (unsigned)(row / grid.y));
      b->number = i;
      run_block(b, dynamic_bytes);
    }
    ACQUIRE(&b->order_end);
#if defined(EMU_TSAN)
    free_memory(b);
#endif
  }
}

void emu_fence([[maybe_unused]] void *memory, [[maybe_unused]] size_t bytes) {
#if defined(EMU_ASAN)
  __asan_poison_memory_region(memory, bytes);
#endif
}

void emu_unfence([[maybe_unused]] void *memory, [[maybe_unused]] size_t bytes) {
#if defined(EMU_ASAN)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}
