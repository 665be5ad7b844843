/* A packed graph (graph.h) as the engine and its kernels read it. */
#ifndef TKG_PACKED_GRAPH_H
#define TKG_PACKED_GRAPH_H

#include "graph.h"
#include "shared/relations.h"

/* Returns the largest relation id of a layout + 1. */
static inline int64_t tkg__graph_kinds(int64_t layout) { return layout / TKG_GRAPH_KINDS; }

/* Returns the bytes of a relation id in a graph of this layout. */
static inline int tkg__relation_bytes(int64_t layout) {
  const int64_t kinds = tkg__graph_kinds(layout);
  return kinds == 0 || kinds > 65536 ? 4 : kinds > 256 ? 2 : 1;
}

/* Returns the elements that the relation ids of e edges fill. */
static inline int64_t tkg__relation_words(int64_t e, int64_t layout) {
  return (e * tkg__relation_bytes(layout) + 3) / 4;
}

/* One orientation: n rows that sum over edges, m rows that the edges lead to. */
typedef struct tkg_graph {
  int64_t n, m, e;
  const int32_t *offsets, *ids;
  const int32_t *order;    /* NULL: an edge's number is its place */
  tkg_relations relations; /* by number */
} tkg_graph;

/* Returns the number of the edge at a place, by which its values and its relation are stored. */
static inline int64_t tkg__edge_number(const tkg_graph *g, int64_t place) {
  return g->order ? g->order[place] : place;
}

/* Returns the orientation that an op reads; `i` has its attributes i0..i3 of ops.def. The array
 * must be what tkg_graph_pack made for them. */
static inline tkg_graph tkg__graph_of(const int32_t *packed, const int64_t i[4]) {
  const int64_t n = i[0], m = i[1], e = i[2], layout = i[3];
  const int32_t *relations = packed + n + 1 + e, *order = relations;
  tkg_graph g = {n, m, e, packed, packed + n + 1, 0, {0, 4}};
  if (layout & TKG_GRAPH_RELATIONS) {
    g.relations.ids = relations;
    g.relations.bytes = tkg__relation_bytes(layout);
    order += tkg__relation_words(e, layout);
  }
  if (!(layout & TKG_GRAPH_BACKWARD)) return g;
  const int32_t *offsets = layout & TKG_GRAPH_SYMMETRIC ? packed : order + e;
  tkg_graph b = {m, n, e, offsets, offsets + m + 1, order, g.relations};
  return b;
}

#endif
