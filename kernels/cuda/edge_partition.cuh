/* Sums over the edges of each row of a graph, with the edges cut into equal chunks.
 *
 * Degrees differ by five orders of magnitude, so one group of threads per row would leave the
 * longest row to the last. Equal numbers of edges per group are not enough either: a chunk could
 * get 70,000 rows without edges. So both count: the path takes a step for each edge, in order, and
 * a step for the end of each row (the merge path of Merrill and Garland, SC 2016).
 *
 *   row 0: edges 0 1 2      row 1: none      row 2: edges 3 4 5 6
 *   steps    e0 e1 e2 end | end e3 e4 e5 | e6 end
 *
 * The path is cut into chunks of equal length. One group of threads takes a chunk, one thread a
 * column of it; a binary search finds the row in which a chunk begins. Three kernels:
 *
 *   1. sum_chunks: each chunk adds its edges up. A sum of edges whose row begins in the chunk is
 *      stored in the row's output; the sum of the others, the rest of a row that began in an
 *      earlier chunk, is the chunk's *part*, stored in scratch.
 *   2. add_parts: adds the parts of each row that was cut to its output, in order.
 *   3. add_hub_parts: the same for rows with many parts, one block per row.
 *
 * Each edge is read once, and one part per chunk and column is written and read. The order of each
 * sum depends on the graph and the number of columns alone: results repeat bit for bit.
 *
 * A *policy* P says what is added up, for column j:
 *
 *   P::edge, P::item, P::sum  what is read of an edge for all columns, and for one; a sum of edges
 *   P::AHEAD                  edges that are read before the first of them is added
 *   P::sums                   what adds parts up: P, or what it has in common with others
 *   p.cols                    number of columns (of float or float4)
 *   p.find(place)             the edge at a place of the graph; p.no_edge(): none
 *   p.load(edge, j)           its item
 *   p.clear(&sum, begins)     an empty sum; `begins`: of the row's first edges
 *   p.add(&sum, item, place), p.merge(&sum, other)
 *   p.store(row, j, sum, whole), p.load_sum(row, j)   in the output; `whole`: the row's whole sum
 *   p.store_part(chunk, j, sum), p.load_part(chunk, j)   in scratch */
#ifndef TKG_CUDA_EDGE_PARTITION_H
#define TKG_CUDA_EDGE_PARTITION_H

#include "device_errors.h"
#include "launch.h"
#include "vec4.cuh"

typedef struct tkg_partition_size {
  int64_t edges, length, chunks; /* length: steps per chunk */
} tkg_partition_size;

/* A partition of the edges of all rows of a graph, or of the rows that `rows` names (ROWS in
 * templates), whose edges are counted on the device. */
typedef struct tkg_edge_partition {
  int64_t n;                   /* rows */
  const int32_t *offsets;      /* of the graph */
  const int32_t *rows;         /* [n], or NULL: all rows */
  int64_t *starts;             /* with rows, [n + 1]: edges of the rows before */
  tkg_partition_size size;     /* with rows, only `chunks` is known: the most there may be */
  tkg_partition_size *counted; /* with rows: the size, on the device */
  int32_t *cut;                /* [chunks]: the row that begins in a chunk and ends in a later one,
                                * or -1 */
  int64_t whole_cols;          /* of sums whose columns are dealt to ranks, else 0 */
} tkg_edge_partition;

/* Host: the most chunks for sums of `cols` columns, those of all ranks, of so many steps, or -1 if
 * they are unknown. */
int64_t tkg__edge_partition_chunks(int64_t steps, int64_t cols);

/* Host: bytes of scratch of a partition, without the parts of its sums. */
int64_t tkg__edge_partition_bytes(int64_t n, int64_t chunks, bool by_rows);

/* Host: the partition, in scratch. rows: NULL, or ids that are checked with `error` and whose edges
 * are counted on the stream. */
tkg_edge_partition tkg__partition_edges(const tkg_graph *g, const int32_t *rows, int64_t row_count,
                                        int64_t cols, void *scratch, tkg_error_slot error,
                                        cudaStream_t stream);

