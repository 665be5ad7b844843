/* Splits the edges of a graph into equal chunks and sums per row.
 *
 * Degrees differ by five orders of magnitude, so rows are no unit of work. Edges alone are not one
 * either: one chunk could get 70,000 empty rows. So both count: the path steps over each edge, in
 * order, and over the end of each row (the "merge path" of Merrill and Garland, SC 2016).
 *
 *   row 0: edges 0 1 2      row 1: none      row 2: edges 3 4 5 6
 *   steps    e0 e1 e2 end | end e3 e4 e5 | e6 end
 *
 * Chunks of equal length are cut from the steps, one group of threads per chunk; where a chunk
 * begins is found by bisection. A row's beginning is written to its output row by the chunk that it
 * lies in. What a row that was begun earlier has in a chunk is a part, kept in scratch, one a
 * chunk; a second kernel adds the parts of a row to its output in order, a third does so for rows
 * with many parts, a block each. All orders depend on the graph and the columns alone: the same
 * bits in every run.
 *
 * What is added up is a *policy* P:
 *
 *   P::item              what is read of an edge          P::sum    what is known of a row
 *   p.cols               columns, of elements or quads
 *   p.load(place, j)     an item                          p.clear(&sum, begins): with the row?
 *   p.add(&sum, item, place)                              p.merge(&sum, other)
 *   p.put(row, j, sum, whole)   to the output; `whole`: nothing is added later
 *   p.taken(row, j)             what `put` wrote of a row that was not whole
 *   p.put_part(chunk, j, sum), p.part(chunk, j)           the same in scratch */
#ifndef TKG_CUDA_EDGE_PARTITION_H
#define TKG_CUDA_EDGE_PARTITION_H

#include "device_errors.h"
#include "launch.h"

/* How the walk is cut. */
typedef struct tkg_partition_size {
  int64_t edges, length, chunks; /* length: steps a chunk */
} tkg_partition_size;

/* Rows to walk through: all rows of a graph, or those that `rows` names, whose edges are only
 * counted on the device. */
typedef struct tkg_edge_partition {
  int64_t n;
  const int32_t *offsets;      /* of the graph */
  const int32_t *rows;         /* [n], or NULL: all */
  int64_t *starts;             /* [n + 1], with rows: edges of the rows before */
  tkg_partition_size size;     /* with rows: chunks is the most that there may be */
  tkg_partition_size *counted; /* with rows: what it is */
  int32_t *cut; /* [chunks]: row that begins in a chunk and does not end in it, or -1 */
} tkg_edge_partition;

/* Most chunks of a walk whose parts have so many columns; of at most so many steps, if that is
 * known (else -1). */
int64_t tkg__edge_partition_chunks(int64_t steps, int64_t cols);

/* Scratch of a walk (without its parts) and the walk in it. `rows`: NULL, or ids checked with
 * `error`, whose edges are counted on the stream. */
int64_t tkg__edge_partition_bytes(int64_t n, int64_t chunks, bool by_rows);
tkg_edge_partition tkg__partition_edges(const tkg_graph *g, const int32_t *rows, int64_t row_count,
                                        int64_t cols, void *scratch, tkg_error_slot error,
                                        cudaStream_t stream);

/* ---- where things are ---- */

template <bool ROWS>
static __device__ __forceinline__ int64_t partition_row_start(const tkg_edge_partition &e,
                                                              int64_t row) {
  return ROWS ? e.starts[row] : (int64_t)e.offsets[row];
}

/* What is added to the number of a row's edge in the walk to have its place in the graph. */
template <bool ROWS>
static __device__ __forceinline__ int64_t partition_shift(const tkg_edge_partition &e,
                                                          int64_t row) {
  return ROWS ? (int64_t)e.offsets[e.rows[row]] - e.starts[row] : 0;
}

template <bool ROWS>
static __device__ __forceinline__ tkg_partition_size partition_size(const tkg_edge_partition &e) {
  return ROWS ? *e.counted : e.size;
}

/* The row that edge `v` of the walk belongs to. */
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

