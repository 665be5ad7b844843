/* A graph as kernels read it: one int32 array with both orientations of its adjacency.
 *
 *   offsets[n + 1]  tails[e]  relations[e]                 edges by head, then by tail
 *   offsets[m + 1]  heads[e]  relations[e]  order[e]       the same edges by tail, then by head;
 *                                                          order: their places among those above
 *
 * The edges of head h are at places offsets[h] .. offsets[h + 1] - 1 of the first part. An edge's
 * place there is its number in every tensor of edge values. The layout flags say which parts are
 * left out. */
#ifndef TKG_GRAPH_H
#define TKG_GRAPH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
enum {
  TKG_GRAPH_BACKWARD = 1,  /* for an op, not in a layout: sums go from heads to tails */
  TKG_GRAPH_SYMMETRIC = 2, /* both orientations have the same offsets and ids: stored once */
  TKG_GRAPH_RELATIONS = 4, /* edges have relation ids */
  TKG_GRAPH_ONE_WAY = 8,   /* there is no second part: no op can read it BACKWARD */
  TKG_GRAPH_LOOPLESS = 16  /* no edge leads from a node to itself */
};

/* Returns the elements of a packed graph of n heads, m tails and e edges; -1 if one of the counts
 * is negative or larger than a tensor may be. */
int64_t tkg_graph_length(int64_t n, int64_t m, int64_t e, int64_t layout);

/* Packs e edges into `packed`, which has room for tkg_graph_length(n, m, e, layout) elements.
 * `layout` says whether there are RELATIONS (else `relations` may be NULL) and whether the graph is
 * ONE_WAY; *found is the resulting layout, with SYMMETRIC and LOOPLESS if they hold. place[i],
 * unless NULL, is the number that edge i received. Edges with equal ends keep their order.
 * TKG_E_RANGE if an id is negative or too large. */
int tkg_graph_pack(int64_t n, int64_t m, int64_t e, const int32_t *heads, const int32_t *relations,
                   const int32_t *tails, int64_t layout, int32_t *packed, int64_t *found,
                   int32_t *place);
/* ffi:end */

#ifdef __cplusplus
}
#endif

/* One orientation: n rows that sum over edges, m rows that the edges lead to. */
typedef struct tkg_graph {
  int64_t n, m, e;
  const int32_t *offsets, *ids;
  const int32_t *relations; /* NULL: there are none */
  const int32_t *order;     /* NULL: an edge's number is its place */
} tkg_graph;

/* Returns the orientation that an op reads; `i` has its attributes i0..i3 of ops.def. The array
 * must be what tkg_graph_pack made for them. */
static inline tkg_graph tkg__graph_of(const int32_t *packed, const int64_t i[4]) {
  const int64_t n = i[0], m = i[1], e = i[2], layout = i[3];
  const int relations = (layout & TKG_GRAPH_RELATIONS) != 0;
  const int symmetric = (layout & TKG_GRAPH_SYMMETRIC) != 0;
  tkg_graph g = {n, m, e, packed, packed + n + 1, relations ? packed + n + 1 + e : 0, 0};
  if (!(layout & TKG_GRAPH_BACKWARD)) return g;
  const int32_t *second = packed + n + 1 + e + (relations ? e : 0);
  const int32_t *behind = symmetric ? second : second + m + 1 + e;
  tkg_graph b = {m,
                 n,
                 e,
                 symmetric ? packed : second,
                 symmetric ? packed + n + 1 : second + m + 1,
                 relations ? behind : 0,
                 relations ? behind + e : behind};
  return b;
}

#endif