/* Storage of a policy whose sums are of one T per row and column. */
template <class T> struct partition_sums {
  typedef T sum;
  typedef partition_sums<T> sums;
  int cols;
  T *out, *parts;

  __device__ __forceinline__ void store(int32_t row, int j, T sum, bool) const {
    tkg_row_at(out, row, cols)[j] = sum;
  }
  __device__ __forceinline__ T load_sum(int32_t row, int j) const {
    return tkg_row_at(out, row, cols)[j];
  }
  __device__ __forceinline__ void store_part(int32_t chunk, int j, T sum) const {
    tkg_row_at(parts, chunk, cols)[j] = sum;
  }
  __device__ __forceinline__ T load_part(int32_t chunk, int j) const {
    return tkg_row_at(parts, chunk, cols)[j];
  }
  __device__ __forceinline__ void clear(T *sum, bool) const { vec4_clear(sum); }
  __device__ __forceinline__ void merge(T *sum, T other) const { *sum = vec4_add(*sum, other); }
};

/* ---- rows and edges of a partition ---- */

template <bool ROWS>
static __device__ __forceinline__ int64_t partition_row_start(const tkg_edge_partition &e,
                                                              int64_t row) {
  return ROWS ? e.starts[row] : (int64_t)e.offsets[row];
}

/* The place of a row's edge in the graph less its number in the partition. */
template <bool ROWS>
static __device__ __forceinline__ int64_t partition_shift(const tkg_edge_partition &e,
                                                          int64_t row) {
  return ROWS ? (int64_t)e.offsets[e.rows[row]] - e.starts[row] : 0;
}

template <bool ROWS>
static __device__ __forceinline__ tkg_partition_size partition_size(const tkg_edge_partition &e) {
  return ROWS ? *e.counted : e.size;
}

/* The row of edge `v` of the partition. */
template <bool ROWS>
static __device__ __forceinline__ int64_t partition_find_row(const tkg_edge_partition &e,
                                                             int64_t v) {
  int64_t low = 0, high = e.n - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (partition_row_start<ROWS>(e, middle + 1) <= v)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* How many rows end before step `at`. */
template <bool ROWS>
static __device__ __forceinline__ int64_t merge_path_search(const tkg_edge_partition &e,
                                                            int64_t edges, int64_t at) {
  int64_t low = at > edges ? at - edges : 0, high = at < e.n ? at : e.n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (partition_row_start<ROWS>(e, middle + 1) < at - middle)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* ---- kernels ---- */

enum { PARTITION_PARTS_AHEAD = 4 };
enum { PARTITION_HUB = 32 };  /* a row with more parts is a hub */
enum { PARTITION_LOOK = 64 }; /* chunks in which a block looks for hubs at a time */

/* Edges and rows of a graph fit in 32 bits, AHEAD places beyond them too (TKG_GRAPH_MOST_EDGES),
 * and both together without a sign; edges of listed rows may not. */
template <bool ROWS> struct partition_integers {
  typedef int32_t index;
  typedef uint32_t step;
};
template <> struct partition_integers<true> {
  typedef int64_t index;
  typedef int64_t step;
};

/* One column of a chunk. The items of a few edges are loaded before the first of them is added,
 * also across the ends of rows, so that several loads are under way. */
template <class P, bool ROWS> struct partition_chunk {
  typedef typename partition_integers<ROWS>::index index;
  typedef typename partition_integers<ROWS>::step step;
  enum { AHEAD = P::AHEAD };
  const P &p;
  const tkg_edge_partition &e;
  index edges; /* of the partition */
  int32_t chunk;
  int j;
  step to;        /* the step after the chunk */
  index row, end; /* the current row, and the edge after its last */
  bool here;      /* the row began in this chunk */
  typename P::sum sum;

  __device__ __forceinline__ index row_start(index r) const {
    return (index)partition_row_start<ROWS>(e, r);
  }

  __device__ __forceinline__ void begin_row(index next, bool begins) {
    row = next;
    here = begins;
    end = row < e.n ? row_start(row + 1) : -1;
    p.clear(&sum, begins);
  }

  __device__ __forceinline__ bool within(index v) const { return (step)row + (step)v < to; }

  __device__ __forceinline__ void load(index v, typename P::item item[AHEAD]) const {
    index at = row, shift = 0;
    typename P::edge edge[AHEAD];
    if (ROWS && row < e.n && v < edges && v < end) shift = partition_shift<ROWS>(e, at);
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) {
      edge[a] = p.no_edge();
      if (!within(v + a) || v + a >= edges) continue;
      if (ROWS && v + a >= row_start(at + 1)) {
        while (v + a >= row_start(at + 1)) at++;
        shift = partition_shift<ROWS>(e, at);
      }
      edge[a] = p.find(v + a + shift);
    }
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) item[a] = p.load(edge[a], j);
  }

  /* The row ends in this chunk. */
  __device__ __forceinline__ void end_row(void) {
    if (here)
      p.store((int32_t)row, j, sum, true);
    else
      p.store_part(chunk, j, sum);
    begin_row(row + 1, true);
  }

  /* The chunk ends in this row, at edge v. */
  __device__ __forceinline__ void end_chunk(index v) {
    const bool begun = row < e.n && v > row_start(row);
    if (begun && here)
      p.store((int32_t)row, j, sum, false);
    else if (begun)
      p.store_part(chunk, j, sum);
    if (j == 0) e.cut[chunk] = begun && here ? (int32_t)row : -1;
  }

  __device__ __forceinline__ void run(index first_row, index v) {
    begin_row(first_row, row_start(first_row) >= v);
    for (;; v += AHEAD) {
      typename P::item item[AHEAD];
      load(v, item);
      TKG_UNROLL
      for (int a = 0; a < AHEAD; a++) {
        while (end == v + a && within(v + a)) end_row();
        if (!within(v + a)) return end_chunk(v + a);
        p.add(&sum, item[a], v + a);
      }
    }
  }
};

