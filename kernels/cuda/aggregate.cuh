/* What AGGREGATE and its kin add up: the terms of sums over the edges of each row, by a partition
 * of the edges (aggregate.cu), or row by row in a tile (tile_edges.cuh). */
#ifndef TKG_CUDA_AGGREGATE_H
#define TKG_CUDA_AGGREGATE_H

#include "coded_rows.cuh"
#include "edge_partition.cuh"
#include "family.h"
#include "vec4.cuh"

/* What a sum's terms have beside rows of x: known when it is compiled, or found from pointers. */
enum {
  TERMS_RELATION = 1, /* relation vectors */
  TERMS_WEIGHT = 2,
  TERMS_ORDER = 4, /* edges are not numbered by place */
  TERMS_SLOTS = 8, /* rows of x by tail */
  TERMS_ANY = 16,
};

/* T is float or float4, X a source of rows. What is read of an edge comes in two steps, each of
 * several edges at a time: ids and weight, then rows. It is multiplied when it is added, so that no
 * load waits for another. */
template <class T, class X, int HAS = TERMS_ANY> struct terms : partition_sums<T> {
  enum { AHEAD = HAS == TERMS_ANY || HAS & TERMS_RELATION ? 2 : X::AHEAD };
  typedef struct {
    int32_t row, relation; /* of x, -1: none; of r */
    float w;
  } edge;
  typedef struct {
    typename X::item x;
    T r;
    float w;
  } item;
  typedef T sum;
  using partition_sums<T>::cols;
  X x;
  const T *r;     /* relation vectors, or NULL */
  int r_cols;     /* from one of them to the next */
  const float *w; /* by edge, or NULL */
  tkg_graph g;
  const int32_t *row_of; /* rows of x by tail, below zero for none; NULL: rows are tails */
  int64_t x_rows;
  tkg_error_slot bad_entry;

  __device__ __forceinline__ bool has(int what, const void *pointer) const {
    return HAS == TERMS_ANY ? pointer != NULL : (HAS & what) != 0;
  }

  static __device__ __forceinline__ edge no_edge(void) { return {-1, 0, 1}; }
  __device__ __forceinline__ edge find(int64_t place) const {
    edge e = {g.ids[place], 0, 1};
    int64_t number = place;
    if (!has(TERMS_RELATION, r) && !has(TERMS_WEIGHT, w)) return e;
    if (has(TERMS_ORDER, g.order)) number = g.order[place];
    if (has(TERMS_RELATION, r)) e.relation = tkg__relation_at(g.relations, number);
    if (has(TERMS_WEIGHT, w)) e.w = w[number];
    return e;
  }

  __device__ __forceinline__ item load(edge e, int j) const {
    item v;
    v.x = X::none();
    vec4_clear(&v.r);
    v.w = e.w;
    if (has(TERMS_SLOTS, row_of) && e.row >= 0) {
      const int32_t found = row_of[e.row];
      e.row = found >= 0 && tkg_check_id(found, x_rows, e.row, bad_entry, j == 0) ? found : -1;
      if (e.row < 0) v.w = 1;
    }
    if (e.row < 0) return v;
    if (has(TERMS_RELATION, r)) v.r = tkg_row_at(r, e.relation, r_cols)[j];
    v.x = x.load(e.row, j);
    return v;
  }

  __device__ __forceinline__ void add(T *s, item v, int64_t) const {
    T t = x.value(v.x);
    if (has(TERMS_RELATION, r)) t = vec4_mul(t, v.r);
    *s = vec4_add(*s, has(TERMS_WEIGHT, w) ? vec4_scale(v.w, t) : t);
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
  const bool where = op == TKG_OP_AGGREGATE_WHERE;
  return {mul, rows ? list : -1, row_of ? list : -1, list + (rows || row_of || where)};
}

/* What the terms have, all that occurs: code of its own for each. */
#define TERMS(X, more)                                                                             \
  X(more)                                                                                          \
  X((more) | TERMS_RELATION)                                                                       \
  X((more) | TERMS_WEIGHT)                                                                         \
  X((more) | TERMS_RELATION | TERMS_WEIGHT)                                                        \
  X((more) | TERMS_RELATION | TERMS_ORDER)                                                         \
  X((more) | TERMS_WEIGHT | TERMS_ORDER) X((more) | TERMS_RELATION | TERMS_WEIGHT | TERMS_ORDER)

/* Host. */
static inline int terms_in(const tkg_call *c, const operands &o, const tkg_graph &g) {
  int has = (o.mul ? TERMS_RELATION : 0) | (tkg_in<float>(c, o.w) ? TERMS_WEIGHT : 0);
  if (has && g.order) has |= TERMS_ORDER;
  return has | (o.row_of >= 0 ? TERMS_SLOTS : 0);
}

/* Host: the terms of a call; where sums go is left to the caller. */
template <class T, class X, int HAS = TERMS_ANY>
static terms<T, X, HAS> terms_of(const tkg_call *c, X x, const operands &o, const tkg_graph &g,
                                 tkg_error_slot bad_entry) {
  terms<T, X, HAS> p = {};
  p.cols = p.r_cols = (int)(tkg__cols(c->node) * (int64_t)sizeof(float) / (int64_t)sizeof(T));
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
