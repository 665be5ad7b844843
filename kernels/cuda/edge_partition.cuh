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
typedef struct tkg_walk_size {
  int64_t edges, length, chunks; /* length: steps a chunk */
} tkg_walk_size;

/* Rows to walk through: all rows of a graph, or those that `rows` names, whose edges are only
 * counted on the device. */
typedef struct tkg_walk {
  int64_t n;
  const int32_t *offsets; /* of the graph */
  const int32_t *rows;    /* [n], or NULL: all */
  int64_t *starts;        /* [n + 1], with rows: edges of the rows before */
  tkg_walk_size size;     /* with rows: chunks is the most that there may be */
  tkg_walk_size *counted; /* with rows: what it is */
  int32_t *cut;           /* [chunks]: row that begins in a chunk and does not end in it, or -1 */
} tkg_walk;

/* Most chunks of a walk whose parts have so many columns; of at most so many steps, if that is
 * known (else -1). */
int64_t tkg__walk_chunks(int64_t steps, int64_t cols);

/* Scratch of a walk (without its parts) and the walk in it. `rows`: NULL, or ids checked with
 * `fault`, whose edges are counted on the stream. */
int64_t tkg__walk_bytes(int64_t n, int64_t chunks, bool by_rows);
tkg_walk tkg__walk_make(const tkg_graph *g, const int32_t *rows, int64_t row_count, int64_t cols,
                        void *scratch, tkg_fault fault, cudaStream_t stream);

/* ---- where things are ---- */

template <bool ROWS>
static __device__ __forceinline__ int64_t walk_begin(const tkg_walk &w, int64_t row) {
  return ROWS ? w.starts[row] : (int64_t)w.offsets[row];
}

/* What is added to the number of a row's edge in the walk to have its place in the graph. */
template <bool ROWS>
static __device__ __forceinline__ int64_t walk_shift(const tkg_walk &w, int64_t row) {
  return ROWS ? (int64_t)w.offsets[w.rows[row]] - w.starts[row] : 0;
}

template <bool ROWS> static __device__ __forceinline__ tkg_walk_size walk_size(const tkg_walk &w) {
  return ROWS ? *w.counted : w.size;
}

