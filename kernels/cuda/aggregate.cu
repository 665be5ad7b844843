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
#include "coded_rows.cuh"
#include "edge_partition.cuh"
#include "family.h"
#include "vec4.cuh"

/* What is read of an edge. It is multiplied when it is added, so that no load waits for another. */
template <class T, class X> struct term {
  typename X::item x;
  T r;
  float w;
};

/* T is float or float4, X a source of rows. */
template <class T, class X> struct terms : partition_sums<T> {
  typedef term<T, X> item;
  typedef T sum;
  using partition_sums<T>::cols;
  X x;
  const T *r;     /* relation vectors, or NULL */
  const float *w; /* by edge, or NULL */
  const int32_t *ids, *relations, *order;
  const int32_t *row_of; /* rows of x by tail, below zero for none; NULL: rows are tails */
  int64_t x_rows, r_rows;
  tkg_error_slot bad_entry, bad_relation;

  __device__ __forceinline__ item load(int64_t place, int64_t j) const {
    int64_t row = ids[place];
    const int32_t relation = r ? relations[place] : 0;
    const int64_t number = w && order ? order[place] : place;
    item v;
    v.x = X::none();
    vec4_clear(&v.r);
    v.w = 1;
    if (row_of) {
      const int32_t found = row_of[row];
      if (found < 0 || !tkg_check_id(found, x_rows, row, bad_entry, j == 0)) return v;
      row = found;
    }
    if (r) {
      if (!tkg_check_id(relation, r_rows, place, bad_relation, j == 0)) return v;
      v.r = r[relation * cols + j];
    }
    v.x = x.load(row, j);
    if (w) v.w = w[number];
    return v;
  }

  __device__ __forceinline__ void add(T *s, item v, int64_t) const {
    T t = x.value(v.x);
    if (r) t = vec4_mul(t, v.r);
    *s = vec4_add(*s, w ? vec4_scale(v.w, t) : t);
  }
};

/* ---- entries ---- */

/* The inputs of an op. */
typedef struct operands {
  bool mul;
  int rows, row_of, w; /* input numbers; -1: none */
} operands;

static operands operands_of(int op) {
  const bool mul = op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_MUL_ROWS ||
                   op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const bool rows = op == TKG_OP_AGGREGATE_ROWS || op == TKG_OP_AGGREGATE_MUL_ROWS;
  const bool row_of = op == TKG_OP_AGGREGATE_INDEXED || op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const int list = mul ? 3 : 2;
  return {mul, rows ? list : -1, row_of ? list : -1, list + (rows || row_of)};
}

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
  terms<T, X> p = {};
  p.cols = tkg__cols(c->node) * (int64_t)sizeof(float) / (int64_t)sizeof(T);
  p.x = x;
  p.r = o.mul ? tkg_in<T>(c, 2) : NULL;
  p.w = tkg_in<float>(c, o.w);
  p.ids = g.ids;
  p.relations = g.relations;
  p.order = g.order;
  p.row_of = o.row_of >= 0 ? tkg_in<int32_t>(c, o.row_of) : NULL;
  p.x_rows = tkg__rows(c->in[1]);
  p.r_rows = o.mul ? tkg__rows(c->in[2]) : 0;
  p.bad_entry = bad_entry;
  p.bad_relation = o.mul ? tkg__error_slot_ids(c, p.r_rows) : tkg_error_slot{NULL, NULL};
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
  if (tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->out, d) &&
      (!o.mul || tkg_vec4_aligned(c->data[2], d)))
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
