/* What AGGREGATE and its kin add up: the terms of sums over the edges of each row, by a partition
 * of the edges (aggregate.cu), or row by row in a tile (tile_edges.cuh). */
#ifndef TKG_CUDA_AGGREGATE_H
#define TKG_CUDA_AGGREGATE_H

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
  tkg_graph g;
  const int32_t *row_of; /* rows of x by tail, below zero for none; NULL: rows are tails */
  int64_t x_rows;
  tkg_error_slot bad_entry;

  __device__ __forceinline__ item load(int64_t place, int64_t j) const {
    int64_t row = g.ids[place];
    const int64_t edge = w || r ? tkg__edge_number(&g, place) : 0;
    item v;
    v.x = X::none();
    vec4_clear(&v.r);
    v.w = 1;
    if (row_of) {
      const int32_t found = row_of[row];
      if (found < 0 || !tkg_check_id(found, x_rows, row, bad_entry, j == 0)) return v;
      row = found;
    }
    if (r) v.r = r[tkg__relation_at(g.relations, edge) * cols + j];
    v.x = x.load(row, j);
    if (w) v.w = w[edge];
    return v;
  }

  __device__ __forceinline__ void add(T *s, item v, int64_t) const {
    T t = x.value(v.x);
    if (r) t = vec4_mul(t, v.r);
    *s = vec4_add(*s, w ? vec4_scale(v.w, t) : t);
  }
};

/* The inputs of an op. */
typedef struct operands {
  bool mul;
  int rows, row_of, w; /* input numbers; -1: none */
} operands;

static inline operands operands_of(int op) {
  const bool mul = op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_MUL_ROWS ||
                   op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const bool rows = op == TKG_OP_AGGREGATE_ROWS || op == TKG_OP_AGGREGATE_MUL_ROWS;
  const bool row_of = op == TKG_OP_AGGREGATE_INDEXED || op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const int list = mul ? 3 : 2;
  return {mul, rows ? list : -1, row_of ? list : -1, list + (rows || row_of)};
}

/* Host: the terms of a call; where sums go is left to the caller. */
template <class T, class X>
static terms<T, X> terms_of(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                            tkg_error_slot bad_entry) {
  terms<T, X> p = {};
  p.cols = tkg__cols(c->node) * (int64_t)sizeof(float) / (int64_t)sizeof(T);
  p.x = x;
  p.r = o.mul ? tkg_in<T>(c, 2) : NULL;
  p.w = tkg_in<float>(c, o.w);
  p.g = g;
  p.row_of = o.row_of >= 0 ? tkg_in<int32_t>(c, o.row_of) : NULL;
  p.x_rows = tkg__rows(c->in[1]);
  p.bad_entry = bad_entry;
  return p;
}

/* Host: whether all of its rows can be read by four. */
static inline bool terms_by_four(const tkg_call *c, const operands &o) {
  const int64_t d = tkg__cols(c->node);
  return tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->out, d) &&
         (!o.mul || tkg_vec4_aligned(c->data[2], d));
}

#endif
