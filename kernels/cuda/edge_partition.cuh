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
 *   P::item, P::sum           what is read of an edge; a sum of edges
 *   p.cols                    number of columns (of float or float4)
 *   p.load(place, j)          the item of the edge at a place of the graph
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
} tkg_edge_partition;

/* Host: the most chunks for sums of `cols` columns, of so many steps, or -1 if they are unknown. */
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
  int64_t cols;
  T *out, *parts;

  __device__ __forceinline__ void store(int64_t row, int64_t j, T sum, bool) const {
    out[row * cols + j] = sum;
  }
  __device__ __forceinline__ T load_sum(int64_t row, int64_t j) const {
    return out[row * cols + j];
  }
  __device__ __forceinline__ void store_part(int64_t chunk, int64_t j, T sum) const {
    parts[chunk * cols + j] = sum;
  }
  __device__ __forceinline__ T load_part(int64_t chunk, int64_t j) const {
    return parts[chunk * cols + j];
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

enum { PARTITION_AHEAD = 4, PARTITION_PARTS_AHEAD = 4 };
enum { PARTITION_HUB = 32 };  /* a row with more parts is a hub */
enum { PARTITION_LOOK = 64 }; /* chunks in which a block looks for hubs at a time */

/* One column of a chunk. The items of a few edges are loaded before the first of them is added,
 * also across the ends of rows, so that several loads are under way. */
template <class P, bool ROWS> struct partition_chunk {
  const P &p;
  const tkg_edge_partition &e;
  tkg_partition_size size;
  int64_t chunk, j;
  int64_t to;       /* the step after the chunk */
  int64_t row, end; /* the current row, and the edge after its last */
  bool here;        /* the row began in this chunk */
  typename P::sum sum;

  __device__ __forceinline__ void begin_row(int64_t next, bool begins) {
    row = next;
    here = begins;
    end = row < e.n ? partition_row_start<ROWS>(e, row + 1) : -1;
    p.clear(&sum, begins);
  }

  __device__ __forceinline__ void load(int64_t v, typename P::item item[PARTITION_AHEAD]) const {
    int64_t at = row, shift = 0;
    if (ROWS && row < e.n && v < size.edges && v < end) shift = partition_shift<ROWS>(e, at);
    TKG_UNROLL
    for (int a = 0; a < PARTITION_AHEAD; a++) {
      if (row + v + a >= to || v + a >= size.edges) continue;
      if (ROWS && v + a >= partition_row_start<ROWS>(e, at + 1)) {
        while (v + a >= partition_row_start<ROWS>(e, at + 1)) at++;
        shift = partition_shift<ROWS>(e, at);
      }
      item[a] = p.load(v + a + shift, j);
    }
  }

  /* The row ends in this chunk. */
  __device__ __forceinline__ void end_row(void) {
    if (here)
      p.store(row, j, sum, true);
    else
      p.store_part(chunk, j, sum);
    begin_row(row + 1, true);
  }

  /* The chunk ends in this row, at edge v. */
  __device__ __forceinline__ void end_chunk(int64_t v) {
    const bool begun = row < e.n && v > partition_row_start<ROWS>(e, row);
    if (begun && here)
      p.store(row, j, sum, false);
    else if (begun)
      p.store_part(chunk, j, sum);
    if (j == 0) e.cut[chunk] = begun && here ? (int32_t)row : -1;
  }

  __device__ __forceinline__ void run(int64_t first_row) {
    const int64_t from = chunk * size.length;
    int64_t v = from - first_row;
    begin_row(first_row, partition_row_start<ROWS>(e, first_row) >= v);
    for (;; v += PARTITION_AHEAD) {
      typename P::item item[PARTITION_AHEAD];
      load(v, item);
      TKG_UNROLL
      for (int a = 0; a < PARTITION_AHEAD; a++) {
        while (end == v + a && row + v + a < to) end_row();
        if (row + v + a >= to) return end_chunk(v + a);
        p.add(&sum, item[a], v + a);
      }
    }
  }
};

template <class P, bool ROWS> static __global__ void sum_chunks_kernel(P p, tkg_edge_partition e) {
  const tkg_partition_size size = partition_size<ROWS>(e);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t row = merge_path_search<ROWS>(e, size.edges, c * size.length);
    const int64_t steps = e.n + size.edges, to = (c + 1) * size.length;
    for (int64_t j = threadIdx.x; j < p.cols; j += blockDim.x) {
      partition_chunk<P, ROWS> chunk = {p, e, size, c, j, to < steps ? to : steps, 0, 0, false, {}};
      chunk.run(row);
    }
  }
}

