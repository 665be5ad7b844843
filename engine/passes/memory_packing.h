/* Blocks of memory with lifetimes, and where they lie. */
#ifndef TKG_MEMORY_PACKING_H
#define TKG_MEMORY_PACKING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tkg_block {
  int64_t offset, bytes;
  int live_from, live_to; /* places in the order: of the node that writes it, of its last reader */
  int kind;
  bool dead; /* its last reader has run */
  /* May lie over a part of block `over`, whose `under` it is, though that is live when this one
   * begins: their offsets then differ by `apart` or more, a multiple of `step`. NULL: over none. */
  struct tkg_block *over, *under;
  int64_t apart, step;
} tkg_block;

/* Finds the offset of each block, and the bytes that all take together. TKG_E_MEMORY or TKG_OK. */
int tkg__pack_memory(tkg_block *blocks, int n, int64_t *end);

#endif
