/* Slices of a graph's rows for threads, cut by edges: a hub has as many as thousands of other rows.
 *
 * Row r begins at edge offsets[r]. The number offsets[r] + r grows from row to row, also where rows
 * have no edges, and counts a row like an edge, which is about what writing it costs. Equal slices
 * of it are the units of ops on graphs. Their number depends on the graph alone. */
#ifndef TKG_CPU_EDGES_H
#define TKG_CPU_EDGES_H

#include "base/op.h"
#include "data/packed_graph.h"
#include "ids.h"
#include "kernel.h"

enum {
  EDGES_PER_UNIT = 256,
  /* Prefetch rows so many edges ahead: into the second cache, 32 take 1.1 times as long, 20 take
   * 1.15, 72 as long; into the first cache, 32 take twice as long. */
  EDGES_AHEAD = 48,
  EDGES_NEAR = 6, /* and from there into the first cache */
};

static inline int64_t edges_rows(const tkg_node *node) {
  return node->i[3] & TKG_GRAPH_BACKWARD ? node->i[1] : node->i[0];
}

static inline int64_t edges_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (edges_rows(node) + node->i[2] + EDGES_PER_UNIT - 1) / EDGES_PER_UNIT;
}

/* The graph of an op, input 0, in the orientation of the op. */
static inline tkg_graph edges_graph(const tkg_call *c) {
  return tkg__graph_of(c->data[0], c->node->i);
}

/* The first row of slice `slice` of `slices` of rows from..to-1; `to` for slice `slices`. */
static inline int64_t edges_cut(const tkg_graph *g, int64_t from, int64_t to, int64_t slice,
                                int64_t slices) {
  int64_t low = from, high = to;
  if (slice == slices) return to;
  const int64_t begin = g->offsets[from] + from, all = g->offsets[to] + to - begin;
  const int64_t bound = begin + all * slice / slices;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (g->offsets[middle] + middle < bound)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The same of all rows. */
static inline int64_t edges_first_row(const tkg_graph *g, int64_t slice, int64_t slices) {
  return edges_cut(g, 0, g->n, slice, slices);
}

/* The rows of units begin..end-1. */
static inline void edges_range(const tkg_call *c, const tkg_graph *g, int64_t begin, int64_t end,
                               int64_t *first, int64_t *last) {
  const int64_t units = edges_units(c->node, c->in);
  *first = edges_first_row(g, begin, units);
  *last = edges_first_row(g, end, units);
}

/* Prefetches what is stored by number of the edge at a place: its value in w, which may be NULL,
 * and its relation, if callers read that. Where numbers are places and all are read in turn,
 * hardware foresees them. */
TKG_PREFETCH void prefetch_numbered(const tkg_graph *g, int64_t place, const float *w,
                                    bool relation) {
  const int64_t edge = tkg__edge_number(g, place);
  if (w) __builtin_prefetch(w + edge);
  if (relation) __builtin_prefetch((const char *)g->relations.ids + edge * g->relations.bytes);
}

#endif
