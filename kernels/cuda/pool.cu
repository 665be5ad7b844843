#include "pool.h"

#include <stdlib.h>

static const int64_t GRAIN = 512;
#define MOST_IDLE ((int64_t)256 << 20) /* bytes of free blocks that are idle */

typedef struct block {
  char *memory;
  int64_t bytes;
  bool free;
} block;

static struct {
  block *blocks;
  int64_t n, capacity;
  int64_t held, idle, peak; /* bytes: of all blocks, of free ones, peak ever in use */
  cudaError_t error;
} pool;

/* ---- the list of blocks ---- */

static bool grow_list(void) {
  if (pool.n < pool.capacity) return true;
  const int64_t capacity = pool.capacity ? 2 * pool.capacity : 256;
  block *blocks = (block *)realloc(pool.blocks, (size_t)capacity * sizeof *blocks);
  if (!blocks) return false;
  pool.blocks = blocks;
  pool.capacity = capacity;
  return true;
}

static void free_block(int64_t i) {
  tkg_unfence(pool.blocks[i].memory, (size_t)pool.blocks[i].bytes);
  cudaFree(pool.blocks[i].memory);
  pool.held -= pool.blocks[i].bytes;
  pool.blocks[i] = pool.blocks[--pool.n];
}

/* The smallest free block that is large enough, but by no more than an eighth, or -1. */
static int64_t find_free(int64_t bytes) {
  int64_t best = -1;
  for (int64_t i = 0; i < pool.n; i++) {
    const block *p = &pool.blocks[i];
    if (!p->free || p->bytes < bytes || p->bytes > bytes + bytes / 8) continue;
    if (best < 0 || p->bytes < pool.blocks[best].bytes) best = i;
  }
  return best;
}

cudaError_t tkg__pool_error(void) { return pool.error; }

static char *try_block(int64_t bytes) {
  void *memory = NULL;
  pool.error = cudaMalloc(&memory, (size_t)bytes);
  if (!pool.error) return (char *)memory;
  cudaGetLastError(); /* the caller gets NULL; the next launch must not report it */
  return NULL;
}

static char *allocate_block(int64_t bytes) {
  char *memory = try_block(bytes);
  if (memory || pool.error != cudaErrorMemoryAllocation) return memory;
  tkg__pool_trim();
  return try_block(bytes);
}

/* ---- allocating and freeing ---- */

void *tkg__pool_allocate(int64_t asked) {
  if (asked < 0 || asked > INT64_MAX - GRAIN || !grow_list()) return NULL;
  const int64_t bytes = asked > 0 ? (asked + GRAIN - 1) / GRAIN * GRAIN : GRAIN;
  int64_t at = find_free(bytes);
  if (at >= 0) {
    pool.idle -= pool.blocks[at].bytes;
    tkg_unfence(pool.blocks[at].memory, (size_t)pool.blocks[at].bytes);
  } else {
    char *memory = allocate_block(bytes);
    if (!memory) return NULL;
    at = pool.n++;
    pool.blocks[at].memory = memory;
    pool.blocks[at].bytes = bytes;
    pool.held += bytes;
  }
  if (pool.held - pool.idle > pool.peak) pool.peak = pool.held - pool.idle;
  block *p = &pool.blocks[at];
  p->free = false;
  tkg_fence(p->memory + asked, (size_t)(p->bytes - asked));
  return p->memory;
}

void tkg__pool_release(void *memory) {
  if (!memory) return;
  for (int64_t i = pool.n; i-- > 0;) {
    block *p = &pool.blocks[i];
    if (p->memory != memory) continue;
    if (pool.idle + p->bytes > MOST_IDLE) {
      free_block(i);
      return;
    }
    p->free = true;
    pool.idle += p->bytes;
    tkg_fence(p->memory, (size_t)p->bytes);
    return;
  }
}

void tkg__pool_trim(void) {
  for (int64_t i = pool.n; i-- > 0;)
    if (pool.blocks[i].free) free_block(i);
  pool.idle = 0;
}

void tkg__pool_figures(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak) {
  const int64_t used = pool.held - pool.idle;
  if (reset_peak) pool.peak = used;
  bytes[TKG_MEMORY_HELD] = pool.held;
  bytes[TKG_MEMORY_USED] = used;
  bytes[TKG_MEMORY_PEAK] = pool.peak;
}
