/* Sums by relation, which are the gradients of relation vectors: AGGREGATE_RELATION and
 * AGGREGATE_RELATION_ROWS. out[r] = sum of w a[head] b[tail] over the edges of relation r.
 *
 * There are few relations and millions of edges, whose order has nothing to do with relations.
 * Sorting them by relation would take 16 bytes of scratch per edge. Instead each group of threads
 * has a table of all relations in shared memory, of which a thread owns a column: it adds without
 * atomics. Relations are cut into tiles, so that a block has at least two warps of groups; a group
 * skips the edges of other tiles after reading their relation. A block adds its tables up and
 * writes the sum to scratch; a second kernel adds those of all blocks. Edges are cut by their
 * number alone and all sums have a fixed order: results repeat bit for bit.
 *
 * Codes of b, of which a row is read for each edge that leads to it, are decoded before, in
 * scratch, half of the columns at a time.
 *
 * Traffic: a row of b per edge, the row of a from cache, and one relation per edge and tile. */
#include "coded_rows.cuh"
#include "edge_partition.cuh"
#include "family.h"
#include "vec4.cuh"

enum { SHARED_BYTES = 48 << 10, LEAST_THREADS = 64, AHEAD = 4 };
enum { MOST_TABLES = 512, LEAST_TABLES = 8, TABLE_BYTES = 8 << 20, LINE = 64 };

/* T is float or float4, X a source of rows (coded_rows.cuh). */
template <class T, class X, class Y> struct pairs {
  int64_t cols, stride, k; /* columns of this sum, and of a table */
  X a;
  Y b;
  const float *w; /* by edge, or NULL */
  tkg_graph g;
  int64_t tile, tiles; /* relations per tile; tiles */
  T *tables;           /* [blocks, k, stride], from the first of these columns on */
};

/* ---- kernels ---- */

/* Visits the edges of a partition in order. */
template <bool ROWS> struct cursor {
  const tkg_edge_partition &e;
  int64_t row, shift;

  __device__ __forceinline__ cursor(const tkg_edge_partition &edges, int64_t v) : e(edges) {
    row = partition_find_row<ROWS>(e, v);
    shift = partition_shift<ROWS>(e, row);
  }
  __device__ __forceinline__ int64_t place_of(int64_t v) {
    if (partition_row_start<ROWS>(e, row + 1) <= v) {
      while (partition_row_start<ROWS>(e, row + 1) <= v) row++;
      shift = partition_shift<ROWS>(e, row);
    }
    return v + shift;
  }
};

/* Adds those of the edges first..last-1 whose relation is in the tile to the thread's column of its
 * table. */
template <class T, class X, class Y, bool ROWS>
static __device__ __forceinline__ void
add_edges(const pairs<T, X, Y> &s, const tkg_edge_partition &e, int64_t first, int64_t last,
          int64_t tile, int64_t j, T *table, int64_t width) {
  if (first >= last) return;
  cursor<ROWS> at(e, first);
  for (int64_t v = first; v < last; v += AHEAD) {
    int64_t to[AHEAD];
    typename X::item a[AHEAD];
    typename Y::item b[AHEAD];
    float weight[AHEAD];
    TKG_UNROLL
    for (int k = 0; k < AHEAD; k++) {
      to[k] = -1;
      if (v + k >= last) continue;
      const int64_t place = at.place_of(v + k);
      const int64_t edge = tkg__edge_number(&s.g, place);
      const int64_t own = tkg__relation_at(s.g.relations, edge) - tile * s.tile;
      if (own < 0 || own >= s.tile) continue;
      to[k] = own * width;
      a[k] = s.a.load(at.row, j);
      b[k] = s.b.load(s.g.ids[place], j);
      weight[k] = s.w ? s.w[edge] : 1.0F;
    }
    TKG_UNROLL
    for (int k = 0; k < AHEAD; k++)
      if (to[k] >= 0)
        table[to[k]] = vec4_add(table[to[k]],
                                vec4_scale(weight[k], vec4_mul(s.a.value(a[k]), s.b.value(b[k]))));
  }
}

