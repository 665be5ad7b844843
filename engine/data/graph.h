/* A graph as kernels read it: one int32 array with both orientations of its adjacency.
 *
 *   offsets[n + 1]  tails[e]  relations   edges by head, then by tail
 *   order[e]                              the same edges by tail, then by head: their places above
 *   offsets[m + 1]  heads[e]              where each tail's begin, and their heads
 *
 * The edges of head h are at places offsets[h] .. offsets[h + 1] - 1 of the first line. An edge's
 * place there is its number in every tensor of edge values. Relation ids take 1, 2 or 4 bytes each,
 * as the largest needs, and fill whole elements. The layout says which parts are left out. Where
 * the edges lead back and forth between the same nodes, the third line would be the first again:
 * order[p] is then the number of an edge that leads back along edge p. */
#ifndef TKG_GRAPH_H
#define TKG_GRAPH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* A layout is a sum of these. */
enum {
  TKG_GRAPH_BACKWARD = 1,  /* for an op, not in a layout: sums go from heads to tails */
  TKG_GRAPH_SYMMETRIC = 2, /* both orientations have the same offsets and ids: stored once */
  TKG_GRAPH_RELATIONS = 4, /* edges have relation ids */
  TKG_GRAPH_ONE_WAY = 8,   /* there are no second and third line: no op can read it BACKWARD */
  TKG_GRAPH_LOOPLESS = 16, /* no edge leads from a node to itself */
  TKG_GRAPH_KINDS = 256    /* times the largest relation id + 1 */
};

/* The edges that a graph may have: kernels count them in 32 bits, and look some places ahead. */
enum { TKG_GRAPH_MOST_EDGES = 2147483647 - 1024 };

/* Returns the elements of a packed graph of n heads, m tails and e edges, of a layout with or
 * without BACKWARD; -1 if one of the counts is negative or larger than a tensor may be. A layout
 * with RELATIONS and no KINDS stands for the largest ids. */
int64_t tkg_graph_length(int64_t n, int64_t m, int64_t e, int64_t layout);

/* Packs e edges into `packed`, which has room for tkg_graph_length(n, m, e, layout) elements.
 * `layout` says whether there are RELATIONS (else `relations` may be NULL) and whether the graph is
 * ONE_WAY; *found is the resulting layout, with KINDS, and SYMMETRIC and LOOPLESS if they hold.
 * place[i], unless NULL, is the number that edge i received. Edges with equal ends keep their
 * order. TKG_E_RANGE if an id is negative or too large, or there are more than MOST_EDGES. */
int tkg_graph_pack(int64_t n, int64_t m, int64_t e, const int32_t *heads, const int32_t *relations,
                   const int32_t *tails, int64_t layout, int32_t *packed, int64_t *found,
                   int32_t *place);

/* Lists the heads of each relation's edges, each once and ascending: those of relation r from
 * list[at[r]] on, and moves at[r] behind them. Counts them in `at` if `list` is NULL. `offsets` and
 * `relations` are parts of a graph packed with this layout; seen[r] is -1 for all r at first. */
void tkg_graph_list_heads(int64_t n, const int32_t *offsets, const int32_t *relations,
                          int64_t layout, int32_t *seen, int32_t *at, int32_t *list);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
