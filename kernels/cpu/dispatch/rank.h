/* Ranking by products of rows on the CPU: the backend's functions of these names. */
#ifndef TKG_RANK_H
#define TKG_RANK_H

#include "base/ranking.h"

int64_t tkg__rank_bytes(const tkg_ranking *r);
int tkg__rank(const tkg_ranking *r, void *memory);

#endif