template <class P, bool ROWS> static __global__ void sum_chunks_kernel(P p, tkg_edge_partition e) {
  const tkg_partition_size size = partition_size<ROWS>(e);
  typedef partition_chunk<P, ROWS> chunk;
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t from = c * size.length, row = merge_path_search<ROWS>(e, size.edges, from);
    const int64_t steps = e.n + size.edges, to = from + size.length;
    for (int j = (int)threadIdx.x; j < p.cols; j += (int)blockDim.x) {
      chunk k = {p, e, (typename chunk::index)size.edges, (int32_t)c, j, 0, 0, 0, false, {}};
      k.to = (typename chunk::step)(to < steps ? to : steps);
      k.run((typename chunk::index)row, (typename chunk::index)(from - row));
    }
  }
}

/* The last chunk with a part of this row. */
template <bool ROWS>
static __device__ __forceinline__ int32_t partition_last_chunk(const tkg_edge_partition &e,
                                                               const tkg_partition_size &size,
                                                               int32_t row) {
  return (int32_t)((row + partition_row_start<ROWS>(e, row + 1)) / size.length);
}

/* Adds the parts of chunks first, first + step, ... last, in this order. */
template <class S>
static __device__ __forceinline__ void add_parts(const S &s, int32_t first, int32_t step,
                                                 int32_t last, int j, typename S::sum *sum) {
  TKG_ROLLED
  for (int32_t c = first; c <= last; c += PARTITION_PARTS_AHEAD * step) {
    typename S::sum part[PARTITION_PARTS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      part[a] = s.load_part(c + a * step <= last ? c + a * step : last, j);
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      if (c + a * step <= last) s.merge(sum, part[a]);
  }
}

/* One group per row that was cut and is no hub. */
template <class S, bool ROWS> static __global__ void add_parts_kernel(S s, tkg_edge_partition e) {
  const tkg_partition_size size = partition_size<ROWS>(e);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int32_t row = e.cut[c];
    if (row < 0) continue;
    const int32_t last = partition_last_chunk<ROWS>(e, size, row);
    if (last - c > PARTITION_HUB) continue;
    for (int j = (int)threadIdx.x; j < s.cols; j += (int)blockDim.x) {
      typename S::sum sum = s.load_sum(row, j);
      add_parts(s, (int32_t)c + 1, 1, last, j, &sum);
      s.store(row, j, sum, true);
    }
  }
}