/* The row that edge `v` of the walk belongs to. */
template <bool ROWS>
static __device__ __forceinline__ int64_t walk_row(const tkg_walk &w, int64_t v) {
  int64_t low = 0, high = w.n - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (walk_begin<ROWS>(w, middle + 1) <= v)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* How many rows have ended before step `at`. */
template <bool ROWS>
static __device__ __forceinline__ int64_t walk_search(const tkg_walk &w, int64_t edges,
                                                      int64_t at) {
  int64_t low = at > edges ? at - edges : 0, high = at < w.n ? at : w.n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (walk_begin<ROWS>(w, middle + 1) < at - middle)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* ---- kernels ---- */

enum { WALK_AHEAD = 4, WALK_PARTS_AHEAD = 4 };
enum { WALK_HUB = 32, WALK_LOOK = 64 }; /* parts that make a hub; chunks a block looks at for one */

/* A column of a chunk. Items of a few edges are asked for at a time, also beyond a row's end. */
template <class P, bool ROWS> struct walk_chunk {
  const P &p;
  const tkg_walk &w;
  tkg_walk_size size;
  int64_t chunk, j;
  int64_t to;       /* the step behind the chunk */
  int64_t row, end; /* where it is: a row, and the edge behind its last */
  bool here;        /* the row began in this chunk */
  typename P::sum sum;

  __device__ __forceinline__ void enter(int64_t next, bool begins) {
    row = next;
    here = begins;
    end = row < w.n ? walk_begin<ROWS>(w, row + 1) : -1;
    p.clear(&sum, begins);
  }

  __device__ __forceinline__ void load(int64_t v, typename P::item item[WALK_AHEAD]) const {
    int64_t at = row, shift = 0;
    if (ROWS && row < w.n && v < size.edges && v < end) shift = walk_shift<ROWS>(w, at);
    TKG_UNROLL
    for (int a = 0; a < WALK_AHEAD; a++) {
      if (row + v + a >= to || v + a >= size.edges) continue;
      if (ROWS && v + a >= walk_begin<ROWS>(w, at + 1)) {
        while (v + a >= walk_begin<ROWS>(w, at + 1)) at++;
        shift = walk_shift<ROWS>(w, at);
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
    const bool begun = row < w.n && v > walk_begin<ROWS>(w, row);
    if (begun && here)
      p.put(row, j, sum, false);
    else if (begun)
      p.put_part(chunk, j, sum);
    if (j == 0) w.cut[chunk] = begun && here ? (int32_t)row : -1;
  }

  __device__ __forceinline__ void run(int64_t first_row) {
    const int64_t from = chunk * size.length;
    int64_t v = from - first_row;
    enter(first_row, walk_begin<ROWS>(w, first_row) >= v);
    for (;; v += WALK_AHEAD) {
      typename P::item item[WALK_AHEAD];
      load(v, item);
      TKG_UNROLL
      for (int a = 0; a < WALK_AHEAD; a++) {
        while (end == v + a && row + v + a < to) leave();
        if (row + v + a >= to) return stop(v + a);
        p.add(&sum, item[a], v + a);
      }
    }
  }
};

template <class P, bool ROWS> static __global__ void walk_chunks_kernel(P p, tkg_walk w) {
  const tkg_walk_size size = walk_size<ROWS>(w);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t row = walk_search<ROWS>(w, size.edges, c * size.length);
    const int64_t steps = w.n + size.edges, to = (c + 1) * size.length;
    for (int64_t j = threadIdx.x; j < p.cols; j += blockDim.x) {
      walk_chunk<P, ROWS> chunk = {p, w, size, c, j, to < steps ? to : steps, 0, 0, false, {}};
      chunk.run(row);
    }
  }
}

/* The last chunk that has a part of this row. */
template <bool ROWS>
static __device__ __forceinline__ int64_t walk_last(const tkg_walk &w, const tkg_walk_size &size,
                                                    int64_t row) {
  return (row + walk_begin<ROWS>(w, row + 1)) / size.length;
}

/* Parts of chunks first, first + step, ... last, in this order. */
template <class P>
static __device__ __forceinline__ void walk_parts(const P &p, int64_t first, int64_t step,
                                                  int64_t last, int64_t j, typename P::sum *sum) {
  for (int64_t c = first; c <= last; c += WALK_PARTS_AHEAD * step) {
    typename P::sum part[WALK_PARTS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < WALK_PARTS_AHEAD; a++)
      if (c + a * step <= last) part[a] = p.part(c + a * step, j);
    TKG_UNROLL
    for (int a = 0; a < WALK_PARTS_AHEAD; a++)
      if (c + a * step <= last) p.merge(sum, part[a]);
  }
}

/* A group a row with few parts. */
template <class P, bool ROWS> static __global__ void walk_rows_kernel(P p, tkg_walk w) {
  const tkg_walk_size size = walk_size<ROWS>(w);
  for (int64_t c = tkg_first_row(); c < size.chunks; c += tkg_row_stride()) {
    const int64_t row = w.cut[c];
    if (row < 0) continue;
    const int64_t last = walk_last<ROWS>(w, size, row);
    if (last - c > WALK_HUB) continue;
    for (int64_t j = threadIdx.x; j < p.cols; j += blockDim.x) {
      typename P::sum sum = p.taken(row, j);
      walk_parts(p, c + 1, 1, last, j, &sum);
      p.put(row, j, sum, true);
    }
  }
}

/* A block a hub: the sums of its groups meet in shared memory, in order. */
template <class P>
static __device__ void walk_hub(const P &p, int64_t row, int64_t c, int64_t last,
                                typename P::sum *sums) {
  for (int64_t j0 = 0; j0 < p.cols; j0 += blockDim.x) {
    const int64_t j = j0 + threadIdx.x;
    typename P::sum sum;
    p.clear(&sum, false);
    if (j < p.cols) walk_parts(p, c + 1 + threadIdx.y, blockDim.y, last, j, &sum);
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

/* Blocks look for hubs in WALK_LOOK chunks each, a thread a chunk; two hubs at most begin there. In
 * which order they are found does not matter. */
template <class P, bool ROWS> static __global__ void walk_hubs_kernel(P p, tkg_walk w) {
  typedef typename P::sum sum;
  TKG_SHARED(sum, sums, [TKG_THREADS]);
  TKG_SHARED(int32_t, found, [WALK_LOOK]);
  TKG_SHARED(int32_t, count, [1]);
  const tkg_walk_size size = walk_size<ROWS>(w);
  const int thread = (int)(threadIdx.y * blockDim.x + threadIdx.x);
  for (int64_t first = (int64_t)blockIdx.x * WALK_LOOK; first < size.chunks;
       first += (int64_t)gridDim.x * WALK_LOOK) {
    const int64_t c = first + thread;
    if (thread == 0) count[0] = 0;
    __syncthreads();
    if (thread < WALK_LOOK && c < size.chunks && w.cut[c] >= 0 &&
        walk_last<ROWS>(w, size, w.cut[c]) - c > WALK_HUB)
      found[atomicAdd(&count[0], 1)] = (int32_t)c;
    __syncthreads();
    const int hubs = count[0];
    for (int h = 0; h < hubs; h++) {
      const int64_t row = w.cut[found[h]];
      walk_hub(p, row, found[h], walk_last<ROWS>(w, size, row), sums);
    }
    __syncthreads(); /* before `count` and `found` are written again */
  }
}

/* ---- launcher ---- */

template <class P, bool ROWS>
static void walk_launch(const P &p, const tkg_walk &w, cudaStream_t stream) {
  const tkg_shape groups = tkg_tile(w.size.chunks, p.cols);
  tkg_launch(walk_chunks_kernel<P, ROWS>, groups, stream, p, w);
  if (p.cols == 0 || w.size.chunks < 2) return;
  tkg_launch(walk_rows_kernel<P, ROWS>, groups, stream, p, w);
  if (w.size.chunks > WALK_HUB + 1)
    tkg_launch(walk_hubs_kernel<P, ROWS>,
               {dim3(tkg_blocks(tkg_ceil(w.size.chunks, WALK_LOOK))), groups.block, 0}, stream, p,
               w);
}

#endif
