/* Groups of ops, a tile of rows at a time: an interpreter.
 *
 * A block takes a tile: it runs the group's first op on the tile's rows, then the second, and so
 * on. Values that only the group reads live in shared memory, at the offsets that the plan
 * computed, so of a layer's many row-wise ops device memory sees what goes in and what comes out.
 * What the ops do is read from a list in constant memory, once per op and tile; the code of an op
 * (tile_code.cuh) is a loop over the tile's rows by all threads. Barriers stand between ops.
 *
 * Sums over rows (gradients of weights and biases) are cut into parts: a block takes all tiles of a
 * part, one after the other, and adds each tile's sum to the part, in shared memory where there is
 * room and else in device memory; a second kernel adds the parts. How rows are cut depends on their
 * number alone: results repeat bit for bit. */
#include "tiles.h"

#include "family.h"
#include "row_parts.h"
#include "small.h"
#include "tile_code.cuh"
#include "tile_saved.cuh"
#include "wide.h"

enum {
  PART_ROWS = 64,    /* rows of a part are a multiple of so many */
  MOST_PARTS = 256,  /* two blocks for each multiprocessor of an H200 */
  PRIVATE = 2 << 10, /* shared memory that the kernel takes beside a tile's */
};

/* A group. Its `whole` rows are cut, at multiples of unit_rows, into `parts`, and each of these, at
 * multiples of PART_ROWS, into `finer` chunks. The block with number 0 takes the first chunk of
 * part first_part; of the whole, `before` rows lie before its first. */
typedef struct tile_list {
  int64_t whole, before, units;
  int unit_rows, parts, first_part, finer, chunks, tile, count;
  tile_op op[TKG_MOST_OPS];
} tile_list;

/* ---- the interpreter ---- */

/* EDGES: with the ops that sum over edges, whose code takes more registers. Each case reads op k
 * anew: else the compiler would read for all cases, before the switch, what any of them needs. */
template <bool EDGES>
static __device__ __forceinline__ void run_op(const tile_list &l, int k, const tile_rows &t) {
  const int op = l.op[k].op;
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tile_code<TKG_OP_##name>::run(l.op[tkg_opaque(k)], t);
  switch (op) { TILE_OPS(X) }
#undef X
  if (!EDGES) return;
#define X(has)                                                                                     \
  case has:                                                                                        \
    return tile_aggregate::run(l.op[tkg_opaque(k)], t,                                             \
                               terms_with<has>(l.op[tkg_opaque(k)].x.plain_by_four));
  switch (l.op[k].way) {
    TERMS(X, 0)
  case WAY_FLOATS_BY_FOUR:
    return tile_aggregate::run(l.op[tkg_opaque(k)], t, l.op[tkg_opaque(k)].x.floats_by_four);
  case WAY_FLOATS:
    return tile_aggregate::run(l.op[tkg_opaque(k)], t, l.op[tkg_opaque(k)].x.floats);
  case WAY_CODES_BY_FOUR:
    return tile_aggregate::run(l.op[tkg_opaque(k)], t, l.op[tkg_opaque(k)].x.codes_by_four);
  case WAY_CODES:
    return tile_aggregate::run(l.op[tkg_opaque(k)], t, l.op[tkg_opaque(k)].x.codes_by_one);
  }
#undef X
}

static __device__ __forceinline__ int64_t part_begin(const tile_list &l, int64_t part) {
  const int64_t row = l.units * part / l.parts * l.unit_rows;
  return row < l.whole ? row : l.whole;
}

static __device__ __forceinline__ int64_t chunk_begin(const tile_list &l, int chunk) {
  const int part = l.first_part + chunk / l.finer, piece = chunk % l.finer;
  int64_t row = part_begin(l, part);
  if (piece > 0) {
    const int64_t end = part_begin(l, part + 1);
    row += (end - row + PART_ROWS - 1) / PART_ROWS * piece / l.finer * PART_ROWS;
    row = row < end ? row : end;
  }
  return row - l.before;
}

/* Of a chunk without rows, which the last part of few rows can have: its sums are zeros. */
static __device__ __forceinline__ void clear_parts(const tile_list &l, char *memory) {
  for (int k = 0; k < l.count; k++)
    for (int i = tkg_thread(); i < l.op[k].count * l.op[k].width; i += TKG_THREADS)
      tile_part(l.op[k], memory)[i] = 0;
  __syncthreads();
}