/* One block per hub. Each of its groups adds every so-manieth part; the sums of the groups are
 * added in shared memory, in order. */
template <class S>
static __device__ void add_hub_parts(const S &s, int32_t row, int32_t c, int32_t last,
                                     typename S::sum *sums) {
  const int x = (int)threadIdx.x, y = (int)threadIdx.y, across = (int)blockDim.x;
  for (int first = 0; first < s.cols; first += across) {
    const int j = first + x;
    typename S::sum sum;
    s.clear(&sum, false);
    if (j < s.cols) add_parts(s, c + 1 + y, (int32_t)blockDim.y, last, j, &sum);
    sums[y * across + x] = sum;
    __syncthreads();
    if (y == 0 && j < s.cols) {
      sum = s.load_sum(row, j);
      for (int k = 0; k < (int)blockDim.y; k++) s.merge(&sum, sums[k * across + x]);
      s.store(row, j, sum, true);
    }
    __syncthreads(); /* before the next sums are written */
  }
}

/* A block looks for hubs in PARTITION_LOOK chunks, one thread per chunk; at most two hubs begin in
 * so many. The order in which they are found does not matter. */
template <class S, bool ROWS>
static __global__ void add_hub_parts_kernel(S s, tkg_edge_partition e) {
  typedef typename S::sum sum;
  TKG_SHARED(sum, sums, [TKG_THREADS]);
  TKG_SHARED(int32_t, found, [PARTITION_LOOK]);
  TKG_SHARED(int32_t, count, [1]);
  const tkg_partition_size size = partition_size<ROWS>(e);
  const int thread = (int)(threadIdx.y * blockDim.x + threadIdx.x);
  for (int64_t first = (int64_t)blockIdx.x * PARTITION_LOOK; first < size.chunks;
       first += (int64_t)gridDim.x * PARTITION_LOOK) {
    const int64_t c = first + thread;
    if (thread == 0) count[0] = 0;
    __syncthreads();
    if (thread < PARTITION_LOOK && c < size.chunks && e.cut[c] >= 0 &&
        partition_last_chunk<ROWS>(e, size, e.cut[c]) - c > PARTITION_HUB)
      found[atomicAdd(&count[0], 1)] = (int32_t)c;
    __syncthreads();
    const int hubs = count[0];
    for (int h = 0; h < hubs; h++) {
      const int32_t row = e.cut[found[h]];
      add_hub_parts(s, row, found[h], partition_last_chunk<ROWS>(e, size, row), sums);
    }
    __syncthreads(); /* before `count` and `found` are written again */
  }
}

/* ---- launcher ---- */

template <class P, bool ROWS>
static void sum_partition(const P &p, const tkg_edge_partition &e, cudaStream_t stream) {
  const tkg_shape groups = tkg_tile(e.size.chunks, p.cols);
  tkg_launch(sum_chunks_kernel<P, ROWS>, groups, stream, p, e);
  if (p.cols == 0 || e.size.chunks < 2) return;
  const typename P::sums s = p;
  tkg_launch(add_parts_kernel<typename P::sums, ROWS>, groups, stream, s, e);
  const tkg_shape hubs = tkg_tile(e.size.chunks, tkg_whole_units(p.cols, e.whole_cols));
  if (e.size.chunks > PARTITION_HUB + 1)
    tkg_launch(add_hub_parts_kernel<typename P::sums, ROWS>,
               {dim3(tkg_blocks(tkg_ceil(e.size.chunks, PARTITION_LOOK))), hubs.block, 0}, stream,
               s, e);
}

#endif
