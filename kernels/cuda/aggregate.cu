/* AGGREGATE and its kin: out[i] = sum over the edges i -> t of w x[t] r[relation], where w and r
 * are optional. AGGREGATE_ROWS computes the rows i of a list; AGGREGATE_INDEXED reads the row
 * row_of[t] of x in place of t and skips an edge where that is -1; where no edge leads to t,
 * row_of[t] is not read.
 *
 * A layer of a graph network spends its time here, reading rows of x in no order: memory traffic is
 * one row of x per edge, 8 to 12 bytes of ids and weight beside it, and one row per output. The
 * naive kernel, one group of threads per row, waits for hubs; edge_partition.cuh cuts the edges
 * evenly and fixes the order of each sum. This file says what is read of an edge and where sums go.
 * Which operands there are is known when a kernel is compiled, so what is missing costs no
 * register; rows of floats or of codes (coded_rows.cuh) likewise. Rows that cannot be read by four,
 * and those of 16 bits, take a kernel that asks. */
#include "aggregate.cuh"
#include "spmm.h"
#include "tile_edges.cuh"
#include "tiles.h"

/* ---- entries ---- */

static int64_t chunks_of(const tkg_node *node) {
  const bool rows = operands_of(node->op).rows >= 0;
  const int64_t n = node->shape[0], d = tkg__whole_cols(node);
  return tkg__edge_partition_chunks(rows ? -1 : n + node->i[2], d);
}

/* The noise of codes, the partition, the parts. */
static int64_t aggregate_scratch(const tkg_node *node, const tkg_node *const *in) {
  const int64_t chunks = chunks_of(node);
  const bool rows = operands_of(node->op).rows >= 0;
  return tkg__coded_bytes(in, 1) + tkg__edge_partition_bytes(node->shape[0], chunks, rows) +
         4 * chunks * tkg__cols(node);
}

static char *partition_scratch(const tkg_call *c) {
  return static_cast<char *>(c->scratch) + tkg__coded_bytes(c->in, 1);
}

template <class T, class X, int HAS, bool ROWS>
static void launch(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                   const tkg_edge_partition &e, tkg_error_slot bad_entry, cudaStream_t stream) {
  char *scratch = partition_scratch(c);
  terms<T, X, HAS> p = terms_of<T, X, HAS>(c, x, o, g, bad_entry);
  p.out = tkg_out<T>(c);
  p.parts = reinterpret_cast<T *>(
      scratch + tkg__edge_partition_bytes(c->node->shape[0], e.size.chunks, ROWS));
  sum_partition<terms<T, X, HAS>, ROWS>(p, e, stream);
}

template <class X>
static void launch_by_four(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                           const tkg_edge_partition &e, tkg_error_slot bad_entry,
                           cudaStream_t stream) {
  const int has = terms_in(c, o, g);
#define A(what)                                                                                    \
  case what:                                                                                       \
    return launch<float4, X, what, false>(c, x, o, g, e, bad_entry, stream);
#define ROWS(what)                                                                                 \
  case what:                                                                                       \
    return launch<float4, X, what, true>(c, x, o, g, e, bad_entry, stream);
  if (o.rows >= 0) switch (has) {
      TERMS(ROWS, 0)
    }
  switch (has) { TERMS(A, 0) TERMS(A, TERMS_SLOTS) }
#undef A
#undef ROWS
}

template <class T, class X>
static void launch_any(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                       const tkg_edge_partition &e, tkg_error_slot bad_entry, cudaStream_t stream) {
  if (o.rows >= 0)
    launch<T, X, TERMS_ANY, true>(c, x, o, g, e, bad_entry, stream);
  else
    launch<T, X, TERMS_ANY, false>(c, x, o, g, e, bad_entry, stream);
}

/* Rows that are read by four have kernels of their own; other widths share one. */
static void launch_source(const tkg_call *c, const operands &o, const tkg_graph &g,
                          const tkg_edge_partition &e, tkg_error_slot bad_entry,
                          cudaStream_t stream) {
  const bool four = terms_by_four(c, o), codes = c->in[1]->dtype == TKG_CODES;
  const tkg_coded_rows x = tkg__coded_rows(c, 1, c->scratch, stream);
  if (four && codes)
    launch_by_four(c, coded_rows<float4>{x}, o, g, e, bad_entry, stream);
  else if (four && c->in[1]->dtype == TKG_BF16)
    launch_any<float4>(c, tkg_float_rows<float4>(c, 1), o, g, e, bad_entry, stream);
  else if (four)
    launch_by_four(c, plain_rows<float4>{tkg_in<float4>(c, 1), (int)tkg__cols(c->node) / 4}, o, g,
                   e, bad_entry, stream);
  else if (codes)
    launch_any<float>(c, coded_rows<float>{x}, o, g, e, bad_entry, stream);
  else
    launch_any<float>(c, tkg_float_rows<float>(c, 1), o, g, e, bad_entry, stream);
}

/* ---- sums by slices of columns, in the order in which tiles add up ---- */