template <bool EDGES>
static __global__ void __launch_bounds__(TKG_THREADS, 2) tiles_kernel(TKG_CONSTANT(tile_list) l) {
  TKG_DYNAMIC_SHARED(char, memory);
  TKG_SHARED(shared_noise, drawn, [1]);
  const int64_t begin = chunk_begin(l, (int)blockIdx.x), end = chunk_begin(l, (int)blockIdx.x + 1);
  if (begin == end) clear_parts(l, memory);
  for (int64_t first = begin; first < end; first += l.tile) {
    const int rows = (int)(first + l.tile < end ? l.tile : end - first);
    const tile_rows t = {first, rows, first == begin, memory, drawn};
    TKG_ROLLED
    for (int k = 0; k < l.count; k++) {
      run_op<EDGES>(l, k, t);
      __syncthreads();
    }
  }
  TKG_ROLLED
  for (int k = 0; k < l.count; k++)
    if (l.op[k].count && (l.op[k].part >= 0 || l.op[k].width > 1)) finish_part(l.op[k], memory);
}

/* ---- adding parts ---- */

typedef struct sums {
  int of;
  struct {
    const float *parts;
    float *out;
    int count, step; /* elements of a part; from one part to the next */
  } sum[TKG_MOST_OPS];
  int parts;
} sums;

enum { SLICES = 8 }; /* threads that share an element */

/* One row of blocks per sum. Threads with the same x add every SLICES-th part of an element. */
static __global__ void add_sums_kernel(TKG_CONSTANT(sums) s) {
  TKG_SHARED(double, slice, [SLICES][TKG_WARP]);
  const float *parts = s.sum[blockIdx.y].parts;
  const int count = s.sum[blockIdx.y].count, step = s.sum[blockIdx.y].step;
  for (int first = (int)blockIdx.x * TKG_WARP; first < count; first += (int)gridDim.x * TKG_WARP) {
    const int j = first + (int)threadIdx.x;
    double sum = 0;
    TKG_UNROLL_4
    for (int p = (int)threadIdx.y; p < s.parts; p += SLICES)
      if (j < count) sum += (double)parts[(int64_t)p * step + j];
    __syncthreads(); /* the former sums may still be read */
    slice[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || j >= count) continue;
    for (int y = 1; y < SLICES; y++) sum += slice[y][threadIdx.x];
    s.sum[blockIdx.y].out[j] = (float)sum;
  }
}

static void launch_sums(const sums &s, int most, cudaStream_t stream) {
  if (s.of == 0 || most == 0) return;
  tkg_launch(
      add_sums_kernel,
      {dim3(tkg_blocks(tkg_ceil(most, TKG_WARP)), (unsigned)s.of), dim3(TKG_WARP, SLICES), 0},
      stream, s);
}

void tkg__add_tile_parts(const tkg_call *c, const void *all, int parts, cudaStream_t stream) {
  const int count = (int)tkg__count(c->node);
  sums s = {};
  s.of = 1;
  s.parts = parts;
  s.sum[0] = {static_cast<const float *>(all), tkg_out<float>(c), count,
              tile_part_step(false, tile_slices(c->node, c->in), count)};
  launch_sums(s, count, stream);
}

static void add_sums(const tkg_tile_call *calls, int n, int chunks, cudaStream_t stream) {
  sums s = {};
  int most = 0;
  s.parts = chunks;
  for (int k = 0; k < n; k++) {
    if (!calls[k].reduces) continue;
    const int count = (int)tkg__count(calls[k].call.node);
    s.sum[s.of++] = {static_cast<const float *>(calls[k].call.scratch),
                     tkg_out<float>(&calls[k].call), count,
                     tile_part_step(calls[k].part_in_tile,
                                    tile_slices(calls[k].call.node, calls[k].call.in), count)};
    if (count > most) most = count;
  }
  launch_sums(s, most, stream);
}

/* ---- the list ---- */

/* Bytes of TILE_ROWS rows of a value; 0 for codes, which are found by the number of the row. */
static int row_step(const tkg_node *n) {
  const int64_t length = tkg__run_length(n, 1);
  const int64_t bits = n->dtype == TKG_MASK ? 1 : n->dtype == TKG_BF16 ? 16 : 32;
  return n->dtype == TKG_CODES ? 0 : (int)(length * bits * TILE_ROWS / 8);
}

