/* Edges whose weight is not zero, a window at a time: dropout leaves many out, half of them in
 * KGIN. A term of weight zero adds zero to a sum that is never -0, so sums that skip it have the
 * same bits, as long as rows are finite; what they need not do is read the row. No branch depends
 * on a weight, as none could be predicted. */
#ifndef TKG_CPU_KEPT_EDGES_H
#define TKG_CPU_KEPT_EDGES_H

#include "edges.h"

enum { KEPT_WINDOW = 512, KEPT_SAMPLES = 256, KEPT_PART = 8 };

typedef struct kept_edges {
  int64_t begin, end; /* places of the window */
  int count;
  int32_t place[KEPT_WINDOW]; /* after `begin`, ascending */
  int32_t tail[KEPT_WINDOW], number[KEPT_WINDOW];
  float weight[KEPT_WINDOW];
} kept_edges;

/* Whether at least an eighth of the edges first..last-1 seem to be left out, by places that lie
 * evenly among them. */
static inline bool leaves_out_edges(const tkg_graph *g, const float *w, int64_t first,
                                    int64_t last) {
  const int64_t samples = last - first < KEPT_SAMPLES ? last - first : KEPT_SAMPLES;
  int64_t zeros = 0;
  for (int64_t k = 0; w && k < samples; k++)
    zeros += w[tkg__edge_number(g, first + (last - first) * k / samples)] == 0;
  return zeros > 0 && zeros * KEPT_PART >= samples;
}

/* Opens the window from place p on; edges end at `limit`. */
static inline void open_kept(kept_edges *k, const tkg_graph *g, const float *w, int64_t p,
                             int64_t limit) {
  int n = 0;
  k->begin = p;
  k->end = p + KEPT_WINDOW < limit ? p + KEPT_WINDOW : limit;
  for (; p < k->end; p++) {
    const int64_t number = tkg__edge_number(g, p);
    if (g->order && p + EDGES_AHEAD < limit) prefetch_numbered(g, p + EDGES_AHEAD, w, false);
    k->place[n] = (int32_t)(p - k->begin);
    k->tail[n] = g->ids[p];
    k->number[n] = (int32_t)number;
    k->weight[n] = w[number];
    n += w[number] != 0;
  }
  k->count = n;
}

#endif
