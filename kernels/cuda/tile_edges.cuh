/* Sums over the edges of the rows of a tile: a group of lanes takes a row, a lane a column.
 *
 * A hub's edges would keep one group busy for long. So the edges of the whole graph are cut into
 * runs of RUN, and those that lie within one row are summed before the tiles, by many groups, into
 * *parts*: one for two runs, which takes those of them that lie within the row to which the edges
 * on both sides of its middle belong. A tile adds a row's parts to the edges before and behind
 * them, fewer than 4 RUN, and than 2 RUN unless the row begins or ends in the very middle of a
 * part. Each edge is read once. The order of each sum depends on the graph alone. */
#ifndef TKG_CUDA_TILE_EDGES_H
#define TKG_CUDA_TILE_EDGES_H

#include "edge_partition.cuh"

enum { RUN = 128 };

/* Host and device: parts of a graph with so many edges. */
static inline __host__ __device__ int64_t edge_parts_of(int64_t edges) {
  return (edges + RUN - 1) / (2 * RUN);
}

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

/* The sum of two runs, column j, of both at a time; -1: there is none. */
template <class P>
static __device__ __forceinline__ typename P::sum sum_two_runs(const P &p, int32_t first,
                                                               int32_t second, int j) {
  enum { AHEAD = P::AHEAD };
  const int32_t from[2] = {first, second};
  typename P::sum sum[2];
  p.clear(&sum[0], true);
  p.clear(&sum[1], true);
  TKG_ROLLED
  for (int v = 0; v < RUN; v += AHEAD) {
    typename P::edge edge[2 * AHEAD];
    typename P::item item[2 * AHEAD];
    TKG_UNROLL
    for (int a = 0; a < 2 * AHEAD; a++) {
      const int32_t run = from[a / AHEAD];
      edge[a] = run >= 0 ? p.find(run + v + a % AHEAD) : p.no_edge();
    }
    TKG_UNROLL
    for (int a = 0; a < 2 * AHEAD; a++) item[a] = p.load(edge[a], j);
    TKG_UNROLL
    for (int a = 0; a < 2 * AHEAD; a++)
      if (from[a / AHEAD] >= 0) p.add(&sum[a / AHEAD], item[a], from[a / AHEAD] + v + a % AHEAD);
  }
  p.merge(&sum[0], sum[1]);
  return sum[0];
}

/* One group per part. */
template <class P> static __global__ void sum_runs_kernel(P p) {
  tkg_edge_partition e = {};
  e.n = p.g.n;
  e.offsets = p.g.offsets;
  for (int64_t c = tkg_first_row(); c < edge_parts_of(p.g.e); c += tkg_row_stride()) {
    const int64_t middle = (2 * c + 1) * RUN, row = partition_find_row<false>(e, middle - 1);
    const int64_t begin = e.offsets[row], end = e.offsets[row + 1];
    if (end <= middle) continue;
    const int32_t first = begin <= middle - RUN ? (int32_t)middle - RUN : -1;
    const int32_t second = end >= middle + RUN ? (int32_t)middle : -1;
    if (first < 0 && second < 0) continue;
    for (int j = (int)threadIdx.x; j < p.cols; j += (int)blockDim.x)
      p.store_part((int32_t)c, j, sum_two_runs(p, first, second, j));
  }
}

/* Column j of a row's sum. */
template <class P>
static __device__ __forceinline__ typename P::sum sum_row(const P &p, int64_t row, int j) {
  const int32_t begin = p.g.offsets[row], end = p.g.offsets[row + 1];
  int32_t first = (begin + (RUN - 1)) / RUN, last = end / RUN; /* runs within the row */
  first += first % 2 == 1 && first * RUN == begin;             /* which has no part */
  last -= last % 2 == 1 && last * RUN == end;
  typename P::sum sum;
  p.clear(&sum, true);
  TKG_ROLLED
  for (int half = 0; half < 2; half++) { /* before the runs and behind them */
    if (half == 1 && first >= last) break;
    add_edges(p, half ? last * RUN : begin, half || first >= last ? end : first * RUN, j, &sum);
    if (half == 0 && first < last) add_parts(p, first / 2, 1, (last - 1) / 2, j, &sum);
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