/* Rows of an input of a list: those of a matrix, else elements. */
static int64_t tile_list_rows(const tkg_node *x) {
  return x->rank == 2 ? x->shape[0] : tkg__count(x);
}

static void fill_operands(tile_op *o, const tkg_tile_call *t) {
  const tkg_call *c = &t->call;
  o->op = c->node->op;
  o->inputs = c->node->inputs;
  o->in_tile = t->in_tile | (t->out_in_tile ? 1u << TILE_OUT : 0u);
  o->cols = c->node->rank < 2 ? 1 : (int)tkg__cols(c->node);
  o->out = static_cast<char *>(t->reduces ? c->scratch : c->out);
  o->out_step = t->reduces ? 0 : row_step(c->node);
  o->count = t->reduces ? (int)tkg__count(c->node) : 0;
  o->part = t->part_in_tile ? (int)t->part : -1;
  o->four = tile_aligned(o->out);
  for (int k = 0; k < c->node->inputs && k < TILE_INPUTS; k++) {
    o->in[k] = static_cast<const char *>(c->data[k]);
    o->four = o->four && tile_aligned(o->in[k]);
    const bool by_row = c->node->rank < 2
                            ? tile_list_rows(c->in[k]) == tkg__count(c->node)
                            : tkg__row_access(c->node, c->in, k) != TKG_ACCESS_WHOLE ||
                                  tkg__row_of_position(c->node, c->in, k);
    if (t->reduces || by_row) o->step[k] = row_step(c->in[k]);
  }
}

static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
  fill_operands(o, t);
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tile_code<TKG_OP_##name>::fill(o, t, stream);
  switch (o->op) { TILE_OPS(X) TILE_EDGE_OPS(X) }
#undef X
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: not in tiles", tkg__ops[o->op].name);
}

static bool is_edge_op(int op) {
#define X(name) op == TKG_OP_##name ||
  return TILE_EDGE_OPS(X) false;
#undef X
}

/* Cuts the rows: where none are added up, into tiles; where sums are in parts that ranks share
 * (op.h), at those. */
static void cut_rows(tile_list *l, const tkg_tiling *tiling, bool reduces) {
  const tkg_row_range range = {tiling->first_row, tiling->rows, tiling->whole_rows};
  l->finer = 1;
  l->whole = tiling->rows;
  l->unit_rows = reduces ? PART_ROWS : l->tile;
  if (reduces && tiling->finer > 0) {
    l->whole = range.whole > 0 ? range.whole : range.rows;
    l->before = range.first;
    l->unit_rows = TKG_PART_UNIT;
    l->finer = tiling->finer;
    l->parts = tkg__parts_of(l->whole);
    while (tkg__part_begin(l->whole, l->parts, l->first_part) < l->before) l->first_part++;
  }
  l->units = tkg_ceil(l->whole, l->unit_rows);
  l->chunks = reduces ? tiling->chunks : (int)l->units;
  if (l->parts == 0) l->parts = l->chunks;
}

/* Fills the list. `edges`, `reduces`: whether an op sums over edges, or rows. */
static int fill_list(tile_list *l, const tkg_tile_call *calls, int n, const tkg_tiling *tiling,
                     bool *edges, cudaStream_t stream) {
  bool reduces = false;
  for (int k = 0; k < n; k++) {
    const int status = fill(&l->op[k], &calls[k], stream);
    if (status)
      return calls[k].call.where ? tkg__fail_at(status, "%s", calls[k].call.where) : status;
    reduces |= calls[k].reduces;
    *edges |= is_edge_op(calls[k].call.node->op);
  }
  l->count = n;
  l->tile = (int)tiling->tile;
  cut_rows(l, tiling, reduces);
  return TKG_OK;
}

int tkg__run_tiles(const tkg_tile_call *calls, int n, const tkg_tiling *tiling,
                   cudaStream_t stream) {
  if (tkg__op_is(calls->call.node->op, TKG_UPDATE)) return tkg__run_updates(calls, n, stream);
  if (tiling->wide > 0) return tkg__run_wide(calls, n, tiling, stream);
  if (tiling->rows == 0) return tkg__run_small(calls, n, tiling->tile_bytes, stream);
  tile_list list = {};
  bool edges = false;
  const int status = fill_list(&list, calls, n, tiling, &edges, stream);
  if (status) return status;
  const tkg_shape shape = {dim3((unsigned)list.chunks), dim3(TKG_THREADS),
                           (size_t)tiling->tile_bytes};
  if (edges)
    tkg_launch(tiles_kernel<true>, shape, stream, list);
  else
    tkg_launch(tiles_kernel<false>, shape, stream, list);
  if (tiling->whole_rows == 0) add_sums(calls, n, tiling->chunks, stream);
  return TKG_OK;
}

