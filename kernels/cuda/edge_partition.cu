/* The host's side of edge partitions (edge_partition.cuh): the number of chunks, the layout of
 * scratch, and the count of edges where rows are named on the device. */
#include "edge_partition.cuh"

/* Scratch holds one row of partial sums per chunk, PART_BYTES at most, so more columns mean fewer
 * chunks. Fewer than 64 steps are not worth a group's binary search. */
enum { LEAST_LENGTH = 64, MOST_CHUNKS = 1 << 16, FEWEST_CHUNKS = 1 << 10, PART_BYTES = 8 << 20 };

/* Where the number of steps is unknown: the shortest chunk and the most chunks. */
enum { ROWS_LENGTH = 32, ROWS_CHUNKS = 1 << 13 };

static int64_t most_chunks(int64_t cols) {
  return tkg_between(PART_BYTES / (4 * (cols + 1)), FEWEST_CHUNKS, MOST_CHUNKS);
}

static int64_t length_of(int64_t steps, int64_t cols) {
  return tkg_between(tkg_ceil(steps, most_chunks(cols)), LEAST_LENGTH, INT64_MAX);
}

int64_t tkg__edge_partition_chunks(int64_t steps, int64_t cols) {
  if (steps >= 0) return tkg_ceil(steps, length_of(steps, cols));
  return tkg_between(most_chunks(cols), 1, ROWS_CHUNKS);
}

static int64_t align(int64_t bytes) { return tkg_ceil(bytes, 256) * 256; }

int64_t tkg__edge_partition_bytes(int64_t n, int64_t chunks, bool by_rows) {
  const int64_t cut = align(4 * chunks);
  return by_rows ? cut + align((int64_t)sizeof(tkg_partition_size)) + align(8 * (n + 1)) : cut;
}

/* ---- counting the edges of rows ---- */

enum { COUNT_THREADS = 512, COUNT_ROWS = 4 }; /* rows per thread and round */

/* The sum over the threads before this one; `all`: over all threads of the block. */
static __device__ int64_t block_sum_before(int64_t value, int64_t *all) {
  TKG_SHARED(int64_t, part, [COUNT_THREADS / TKG_WARP]);
  const int lane = (int)(threadIdx.x % TKG_WARP), warp = (int)(threadIdx.x / TKG_WARP);
  int64_t sum = value;
  for (int o = 1; o < TKG_WARP; o *= 2) {
    const int64_t other = __shfl_up_sync(TKG_ALL_LANES, sum, (unsigned)o);
    if (lane >= o) sum += other;
  }
  __syncthreads(); /* an earlier round's parts may still be read */
  if (lane == TKG_WARP - 1) part[warp] = sum;
  __syncthreads();
  *all = 0;
  for (int k = 0; k < COUNT_THREADS / TKG_WARP; k++) {
    if (k == warp) sum += *all;
    *all += part[k];
  }
  return sum - value;
}

/* Writes the prefix sum of the rows' degrees to `starts`, and the size. One block is enough: a
 * batch has a few thousand rows. A bad id counts as a row without edges. */
static __global__ void __launch_bounds__(COUNT_THREADS)
    count_kernel(tkg_edge_partition e, int64_t heads, int64_t least, tkg_error_slot error) {
  int64_t before = 0;
  for (int64_t first = 0; first < e.n; first += COUNT_THREADS * COUNT_ROWS) {
    int64_t degree[COUNT_ROWS], own = 0, all;
    TKG_UNROLL
    for (int k = 0; k < COUNT_ROWS; k++) {
      const int64_t r = first + threadIdx.x * COUNT_ROWS + k;
      degree[k] = 0;
      if (r < e.n && tkg_check_id(e.rows[r], heads, r, error, true))
        degree[k] = (int64_t)e.offsets[e.rows[r] + 1] - e.offsets[e.rows[r]];
      own += degree[k];
    }
    int64_t at = before + block_sum_before(own, &all);
    TKG_UNROLL
    for (int k = 0; k < COUNT_ROWS; k++) {
      const int64_t r = first + threadIdx.x * COUNT_ROWS + k;
      if (r < e.n) e.starts[r] = at;
      at += degree[k];
    }
    before += all;
  }
  if (threadIdx.x) return;
  const int64_t steps = e.n + before, shortest = (steps + e.size.chunks - 1) / e.size.chunks;
  const int64_t length = shortest > least ? shortest : least;
  e.starts[e.n] = before;
  *e.counted = {before, length, (steps + length - 1) / length};
}

tkg_edge_partition tkg__partition_edges(const tkg_graph *g, const int32_t *rows, int64_t row_count,
                                        int64_t cols, void *scratch, tkg_error_slot error,
                                        cudaStream_t stream) {
  const int64_t steps = rows ? -1 : g->n + g->e;
  tkg_edge_partition e = {};
  char *at = static_cast<char *>(scratch);
  e.n = rows ? row_count : g->n;
  e.offsets = g->offsets;
  e.rows = rows;
  e.size.edges = rows ? -1 : g->e;
  e.size.length = rows ? -1 : length_of(steps, cols);
  e.size.chunks = tkg__edge_partition_chunks(steps, cols);
  e.cut = reinterpret_cast<int32_t *>(at);
  at += align(4 * e.size.chunks);
  if (!rows) return e;
  e.counted = reinterpret_cast<tkg_partition_size *>(at);
  e.starts = reinterpret_cast<int64_t *>(at + align((int64_t)sizeof(tkg_partition_size)));
  tkg_launch(count_kernel, {dim3(1), dim3(COUNT_THREADS), 0}, stream, e, g->n, (int64_t)ROWS_LENGTH,
             error);
  return e;
}