/* Adds a block's tables up, in order, and stores the sum in scratch. */
template <class T, class X, class Y>
static __device__ __forceinline__ void put_tables(const pairs<T, X, Y> &s, const T *tables,
                                                  int64_t tile, int64_t first_column,
                                                  int64_t width) {
  const int64_t size = s.tile * width;
  const int threads = (int)(blockDim.x * blockDim.y);
  for (int64_t i = threadIdx.y * blockDim.x + threadIdx.x; i < size; i += threads) {
    const int64_t relation = tile * s.tile + i / width, j = first_column + i % width;
    T sum = tables[i];
    for (unsigned y = 1; y < blockDim.y; y++) sum = vec4_add(sum, tables[y * size + i]);
    if (relation < s.k && j < s.cols) s.tables[(blockIdx.x * s.k + relation) * s.stride + j] = sum;
  }
}

/* blockIdx.x: a piece of the edges for each group; blockIdx.y: a tile of relations and columns.
 * Shared memory: one table [tile, width] per group. */
template <class T, class X, class Y, bool ROWS>
static __global__ void relation_kernel(pairs<T, X, Y> s, tkg_edge_partition e, int64_t width) {
  TKG_DYNAMIC_SHARED(T, tables);
  const int64_t tile = blockIdx.y % s.tiles, first_column = blockIdx.y / s.tiles * width;
  const int64_t j = first_column + threadIdx.x;
  const int64_t edges = partition_size<ROWS>(e).edges, groups = (int64_t)gridDim.x * blockDim.y;
  const int64_t length = (edges + groups - 1) / groups;
  const int64_t first = ((int64_t)blockIdx.x * blockDim.y + threadIdx.y) * length;
  const int64_t last = first + length < edges ? first + length : edges;
  T *own = tables + threadIdx.y * s.tile * width + threadIdx.x;
  if (threadIdx.x < width) {
    for (int64_t k = 0; k < s.tile; k++) vec4_clear(&own[k * width]);
    if (j < s.cols) add_edges<T, X, Y, ROWS>(s, e, first, last, tile, j, own, width);
  }
  __syncthreads();
  put_tables(s, tables, tile, first_column, width);
}

enum { COLUMNS = 32, SLICES = 8 };

/* out[i] = the sum of element i of all tables, by SLICES threads. */
static __global__ void tables_kernel(int64_t count, int64_t blocks, const float *tables,
                                     float *out) {
  TKG_SHARED(float, part, [SLICES][COLUMNS]);
  for (int64_t first = (int64_t)blockIdx.x * COLUMNS; first < count;
       first += (int64_t)gridDim.x * COLUMNS) {
    const int64_t i = first + threadIdx.x;
    float sum = 0;
    for (int64_t b = threadIdx.y; i < count && b < blocks; b += SLICES)
      sum += tables[b * count + i];
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && i < count) {
      for (int y = 1; y < SLICES; y++) sum += part[y][threadIdx.x];
      out[i] = sum;
    }
    __syncthreads(); /* before the next parts are written */
  }
}

/* ---- launchers ---- */

/* One table per block, as many as scratch has room for. */
static int64_t blocks_of(const tkg_node *node) {
  const int64_t count = tkg__rows(node) * tkg__whole_cols(node);
  return tkg_between(TABLE_BYTES / (4 * (count + 1)), LEAST_TABLES, MOST_TABLES);
}

/* How a block is cut: units of columns that it takes, lanes for these, groups of lanes. */
typedef struct cut {
  int64_t width, groups, tile, tiles;
  int lanes;
} cut;

/* Tables without columns, and none at all, are cut as if there were one. */
static int64_t one_or_more(int64_t n) { return n < 1 ? 1 : n; }

static cut cut_of(int64_t cols, int64_t k, int64_t unit_bytes) {
  cut p = {};
  p.lanes = tkg_power(cols, TKG_WARP);
  p.width = one_or_more(cols < p.lanes ? cols : p.lanes);
  const int64_t line = p.width * unit_bytes, least = LEAST_THREADS / p.lanes;
  p.tiles = one_or_more(tkg_ceil(k, one_or_more(SHARED_BYTES / (line * least))));
  p.tile = one_or_more(tkg_ceil(k, p.tiles));
  p.groups = tkg_between(SHARED_BYTES / (line * p.tile), 1, TKG_THREADS / p.lanes);
  return p;
}