/* ---- rules ---- */

/* Of lists of numbers: what looks at no other element. */
static bool is_elementwise(int op) {
#define X(name, ...) op == TKG_OP_##name ||
  return UNARY_OPS(X) BINARY_OPS(X) GRAD_OPS(X) X(FULL) X(RANDOM) X(DROPOUT) op == TKG_OP_BROADCAST;
#undef X
}

static tkg_tile_rules rules;

/* Whether the lowest tile has room for the rows of a value. Wider ones would exist as wholes, each
 * written and read by the few blocks that a group of few rows has. */
static bool has_room(const tkg_node *x) {
  const int64_t cols = x->rank < 2 ? 1 : tkg__cols(x);
  return x->dtype != TKG_F32 || 4 * rules.tile * cols <= rules.most_bytes;
}

static bool rows_have_room(const tkg_node *node, const tkg_node *const *in) {
  bool room = tkg__row_parts(node, in) > 0 || has_room(node);
  for (int k = 0; k < node->inputs && room; k++)
    room = tkg__row_access(node, in, k) == TKG_ACCESS_WHOLE || has_room(in[k]);
  return room;
}

static bool runs(const tkg_node *node, const tkg_node *const *in) {
  if (node->rank < 2 && !is_elementwise(node->op) && node->op != TKG_OP_DOT &&
      node->op != TKG_OP_SUM && node->op != TKG_OP_GATHER)
    return false;
  for (int k = 0; k < node->inputs; k++)
    if (in[k]->dtype == TKG_F32 && tkg__count(in[k]) == 0) return false;
  if (!rows_have_room(node, in)) return false;
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tkg__count(node) > 0 && tile_code<TKG_OP_##name>::runs(node, in);
  switch (node->op) { TILE_OPS(X) TILE_EDGE_OPS(X) }
#undef X
  return false;
}

static bool runs_wide(const tkg_node *node, const tkg_node *const *in) {
  return !rows_have_room(node, in) && tkg__runs_wide(node, in);
}

static int64_t scratch_bytes(const tkg_node *node, const tkg_node *const *in) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tile_code<TKG_OP_##name>::scratch(node, in);
  switch (node->op) { TILE_OPS(X) TILE_EDGE_OPS(X) }
#undef X
  return 0;
}

int64_t tkg__tile_part_bytes(const tkg_node *node, const tkg_node *const *in) {
  return scratch_bytes(node, in);
}

int tkg__tiles_open(const cudaDeviceProp *p, const tkg_tile_rules **out) {
  const int64_t most = (int64_t)p->sharedMemPerBlockOptin - PRIVATE;
  rules.tile = 16;
  rules.block = TILE_ROWS;
  rules.least_rows = 64;
  rules.least_tiles = 0;
  rules.most_nodes = TKG_MOST_OPS;
  rules.part_rows = PART_ROWS;
  rules.most_parts = MOST_PARTS;
  rules.tallest = 128;
  rules.many = 256;
  /* Two blocks at a time. The driver keeps some shared memory of each for itself. */
  rules.bytes =
      (int64_t)(p->sharedMemPerMultiprocessor / 2 - p->reservedSharedMemPerBlock) - PRIVATE;
  rules.most_bytes = most;
  rules.runs = runs;
  rules.scratch_bytes = scratch_bytes;
  rules.small = TKG_SMALL;
  rules.runs_small = tkg__runs_small;
  rules.updates = TKG_SMALL_UPDATE;
  rules.runs_wide = runs_wide;
  rules.wide_tile = TKG_WIDE_TILE;
  *out = &rules;
  cudaError_t error = cudaFuncSetAttribute(tiles_kernel<false>,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize, (int)most);
  if (!error)
    error = cudaFuncSetAttribute(tiles_kernel<true>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)most);
  if (!error) error = tkg__small_open((int)most);
  if (!error) error = tkg__wide_open((int)most);
  return tkg_cuda_status(error);
}