/* Rows of `cols` units: `width` of them from column `first` on follow each other in `to`. */
template <class T>
static __global__ void take_slice_kernel(int64_t n, int cols, int first, int width, const T *from,
                                         T *to) {
  for (int64_t i = tkg_first(); i < n * width; i += tkg_stride())
    to[i] = from[i / width * cols + first + i % width];
}

/* Each row's sum, whose whole runs are summed before: to columns from `first` on of rows of `cols`
 * units. One group per row. */
template <class T, class P>
static __global__ void sum_slice_kernel(P p, int64_t n, int cols, int first, T *out) {
  for (int64_t row = tkg_first_row(); row < n; row += tkg_row_stride())
    for (int j = (int)threadIdx.x; j < p.cols; j += (int)blockDim.x)
      out[row * cols + first + j] = sum_row(p, row, j);
}

int64_t tkg__slice_bytes(const tkg_node *node, int64_t slice) {
  return (tkg__rows(node) + node->i[2] / RUN) * slice * (int64_t)sizeof(float);
}

/* A slice of x goes to scratch; its sum, to where it was if out is x. */
template <class T> static void sum_slices(const tkg_call *c, cudaStream_t stream) {
  typedef terms<T, float_rows<T>> slice_terms;
  enum { UNIT = sizeof(T) / sizeof(float) };
  const operands o = operands_of(c->node->op);
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t n = tkg__rows(c->node);
  const int cols = (int)tkg__cols(c->node) / UNIT, slice = (int)c->slice / UNIT;
  T *x = static_cast<T *>(c->scratch);
  slice_terms p = terms_of<T>(c, float_rows<T>{x, NULL, 0}, o, g, tkg_error_slot{NULL, NULL});
  const T *r = p.r;
  p.parts = x + n * slice;
  for (int first = 0; first < cols; first += slice) {
    p.cols = first + slice < cols ? slice : cols - first;
    p.x.cols = p.cols;
    if (r) p.r = r + first;
    tkg_launch(take_slice_kernel<T>, tkg_flat(n * p.cols), stream, n, cols, first, p.cols,
               tkg_in<T>(c, 1), x);
    tkg_launch(sum_runs_kernel<slice_terms>, tkg_tile(g.e / RUN, p.cols), stream, p);
    tkg_launch(sum_slice_kernel<T, slice_terms>, tkg_tile(n, p.cols), stream, p, n, cols, first,
               tkg_out<T>(c));
  }
}

static int aggregate_run(const tkg_call *c, cudaStream_t stream) {
  const operands o = operands_of(c->node->op);
  if (c->slice > 0) {
    if (terms_by_four(c, o))
      sum_slices<float4>(c, stream);
    else
      sum_slices<float>(c, stream);
    return TKG_OK;
  }
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t rows = c->node->shape[0], d = tkg__whole_cols(c->node);
  const int32_t *by = o.rows >= 0 ? tkg_in<int32_t>(c, o.rows) : NULL;
  const tkg_error_slot bad_row = by ? tkg__error_slot_ids(c, g.n) : tkg_error_slot{NULL, NULL};
  const tkg_error_slot bad_entry =
      o.row_of >= 0 ? tkg__error_slot_ids(c, tkg__rows(c->in[1])) : tkg_error_slot{NULL, NULL};
  if (o.row_of >= 0 && (rows == 0 || tkg__cols(c->node) == 0 || g.e == 0))
    tkg__check_entries(tkg_in<int32_t>(c, o.row_of), g.m, tkg__rows(c->in[1]), bad_entry, stream);
  if (rows == 0) return TKG_OK;
  tkg_edge_partition e =
      tkg__partition_edges(&g, by, rows, d, partition_scratch(c), bad_row, stream);
  e.whole_cols = c->node->whole_cols;
  launch_source(c, o, g, e, bad_entry, stream);
  return TKG_OK;
}

/* What cuSPARSE computes too, but for slices, which may be written over what is read. */
static int plain_run(const tkg_call *c, cudaStream_t stream) {
  return c->context->fast && c->slice == 0 ? tkg__spmm(c, stream, aggregate_run)
                                           : aggregate_run(c, stream);
}

static __global__ void clear_rows_kernel(int64_t n, int64_t d, const int32_t *where, float *out) {
  for (int64_t i = tkg_first(); i < n * d; i += tkg_stride())
    if (where[i / d] < 0) out[i] = 0;
}

/* Sums all rows, then clears those that are not wanted: plans of this device ask for none of it
 * (leaves_out_rows of backend.h). */
static int where_run(const tkg_call *c, cudaStream_t stream) {
  const int status = aggregate_run(c, stream);
  const int64_t n = tkg__rows(c->node), d = tkg__cols(c->node);
  if (!status)
    tkg_launch(clear_rows_kernel, tkg_flat(n * d), stream, n, d, tkg_in<int32_t>(c, 2),
               tkg_out<float>(c));
  return status;
}

const tkg_cuda_op tkg__cuda_aggregate[] = {
    {TKG_OP_AGGREGATE, plain_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_ROWS, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_INDEXED, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_WHERE, where_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL_ROWS, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL_INDEXED, aggregate_run, aggregate_scratch},
    {0, NULL, NULL},
};