/* The last chunk with a part of this row. */
template <bool ROWS>
static __device__ __forceinline__ int64_t partition_last_chunk(const tkg_edge_partition &e,
                                                               const tkg_partition_size &size,
                                                               int64_t row) {
  return (row + partition_row_start<ROWS>(e, row + 1)) / size.length;
}

/* Adds the parts of chunks first, first + step, ... last, in this order. */
template <class P>
static __device__ __forceinline__ void add_parts(const P &p, int64_t first, int64_t step,
                                                 int64_t last, int64_t j, typename P::sum *sum) {
  for (int64_t c = first; c <= last; c += PARTITION_PARTS_AHEAD * step) {
    typename P::sum part[PARTITION_PARTS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      if (c + a * step <= last) part[a] = p.load_part(c + a * step, j);
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      if (c + a * step <= last) p.merge(sum, part[a]);
  }
}

/* One group per row that was cut and is no hub. */
template <class P, bool ROWS> static __global__ void add_parts_kernel(P p, tkg_edge_partition e) {
  const tkg_partition_size size = partition_size<ROWS>(e);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t row = e.cut[c];
    if (row < 0) continue;
    const int64_t last = partition_last_chunk<ROWS>(e, size, row);
    if (last - c > PARTITION_HUB) continue;
    for (int64_t j = threadIdx.x; j < p.cols; j += blockDim.x) {
      typename P::sum sum = p.load_sum(row, j);
      add_parts(p, c + 1, 1, last, j, &sum);
      p.store(row, j, sum, true);
    }
  }
}

/* One block per hub. Each of its groups adds every so-manieth part; the sums of the groups are
 * added in shared memory, in order. */
template <class P>
static __device__ void add_hub_parts(const P &p, int64_t row, int64_t c, int64_t last,
                                     typename P::sum *sums) {
  for (int64_t j0 = 0; j0 < p.cols; j0 += blockDim.x) {
    const int64_t j = j0 + threadIdx.x;
    typename P::sum sum;
    p.clear(&sum, false);
    if (j < p.cols) add_parts(p, c + 1 + threadIdx.y, blockDim.y, last, j, &sum);
    sums[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && j < p.cols) {
      sum = p.load_sum(row, j);
      for (unsigned y = 0; y < blockDim.y; y++) p.merge(&sum, sums[y * blockDim.x + threadIdx.x]);
      p.store(row, j, sum, true);
    }
    __syncthreads(); /* before the next sums are written */
  }
}

/* A block looks for hubs in PARTITION_LOOK chunks, one thread per chunk; at most two hubs begin in
 * so many. The order in which they are found does not matter. */
template <class P, bool ROWS>
static __global__ void add_hub_parts_kernel(P p, tkg_edge_partition e) {
  typedef typename P::sum sum;
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
      const int64_t row = e.cut[found[h]];
      add_hub_parts(p, row, found[h], partition_last_chunk<ROWS>(e, size, row), sums);
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
  tkg_launch(add_parts_kernel<P, ROWS>, groups, stream, p, e);
  if (e.size.chunks > PARTITION_HUB + 1)
    tkg_launch(add_hub_parts_kernel<P, ROWS>,
               {dim3(tkg_blocks(tkg_ceil(e.size.chunks, PARTITION_LOOK))), groups.block, 0}, stream,
               p, e);
}

#endif