/* How many rows have ended before step `at`. */
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
enum {
  PARTITION_HUB = 32,
  PARTITION_LOOK = 64
}; /* parts that make a hub; chunks a block looks at for one */

/* A column of a chunk. Items of a few edges are asked for at a time, also beyond a row's end. */
template <class P, bool ROWS> struct partition_chunk {
  const P &p;
  const tkg_edge_partition &e;
  tkg_partition_size size;
  int64_t chunk, j;
  int64_t to;       /* the step behind the chunk */
  int64_t row, end; /* where it is: a row, and the edge behind its last */
  bool here;        /* the row began in this chunk */
  typename P::sum sum;

  __device__ __forceinline__ void enter(int64_t next, bool begins) {
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
  __device__ __forceinline__ void leave(void) {
    if (here)
      p.put(row, j, sum, true);
    else
      p.put_part(chunk, j, sum);
    enter(row + 1, true);
  }

  /* The chunk ends in this row, at edge v. */
  __device__ __forceinline__ void stop(int64_t v) {
    const bool begun = row < e.n && v > partition_row_start<ROWS>(e, row);
    if (begun && here)
      p.put(row, j, sum, false);
    else if (begun)
      p.put_part(chunk, j, sum);
    if (j == 0) e.cut[chunk] = begun && here ? (int32_t)row : -1;
  }

  __device__ __forceinline__ void run(int64_t first_row) {
    const int64_t from = chunk * size.length;
    int64_t v = from - first_row;
    enter(first_row, partition_row_start<ROWS>(e, first_row) >= v);
    for (;; v += PARTITION_AHEAD) {
      typename P::item item[PARTITION_AHEAD];
      load(v, item);
      TKG_UNROLL
      for (int a = 0; a < PARTITION_AHEAD; a++) {
        while (end == v + a && row + v + a < to) leave();
        if (row + v + a >= to) return stop(v + a);
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

/* The last chunk that has a part of this row. */
template <bool ROWS>
static __device__ __forceinline__ int64_t partition_last_chunk(const tkg_edge_partition &e,
                                                               const tkg_partition_size &size,
                                                               int64_t row) {
  return (row + partition_row_start<ROWS>(e, row + 1)) / size.length;
}

/* Parts of chunks first, first + step, ... last, in this order. */
template <class P>
static __device__ __forceinline__ void add_parts(const P &p, int64_t first, int64_t step,
                                                 int64_t last, int64_t j, typename P::sum *sum) {
  for (int64_t c = first; c <= last; c += PARTITION_PARTS_AHEAD * step) {
    typename P::sum part[PARTITION_PARTS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      if (c + a * step <= last) part[a] = p.part(c + a * step, j);
    TKG_UNROLL
    for (int a = 0; a < PARTITION_PARTS_AHEAD; a++)
      if (c + a * step <= last) p.merge(sum, part[a]);
  }
}

/* A group a row with few parts. */
template <class P, bool ROWS> static __global__ void add_parts_kernel(P p, tkg_edge_partition e) {
  const tkg_partition_size size = partition_size<ROWS>(e);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t row = e.cut[c];
    if (row < 0) continue;
    const int64_t last = partition_last_chunk<ROWS>(e, size, row);
    if (last - c > PARTITION_HUB) continue;
    for (int64_t j = threadIdx.x; j < p.cols; j += blockDim.x) {
      typename P::sum sum = p.taken(row, j);
      add_parts(p, c + 1, 1, last, j, &sum);
      p.put(row, j, sum, true);
    }
  }
}

/* A block a hub: the sums of its groups meet in shared memory, in order. */
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
      sum = p.taken(row, j);
      for (unsigned y = 0; y < blockDim.y; y++) p.merge(&sum, sums[y * blockDim.x + threadIdx.x]);
      p.put(row, j, sum, true);
    }
    __syncthreads(); /* before the next sums are written */
  }
}

/* Blocks look for hubs in PARTITION_LOOK chunks each, a thread a chunk; two hubs at most begin
 * there. In which order they are found does not matter. */
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