static int too_many_relations(int64_t relations, int64_t tiles) {
  if (tiles <= TKG_MOST_GRID_Y) return TKG_OK;
  return tkg__fail(TKG_E_UNSUPPORTED,
                   "a sum by relation: %" PRId64 " relations are %" PRId64
                   " tiles of shared memory, and a grid has %d",
                   relations, tiles, (int)TKG_MOST_GRID_Y);
}

/* How the edges are shared out depends on all columns, of all ranks: a slice of them is summed in
 * the order in which all are. */
template <class T, class X, class Y, bool ROWS>
static int launch(pairs<T, X, Y> s, const tkg_edge_partition &e, int64_t blocks,
                  cudaStream_t stream) {
  const int64_t whole = tkg_whole_units(s.stride, e.whole_cols);
  const bool by_four = e.whole_cols == 0 ? sizeof(T) == sizeof(float4) : e.whole_cols % 4 == 0;
  const cut p = cut_of(whole, s.k, by_four ? sizeof(float4) : sizeof(float));
  const int64_t width = one_or_more(s.cols < p.width ? s.cols : p.width); /* of what is here */
  s.tiles = p.tiles;
  s.tile = p.tile;
  const int64_t tiles = s.tiles * tkg_ceil(s.cols, width);
  const int status = too_many_relations(s.k, tiles);
  if (status) return status;
  const int lanes = tkg_power(width, TKG_WARP);
  const size_t shared = (size_t)(p.groups * s.tile * width) * sizeof(T);
  const dim3 grid((unsigned)blocks, (unsigned)tiles);
  tkg_launch(relation_kernel<T, X, Y, ROWS>,
             {grid, dim3((unsigned)lanes, (unsigned)p.groups), shared}, stream, s, e, width);
  return TKG_OK;
}

/* ---- entries ---- */

static bool by_rows(int op) { return op == TKG_OP_AGGREGATE_RELATION_ROWS; }

static int64_t partitioned_rows(const tkg_node *node, const tkg_node *const *in) {
  return by_rows(node->op) ? tkg__count(in[3]) : node->i[node->i[3] & TKG_GRAPH_BACKWARD ? 1 : 0];
}

static int64_t partition_bytes(const tkg_node *node, const tkg_node *const *in) {
  const int64_t n = partitioned_rows(node, in);
  const int64_t steps = by_rows(node->op) ? -1 : n + node->i[2];
  return tkg__edge_partition_bytes(n, tkg__edge_partition_chunks(steps, tkg__whole_cols(node)),
                                   by_rows(node->op));
}

/* Of codes. */
static int64_t noise_bytes(const tkg_node *const *in) {
  return tkg__coded_bytes(in, 1) + tkg__coded_bytes(in, 2);
}

/* Columns of b that are decoded at a time; 0: none are, as their rows are not read in codes or are
 * those of a list. */
static int64_t slice_of(const tkg_node *node, const tkg_node *const *in) {
  const bool decodes = !by_rows(node->op) && in[2]->dtype == TKG_CODES;
  return decodes ? tkg__decoded_slice(tkg__cols(in[2])) : 0;
}

static int64_t tables_bytes(const tkg_node *node) {
  return tkg_ceil(4 * blocks_of(node) * tkg__count(node), LINE) * LINE;
}

/* Noise, the partition, tables, a slice of b. */
static int64_t relation_scratch(const tkg_node *node, const tkg_node *const *in) {
  return noise_bytes(in) + partition_bytes(node, in) + tables_bytes(node) +
         4 * slice_of(node, in) * tkg__rows(in[2]);
}

static char *tables_of(const tkg_call *c) {
  return static_cast<char *>(c->scratch) + noise_bytes(c->in) + partition_bytes(c->node, c->in);
}

/* The sum of all columns, or of a slice: `cols` of them from column `first` on, of which b has no
 * others. */
