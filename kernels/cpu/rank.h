/* Ranking by products of rows, block by block. */
#ifndef TKG_CPU_RANK_H
#define TKG_CPU_RANK_H

#include "base/ranking.h"
#include "tinykg.h"

typedef struct tkg__rank_kernel {
  /* Bytes that a block of TKG_RANKED_USERS takes. */
  int64_t (*bytes)(const tkg_ranking *r);
  /* Ranks all items for a block of users, the first of them user `first` of r, in that memory. A
   * status. */
  int (*block)(const tkg_ranking *r, int64_t first, void *memory);
} tkg__rank_kernel;

#endif
