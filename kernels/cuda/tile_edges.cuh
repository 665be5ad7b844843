/* Sums over the edges of the rows of a tile: a group of lanes takes a row, a lane a column.
 *
 * A hub's edges would keep one group busy for long. So the edges of the whole graph are cut into
 * runs of RUN, and those runs that lie within one row are summed before the tiles, by as many
 * groups, into *parts*. A tile adds a row's parts to the edges before and behind them, fewer than
 * 2 RUN. Each edge is read once. The order of each sum depends on the graph alone. */
#ifndef TKG_CUDA_TILE_EDGES_H
#define TKG_CUDA_TILE_EDGES_H

#include "edge_partition.cuh"

enum { RUN = 128 };

/* Adds the edges at places first..last-1, column j, in order. */
template <class P>
static __device__ __forceinline__ void add_edges(const P &p, int32_t first, int32_t last, int j,
                                                 typename P::sum *sum) {
  enum { AHEAD = P::AHEAD };
  TKG_ROLLED
  for (int32_t v = first; v < last; v += AHEAD) {
    typename P::edge edge[AHEAD];
    typename P::item item[AHEAD];
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) edge[a] = v + a < last ? p.find(v + a) : p.no_edge();
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) item[a] = p.load(edge[a], j);
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++)
      if (v + a < last) p.add(sum, item[a], v + a);
  }
}

/* One group per run that lies within a row. */
template <class P> static __global__ void sum_runs_kernel(P p) {
  tkg_edge_partition e = {};
  e.n = p.g.n;
  e.offsets = p.g.offsets;
  for (int64_t c = tkg_first_row(); c < p.g.e / RUN; c += tkg_row_stride()) {
    const int64_t row = partition_find_row<false>(e, c * RUN);
    if (e.offsets[row + 1] < (c + 1) * RUN) continue;
    for (int j = (int)threadIdx.x; j < p.cols; j += (int)blockDim.x) {
      typename P::sum sum;
      p.clear(&sum, true);
      add_edges(p, (int32_t)c * RUN, (int32_t)(c + 1) * RUN, j, &sum);
      p.store_part((int32_t)c, j, sum);
    }
  }
}

/* Column j of a row's sum. */
template <class P>
static __device__ __forceinline__ typename P::sum sum_row(const P &p, int64_t row, int j) {
  const int32_t begin = p.g.offsets[row], end = p.g.offsets[row + 1];
  const int32_t first = (begin + (RUN - 1)) / RUN, last = end / RUN; /* runs within the row */
  typename P::sum sum;
  p.clear(&sum, true);
  TKG_ROLLED
  for (int half = 0; half < 2; half++) { /* before the runs and behind them */
    if (half == 1 && first >= last) break;
    add_edges(p, half ? last * RUN : begin, half || first >= last ? end : first * RUN, j, &sum);
    if (half == 0 && first < last) add_parts(p, first, 1, last - 1, j, &sum);
  }
  return sum;
}

/* Rows first..first+rows-1, which go to `out`. */
template <class T, class P>
static __device__ void sum_edges_of_tile(const P &p, int64_t first, int rows, T *out) {
  const int thread = tkg_thread();
  int width = 1;
  while (width < p.cols && width < TKG_WARP) width *= 2;
  TKG_ROLLED
  for (int r = thread / width; r < rows; r += TKG_THREADS / width) TKG_ROLLED
  for (int j = thread & (width - 1); j < p.cols; j += width)
    out[r * p.cols + j] = sum_row(p, first + r, j);
}

#endif