template <class T, class X, class Y>
static int sum_columns(const tkg_call *c, X a, Y b, int64_t first, int64_t cols,
                       const tkg_edge_partition &e, cudaStream_t stream) {
  enum { UNIT = sizeof(T) / sizeof(float) };
  pairs<T, X, Y> s = {};
  s.cols = cols / UNIT;
  s.stride = tkg__cols(c->node) / UNIT;
  s.k = tkg__rows(c->node);
  s.a = a;
  s.b = b;
  s.w = tkg_in<float>(c, e.rows ? 4 : 3);
  s.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  s.tables = reinterpret_cast<T *>(tables_of(c)) + first / UNIT;
  return e.rows ? launch<T, X, Y, true>(s, e, blocks_of(c->node), stream)
                : launch<T, X, Y, false>(s, e, blocks_of(c->node), stream);
}

/* Rows of a source from column `first` on. */
template <class X> struct columns_from {
  enum { AHEAD = X::AHEAD };
  typedef typename X::item item;
  X x;
  int first;

  __device__ __forceinline__ item load(int64_t row, int64_t j) const {
    return x.load((int32_t)row, (int)j + first);
  }
  __device__ __forceinline__ auto value(const item &v) const { return x.value(v); }
};

/* Columns from `first` on, `cols` of them, of n rows. */
template <class T, class Y>
static __global__ void decode_slice_kernel(int64_t n, Y b, int first, int cols, T *to) {
  for (int64_t i = tkg_first(); i < n * cols; i += tkg_stride())
    to[i] = b.value(b.load((int32_t)(i / cols), first + (int)(i % cols)));
}

template <class T, class X>
static int sum_slices(const tkg_call *c, X a, X b, const tkg_edge_partition &e,
                      cudaStream_t stream) {
  enum { UNIT = sizeof(T) / sizeof(float) };
  const int64_t n = tkg__rows(c->in[2]), d = tkg__cols(c->node), slice = slice_of(c->node, c->in);
  T *to = reinterpret_cast<T *>(tables_of(c) + tables_bytes(c->node));
  int status = TKG_OK;
  for (int64_t first = 0; first < d && !status; first += slice) {
    const int64_t cols = first + slice < d ? slice : d - first;
    const int at = (int)first / UNIT, units = (int)cols / UNIT;
    tkg_launch(decode_slice_kernel<T, X>, tkg_flat(n * units), stream, n, b, at, units, to);
    status = sum_columns<T>(c, columns_from<X>{a, at}, float_rows<T>{to, NULL, units}, first, cols,
                            e, stream);
  }
  return status;
}

static int relation_run(const tkg_call *c, cudaStream_t stream) {
  const bool rows = by_rows(c->node->op), slices = slice_of(c->node, c->in) > 0;
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t n = partitioned_rows(c->node, c->in), d = tkg__cols(c->node),
                whole = tkg__whole_cols(c->node), count = tkg__count(c->node);
  const tkg_error_slot bad_row = rows ? tkg__error_slot_ids(c, g.n) : tkg_error_slot{NULL, NULL};
  if (n == 0 || g.e == 0 || count == 0) {
    if (rows) tkg__check_ids(tkg_in<int32_t>(c, 3), n, g.n, bad_row, stream);
    tkg_set_bytes(c->out, 0, count * (int64_t)sizeof(float), stream);
    return TKG_OK;
  }
  tkg_edge_partition e =
      tkg__partition_edges(&g, rows ? tkg_in<int32_t>(c, 3) : NULL, n, whole,
                           static_cast<char *>(c->scratch) + noise_bytes(c->in), bad_row, stream);
  e.whole_cols = c->node->whole_cols;
  int status = TKG_OK;
  tkg_with_sources(c, tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->data[2], d), stream,
                   [=, &status](auto unit, auto a, auto b) {
                     status = slices ? sum_slices<decltype(unit)>(c, a, b, e, stream)
                                     : sum_columns<decltype(unit)>(c, a, b, 0, d, e, stream);
                   });
  if (status) return status;
  tkg_launch(tables_kernel, {dim3(tkg_blocks(tkg_ceil(count, COLUMNS))), dim3(COLUMNS, SLICES), 0},
             stream, count, blocks_of(c->node), reinterpret_cast<const float *>(tables_of(c)),
             tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_relation[] = {
    {TKG_OP_AGGREGATE_RELATION, relation_run, relation_scratch},
    {TKG_OP_AGGREGATE_RELATION_ROWS, relation_run, relation_scratch},
    {0, NULL, NULL},
};
