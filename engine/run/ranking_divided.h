/* Ranking by rows of tensors of which each rank has some columns. */
#ifndef TKG_RUN_RANKING_DIVIDED_H
#define TKG_RUN_RANKING_DIVIDED_H

#include "base/ranking.h"
#include "base/tensor.h"

/* Ranks items for this rank's users, as one rank would. All ranks call it, each with users of its
 * own, or none. The rows of users are fetched at once, those of items in pieces, so that no rank
 * holds a whole table. Host memory only. A status. */
int tkg__rank_divided(tkg_engine *engine, tkg_ranking *r, const tkg_tensor *const *users,
                      const tkg_tensor *const *items);

#endif
