/* AGGREGATE and its kin: out[i] = sum over the edges i -> t of w x[t] r[relation], where w and r
 * are optional. AGGREGATE_ROWS computes the rows i of a list; AGGREGATE_INDEXED reads the row
 * row_of[t] of x in place of t and skips an edge where that is -1.
 *
 * A layer of a graph network spends its time here, reading rows of x in no order: memory traffic is
 * one row of x per edge, 8 to 12 bytes of ids and weight beside it, and one row per output. The
 * naive kernel, one group of threads per row, waits for hubs; edge_partition.cuh cuts the edges
 * evenly and fixes the order of each sum. This file says what is read of an edge and where sums go.
 * One kernel serves all six ops: a missing operand is a branch that all threads take alike. Another
 * reads rows of codes (coded_rows.cuh). */
#include "aggregate.cuh"

/* ---- entries ---- */

static int64_t chunks_of(const tkg_node *node) {
  const bool rows = operands_of(node->op).rows >= 0;
  const int64_t n = node->shape[0], d = tkg__cols(node);
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

template <class T, class X>
static void launch(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                   const tkg_edge_partition &e, tkg_error_slot bad_entry, cudaStream_t stream) {
  char *scratch = partition_scratch(c);
  terms<T, X> p = terms_of<T>(c, x, o, g, bad_entry);
  p.out = tkg_out<T>(c);
  p.parts = reinterpret_cast<T *>(
      scratch + tkg__edge_partition_bytes(c->node->shape[0], e.size.chunks, o.rows >= 0));
  if (o.rows >= 0)
    sum_partition<terms<T, X>, true>(p, e, stream);
  else
    sum_partition<terms<T, X>, false>(p, e, stream);
}

template <class T>
static void launch_source(const tkg_call *c, const operands &o, const tkg_graph &g,
                          const tkg_edge_partition &e, tkg_error_slot bad_entry,
                          cudaStream_t stream) {
  if (c->in[1]->dtype == TKG_CODES)
    launch<T>(c, coded_rows<T>{tkg__coded_rows(c, 1, c->scratch, stream)}, o, g, e, bad_entry,
              stream);
  else
    launch<T>(c, tkg_float_rows<T>(c, 1), o, g, e, bad_entry, stream);
}

static int aggregate_run(const tkg_call *c, cudaStream_t stream) {
  const operands o = operands_of(c->node->op);
  const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  const int64_t rows = c->node->shape[0], d = tkg__cols(c->node);
  const int32_t *by = o.rows >= 0 ? tkg_in<int32_t>(c, o.rows) : NULL;
  const tkg_error_slot bad_row = by ? tkg__error_slot_ids(c, g.n) : tkg_error_slot{NULL, NULL};
  if (rows == 0) return TKG_OK;
  const tkg_edge_partition e =
      tkg__partition_edges(&g, by, rows, d, partition_scratch(c), bad_row, stream);
  const tkg_error_slot bad_entry =
      o.row_of >= 0 ? tkg__error_slot_ids(c, tkg__rows(c->in[1])) : tkg_error_slot{NULL, NULL};
  if (terms_by_four(c, o))
    launch_source<float4>(c, o, g, e, bad_entry, stream);
  else
    launch_source<float>(c, o, g, e, bad_entry, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_aggregate[] = {
    {TKG_OP_AGGREGATE, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_ROWS, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_INDEXED, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL_ROWS, aggregate_run, aggregate_scratch},
    {TKG_OP_AGGREGATE_MUL_INDEXED, aggregate_run, aggregate_scratch},
    {0, NULL, NULL},
};
