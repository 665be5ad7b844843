/* Ranking by products of rows: what a backend that does so without storing all scores is given. */
#ifndef TKG_RANKING_H
#define TKG_RANKING_H

#include <stdbool.h>
#include <stdint.h>

enum { TKG_RANKED_PARTS = 32, TKG_RANKED_ITEMS = 1024 };

/* A user's row and an item's, or the columns of them that lie in these tables. */
typedef struct tkg_ranked_part {
  const void *users, *items;
  int64_t cols;
  bool half_users, half_items; /* numbers of 16 bits */
} tkg_ranked_part;

typedef struct tkg_ranking {
  int parts;
  tkg_ranked_part part[TKG_RANKED_PARTS];
  int64_t items; /* so many are ranked */
  /* Items first..first+count-1 are ranked by this call, after those before them, and are the first
   * rows of the items' tables. `first` is a multiple of TKG_RANKED_ITEMS; `state` [2 n] belongs to
   * the kernel and is kept from call to call. NULL: all items by one call. */
  int64_t first, count;
  int32_t *state;
  int64_t n;
  const int32_t *rows, *users; /* [n]: row in the users' tables; user of the known items */
  const int32_t *known_offsets, *known_items; /* NULL: none are known */
  int k;
  int32_t *top;      /* [n, k] */
  float *top_scores; /* [n, k] */
  int threads;
} tkg_ranking;

#endif
