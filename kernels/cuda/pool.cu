#include "pool.h"

#include <stdlib.h>

static const int64_t GRAIN = 512;
/* Bytes that may lie idle: an arena that grew is no loss. */
#define MOST_KEPT ((int64_t)256 << 20)

typedef struct piece {
  char *memory;
  int64_t bytes, asked; /* of the block; of its owner, 0 while nobody has it */
  bool free;
} piece;

static struct {
  piece *pieces;
  int64_t n, capacity;
  int64_t held, kept, most; /* bytes; idle of them; most ever not idle */
} pool;

/* ---- the list of blocks ---- */

static bool grow(void) {
  if (pool.n < pool.capacity) return true;
  const int64_t capacity = pool.capacity ? 2 * pool.capacity : 256;
  piece *pieces = (piece *)realloc(pool.pieces, (size_t)capacity * sizeof *pieces);
  if (!pieces) return false;
  pool.pieces = pieces;
  pool.capacity = capacity;
  return true;
}

static void drop(int64_t i) {
  tkg_unfence(pool.pieces[i].memory, (size_t)pool.pieces[i].bytes);
  cudaFree(pool.pieces[i].memory);
  pool.held -= pool.pieces[i].bytes;
  pool.pieces[i] = pool.pieces[--pool.n];
}

/* The smallest free block that is large enough and not an eighth too large, or -1. */
static int64_t find(int64_t bytes) {
  int64_t best = -1;
  for (int64_t i = 0; i < pool.n; i++) {
    const piece *p = &pool.pieces[i];
    if (!p->free || p->bytes < bytes || p->bytes > bytes + bytes / 8) continue;
    if (best < 0 || p->bytes < pool.pieces[best].bytes) best = i;
  }
  return best;
}

static char *fresh(int64_t bytes) {
  void *memory = NULL;
  if (cudaMalloc(&memory, (size_t)bytes) == cudaSuccess) return (char *)memory;
  cudaGetLastError(); /* it is reported by the NULL, not by the next launch */
  tkg__pool_trim();
  if (cudaMalloc(&memory, (size_t)bytes) == cudaSuccess) return (char *)memory;
  cudaGetLastError();
  return NULL;
}

/* ---- giving out and taking back ---- */

void *tkg__pool_allocate(int64_t asked) {
  if (asked < 0 || asked > INT64_MAX - GRAIN || !grow()) return NULL;
  const int64_t bytes = asked > 0 ? (asked + GRAIN - 1) / GRAIN * GRAIN : GRAIN;
  int64_t at = find(bytes);
  if (at >= 0) {
    pool.kept -= pool.pieces[at].bytes;
    tkg_unfence(pool.pieces[at].memory, (size_t)pool.pieces[at].bytes);
  } else {
    char *memory = fresh(bytes);
    if (!memory) return NULL;
    at = pool.n++;
    pool.pieces[at].memory = memory;
    pool.pieces[at].bytes = bytes;
    pool.held += bytes;
  }
  if (pool.held - pool.kept > pool.most) pool.most = pool.held - pool.kept;
  piece *p = &pool.pieces[at];
  p->asked = asked;
  p->free = false;
  tkg_fence(p->memory + asked, (size_t)(p->bytes - asked));
  return p->memory;
}

void tkg__pool_release(void *memory) {
  if (!memory) return;
  for (int64_t i = pool.n; i-- > 0;) {
    piece *p = &pool.pieces[i];
    if (p->memory != memory) continue;
    if (pool.kept + p->bytes > MOST_KEPT) {
      drop(i);
      return;
    }
    p->free = true;
    pool.kept += p->bytes;
    tkg_fence(p->memory, (size_t)p->bytes);
    return;
  }
}

void tkg__pool_trim(void) {
  for (int64_t i = pool.n; i-- > 0;)
    if (pool.pieces[i].free) drop(i);
  pool.kept = 0;
}

void tkg__pool_figures(int64_t bytes[TKG_MEMORY_COUNT], bool reset_peak) {
  const int64_t used = pool.held - pool.kept;
  if (reset_peak) pool.most = used;
  bytes[TKG_MEMORY_HELD] = pool.held;
  bytes[TKG_MEMORY_USED] = used;
  bytes[TKG_MEMORY_PEAK] = pool.most;
}
