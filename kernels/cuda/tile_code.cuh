/* The ops that run in tiles: tile_code<OP> of each. An op that TILE_OPS lists and that has none
 * does not compile.
 *
 *   runs(node, in)      host: whether this node can
 *   fill(o, t, stream)  host: what the op needs beside its operands; queues what must run before
 * the tiles; a status scratch(node, in)   host: bytes of scratch memory that fill's work takes; of
 * a sum over rows, a part's run(o, t)           device: the op on a tile, by all threads of a block
 *
 * The loops are those of the kernels that compute a value as a whole, so the numbers are the same,
 * but for products, whose order is that of tile_product.cuh. */
#ifndef TKG_CUDA_TILE_CODE_H
#define TKG_CUDA_TILE_CODE_H

#include "argsort_ids.h"
#include "normalize.cuh"
#include "reduce.cuh"
#include "saved.cuh"
#include "softmax.cuh"
#include "tile_edges.cuh"
#include "tile_elementwise.cuh"
#include "tile_op.cuh"
#include "tile_product.cuh"
#include "tile_rows.cuh"

#define TILE_EDGE_OPS(X) X(AGGREGATE) X(AGGREGATE_INDEXED) X(AGGREGATE_MUL) X(AGGREGATE_MUL_INDEXED)
#define TILE_OPS(X)                                                                                \
  UNARY_OPS(X)                                                                                     \
  BINARY_OPS(X)                                                                                    \
  GRAD_OPS(X)                                                                                      \
  X(FULL)                                                                                          \
  X(RANDOM)                                                                                        \
  X(DROPOUT)                                                                                       \
  X(MATMUL)                                                                                        \
  X(DOT)                                                                                           \
  X(SUM)                                                                                           \
  X(CONCAT)                                                                                        \
  X(NARROW)                                                                                        \
  X(WIDEN)                                                                                         \
  X(BROADCAST)                                                                                     \
  X(GATHER)                                                                                        \
  X(GROUPED_MATMUL)                                                                                \
  X(NEIGHBOR_SUM)                                                                                  \
  X(NEIGHBOR_DOT)                                                                                  \
  X(NEIGHBOR_OUTER)                                                                                \
  X(RELATION_SCORE)                                                                                \
  X(SCATTER_ADD)                                                                                   \
  X(ROW_NORM)                                                                                      \
  X(NORMALIZE)                                                                                     \
  X(NORMALIZE_GRAD)                                                                                \
  X(SOFTMAX) X(SOFTMAX_GRAD) X(LOG_SOFTMAX) X(LOG_SOFTMAX_GRAD) X(ENCODE) X(DECODE) X(SIGN_MASK)

/* ---- products and sums ---- */

/* Slices of a sum over rows of this result, [m, n]. */
static inline int tile_slices(const tkg_node *n, const tkg_node *const *in) {
  const int64_t cols = tkg__cols(n);
  if (tkg__sums_all(n, in)) return 1;
  return cols ? slices_of((int64_t)pieces_of(tkg__count(n) / cols) * pieces_of(cols)) : 1;
}

/* Where they are added up: in the tile's memory, or in the part of this chunk. */
static __device__ __forceinline__ float *tile_part(const tile_op &o, char *memory) {
  if (o.part >= 0) return reinterpret_cast<float *>(memory + o.part);
  return reinterpret_cast<float *>(o.out) + (int64_t)blockIdx.x * o.width * o.count;
}

/* From one part to the next. */
static inline __host__ __device__ int tile_part_step(bool in_tile, int slices, int count) {
  return in_tile ? count : slices * count;
}

/* After the chunk's last tile: the sum of the slices, in order, is its part. */
static __device__ __forceinline__ void finish_part(const tile_op &o, char *memory) {
  const float *slice = tile_part(o, memory);
  float *part = reinterpret_cast<float *>(o.out) +
                (int64_t)blockIdx.x * tile_part_step(o.part >= 0, o.width, o.count);
  for (int i = tkg_thread(); i < o.count; i += TKG_THREADS) {
    float sum = slice[i];
    for (int s = 1; s < o.width; s++) sum += slice[s * o.count + i];
    part[i] = sum;
  }
}

template <> struct tile_code<TKG_OP_MATMUL> : tile_plain {
  enum { MOST_WEIGHT = 1 << 14 }; /* elements; larger products are left to the library */

  static int64_t scratch(const tkg_node *n, const tkg_node *const *in) {
    return n->i[0] ? tile_slices(n, in) * tkg__bytes(n) : 0;
  }
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    if (n->rank != 2) return false;
    return (n->i[0] ? tkg__count(n) : tkg__count(in[1])) <= MOST_WEIGHT;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    const tkg_call *c = &t->call;
    o->x.product = {(int)tkg__cols(c->node),
                    (int)(t->reduces ? c->node->shape[0] : tkg__cols(c->in[0])),
                    c->node->i[1] != 0};
    o->four = o->four && o->x.product.n % 4 == 0 && o->x.product.k % 4 == 0;
    o->width = tile_slices(c->node, c->in);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const tile_product &p = o.x.product;
    const float *a = t.in<float>(o, 0), *b = t.in<float>(o, 1);
    if (o.count)
      sum_tile(o.four, t.rows, p.k, p.n, a, b, t.begins, tile_part(o, t.memory));
    else
      multiply_tile(o.four, p.tb, t.rows, p.n, p.k, a, b, t.out<float>(o));
  }
};

template <> struct tile_code<TKG_OP_SUM> : tile_plain {
  static int64_t scratch(const tkg_node *n, const tkg_node *const *in) {
    return n->i[0] != 2 ? tile_slices(n, in) * tkg__bytes(n) : 0;
  }
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    return tkg__sums_all(n, in) || (in[0]->rank == 2 && tkg__cols(in[0]) <= SHORT_ROW);
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.sums_all = tkg__sums_all(t->call.node, t->call.in);
    o->cols =
        o->x.sums_all ? (int)tkg__run_length(t->call.in[0], 1) : (int)tkg__cols(t->call.in[0]);
    o->four = tile_aligned(t->call.data[0]) && o->cols % 4 == 0 &&
              (!t->reduces || tile_aligned(t->call.scratch));
    o->width = t->reduces ? tile_slices(t->call.node, t->call.in)
               : o->four  ? short_row_width<4>(o->cols / 4)
                          : short_row_width<1>(o->cols);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *x = t.in<float>(o, 0);
    if (o.count && o.x.sums_all)
      sum_all(t.rows, o.cols, x, t.begins, tile_part(o, t.memory));
    else if (o.count)
      sum_tile(o.four, t.rows, 1, o.cols, NULL, x, t.begins, tile_part(o, t.memory));
    else if (o.four)
      row_sums<false, 4>(tkg_in_block(), t.rows, o.cols / 4, o.width, x, x, t.out<float>(o));
    else
      row_sums<false, 1>(tkg_in_block(), t.rows, o.cols, o.width, x, x, t.out<float>(o));
  }
};

template <> struct tile_code<TKG_OP_DOT> : tile_plain {
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    return n->rank == 1 && in[0]->rank == 2 && tkg__cols(in[0]) <= SHORT_ROW;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->cols = (int)tkg__cols(t->call.in[0]);
    o->four = tile_aligned(t->call.data[0]) && tile_aligned(t->call.data[1]) && o->cols % 4 == 0;
    o->width = o->four ? short_row_width<4>(o->cols / 4) : short_row_width<1>(o->cols);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *a = t.in<float>(o, 0), *b = t.in<float>(o, 1);
    if (o.four)
      row_sums<true, 4>(tkg_in_block(), t.rows, o.cols / 4, o.width, a, b, t.out<float>(o));
    else
      row_sums<true, 1>(tkg_in_block(), t.rows, o.cols, o.width, a, b, t.out<float>(o));
  }
};

/* ---- rows side by side, and rows by id ---- */

/* Host: whether all columns of inputs and result are whole units of four. */
static inline bool concat_by_four(const tile_op &o) {
  bool four = o.four && o.cols % 4 == 0;
  for (int k = 0; k < TILE_INPUTS; k++) four = four && o.x.cols[k] % 4 == 0;
  return four;
}
static inline bool narrow_by_four(const tile_op &o) {
  return o.four && o.cols % 4 == 0 && o.x.cols[0] % 4 == 0 && o.x.cols[1] % 4 == 0;
}

template <> struct tile_code<TKG_OP_CONCAT> : tile_plain {
  static bool runs(const tkg_node *n, const tkg_node *const *) { return n->inputs <= TILE_INPUTS; }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    for (int k = 0; k < TILE_INPUTS; k++)
      o->x.cols[k] = k < t->call.node->inputs ? (int)tkg__cols(t->call.in[k]) : 0;
    o->four = concat_by_four(*o);
    return TKG_OK;
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int of) {
    T *out = t.out<T>(o);
    const int all = o.cols / of;
    TKG_ROLLED
    for (int k = 0; k < o.inputs; k++) {
      const T *x = t.in<T>(o, k);
      const int units = o.x.cols[k] / of;
      tile_units(t.rows, units, [=](int r, int u) { out[r * all + u] = x[r * units + u]; });
      out += units;
    }
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, 4);
    else
      rows<float>(o, t, 1);
  }
};

template <> struct tile_code<TKG_OP_NARROW> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.cols[0] = (int)tkg__cols(t->call.in[0]);
    o->x.cols[1] = (int)t->call.node->i[1];
    o->four = narrow_by_four(*o);
    return TKG_OK;
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int of) {
    const T *x = t.in<T>(o, 0) + o.x.cols[1] / of;
    T *out = t.out<T>(o);
    const int units = o.cols / of, step = o.x.cols[0] / of;
    tile_units(t.rows, units, [=](int r, int u) { out[r * units + u] = x[r * step + u]; });
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, 4);
    else
      rows<float>(o, t, 1);
  }
};

template <> struct tile_code<TKG_OP_WIDEN> : tile_plain {
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const uint16_t *x = t.in<uint16_t>(o, 0);
    float *out = t.out<float>(o);
    for (int i = tkg_thread(); i < t.rows * o.cols; i += TKG_THREADS)
      out[i] = tkg__bf16_value(x[i]);
  }
};

template <> struct tile_code<TKG_OP_BROADCAST> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.strides.a = tile_strides_of(t->call.in[0], t->call.node);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *x = t.in<float>(o, 0);
    float *out = t.out<float>(o);
    const tkg_strides s = o.x.strides.a;
    const int cols = o.cols;
    tile_units(t.rows, cols,
               [=](int r, int c) { out[r * cols + c] = x[r * s.row + c * s.column]; });
  }
};

template <> struct tile_code<TKG_OP_GATHER> : tile_plain {
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    if (in[0]->rank == 1) return n->dtype == TKG_F32 && in[0]->dtype == TKG_F32;
    return n->dtype == in[0]->dtype && (n->dtype == TKG_F32 || n->dtype == TKG_I32) &&
           in[0]->rank == 2;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->four = tile_aligned(t->call.data[0]) && tile_aligned(t->call.out) && o->cols % 4 == 0;
    o->step[0] = 0; /* the table, were it a list of as many elements */
    o->x.gather = {t->call.in[0]->shape[0], tkg__error_slot_ids(&t->call, t->call.in[0]->shape[0])};
    return TKG_OK;
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int units) {
    const T *x = t.in<T>(o, 0);
    const int32_t *ids = t.in<int32_t>(o, 1);
    T *out = t.out<T>(o);
    tile_units(t.rows, units, [=](int r, int u) {
      if (tkg_check_id(ids[r], o.x.gather.rows, t.first + r, o.x.gather.error, u == 0))
        out[r * units + u] = x[(int64_t)ids[r] * units + u];
    });
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, o.cols / 4);
    else
      rows<float>(o, t, o.cols);
  }
};

/* The first place from `low` on, below `high`, whose key is `key` or more. */
static __device__ __forceinline__ int tile_find_key(const tkg_sorted_keys &keys, int low, int high,
                                                    uint32_t key) {
  while (low < high) {
    const int middle = (low + high) / 2;
    if (keys[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Ids are sorted before; a tile looks its rows up. */
template <> struct tile_code<TKG_OP_SCATTER_ADD> : tile_plain {
  enum { MOST_IDS = 8192 }; /* one group adds all rows of an id */

  static bool runs(const tkg_node *, const tkg_node *const *in) {
    return tkg__count(in[1]) <= MOST_IDS;
  }
  static int64_t scratch(const tkg_node *n, const tkg_node *const *in) {
    return tkg__argsort_plan(tkg__count(in[1]), n->shape[0]).bytes;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
    const tkg_call *c = &t->call;
    const tkg_argsort plan = tkg__argsort_plan(tkg__count(c->in[1]), c->node->shape[0]);
    o->x.sorted = {tkg_argsort_keys(c, &plan), tkg_argsort_places(c, &plan), tkg_in<float>(c, 0),
                   (int)plan.count};
    o->four = tile_aligned(c->data[0]) && tile_aligned(c->data[2]) && tile_aligned(c->out) &&
              o->cols % 4 == 0;
    if (plan.count == 0) return TKG_OK;
    return tkg__argsort_ids(c, &plan, tkg_in<int32_t>(c, 1),
                            tkg__error_slot_ids(c, c->node->shape[0]), stream);
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int units) {
    const tile_sorted s = o.x.sorted;
    const T *base = o.inputs > 2 ? t.in<T>(o, 2) : NULL, *g = reinterpret_cast<const T *>(s.g);
    T *out = t.out<T>(o);
    const int low = tile_find_key(s.keys, 0, s.count, (uint32_t)t.first);
    const int high = tile_find_key(s.keys, low, s.count, (uint32_t)t.last());
    tile_units(t.rows, units, [=](int r, int u) {
      const uint32_t key = (uint32_t)(t.first + r);
      T before, sum;
      vec4_clear(&before);
      vec4_clear(&sum);
      if (base) before = base[r * units + u];
      for (int p = tile_find_key(s.keys, low, high, key); p < high && s.keys[p] == key; p++)
        sum = vec4_add(sum, g[(int64_t)s.places[p] * units + u]);
      out[r * units + u] = vec4_add(before, sum);
    });
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, o.cols / 4);
    else
      rows<float>(o, t, o.cols);
  }
};

/* ---- lengths of rows ---- */

template <> struct tile_code<TKG_OP_ROW_NORM> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.norm.l = layout_of(EXACT, 0, tkg__cols(t->call.in[0]), tkg_in<float>(&t->call, 0));
    o->x.norm.floor = norm_floor_of(t->call.node);
    o->width = lanes_of(o->x.norm.l);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    packed_layout l = o.x.norm.l;
    l.rows = t.rows;
    row_norm_rows(tkg_in_block(), l, o.width, o.x.norm.floor, t.in<float>(o, 0), t.out<float>(o));
  }
};

template <> struct tile_code<TKG_OP_NORMALIZE> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.codes.l = layout_of(EXACT, 0, o->cols, tkg_in<float>(&t->call, 0));
    o->x.codes.l.whole = o->x.codes.l.whole && tile_aligned(t->call.out);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    packed_layout l = o.x.codes.l;
    l.rows = t.rows;
    normalize_rows(tkg_in_block(), l, t.in<float>(o, 0), t.in<float>(o, 1), t.out<float>(o));
  }
};

/* ---- softmax ---- */

template <class OP> struct tile_softmax : tile_plain {
  enum { MOST_COLS = 128, FEW_COLS = 32 }; /* of one warp; four elements a lane */

  static bool runs(const tkg_node *n, const tkg_node *const *) { return tkg__cols(n) <= MOST_COLS; }
  static int fill(tile_op *o, const tkg_tile_call *, cudaStream_t) {
    o->four = o->four && o->cols % 4 == 0 && o->cols <= FEW_COLS;
    o->width = tkg_group_width(tkg_ceil(o->cols, 4));
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *a = t.in<float>(o, 0), *b = OP::INPUTS == 2 ? t.in<float>(o, 1) : NULL;
    if (o.four)
      softmax_rows<OP, 4, 1>(tkg_in_block(), t.rows, o.cols / 4, o.width, a, b, t.out<float>(o));
    else
      softmax_rows<OP, 1, 4>(tkg_in_block(), t.rows, o.cols, o.width, a, b, t.out<float>(o));
  }
};
template <> struct tile_code<TKG_OP_SOFTMAX> : tile_softmax<softmax_op> {};
template <> struct tile_code<TKG_OP_SOFTMAX_GRAD> : tile_softmax<softmax_grad_op> {};
template <> struct tile_code<TKG_OP_LOG_SOFTMAX> : tile_softmax<log_softmax_op> {};
template <> struct tile_code<TKG_OP_LOG_SOFTMAX_GRAD> : tile_softmax<log_softmax_grad_op> {};

/* ---- sums over edges ---- */

/* Which terms a node has: `way` is what plain rows of floats, by four, have (TERMS_RELATION ..), or
 * one of these, whose code asks. */
enum { WAY_FLOATS_BY_FOUR = 16, WAY_FLOATS, WAY_CODES_BY_FOUR, WAY_CODES };

typedef terms<float4, plain_rows<float4>> plain_terms;

/* Terms that were put there as those of HAS: their layout is the same. */
template <int HAS>
static __device__ __forceinline__ const terms<float4, plain_rows<float4>, HAS> &
terms_with(const plain_terms &p) {
  static_assert(sizeof(terms<float4, plain_rows<float4>, HAS>) == sizeof p, "one layout");
  return reinterpret_cast<const terms<float4, plain_rows<float4>, HAS> &>(p);
}

struct tile_aggregate : tile_plain {
  static int64_t scratch(const tkg_node *n, const tkg_node *const *in) {
    return tkg__coded_bytes(in, 1) + 4 * edge_parts_of(n->i[2]) * tkg__cols(n);
  }

  /* Makes the terms, and queues the sums of runs. */
  template <class T, class X, int HAS>
  static void fill_terms(terms<T, X, HAS> *to, const tkg_call *c, X x, const operands &w,
                         cudaStream_t stream) {
    const tkg_graph g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
    const tkg_error_slot bad_entry =
        w.row_of >= 0 ? tkg__error_slot_ids(c, tkg__rows(c->in[1])) : tkg_error_slot{NULL, NULL};
    *to = terms_of<T, X, HAS>(c, x, w, g, bad_entry);
    to->parts = reinterpret_cast<T *>(static_cast<char *>(c->scratch) + tkg__coded_bytes(c->in, 1));
    tkg_launch(sum_runs_kernel<terms<T, X, HAS>>, tkg_tile(edge_parts_of(g.e), to->cols), stream,
               *to);
  }
  template <int HAS>
  static void fill_plain(tile_op *o, const tkg_call *c, const operands &w, cudaStream_t stream) {
    terms<float4, plain_rows<float4>, HAS> p;
    fill_terms(&p, c, {tkg_in<float4>(c, 1), (int)tkg__cols(c->node) / 4}, w, stream);
    memcpy(&o->x.plain_by_four, &p, sizeof p);
  }
  static int way_of(const tkg_call *c, const operands &w) {
    const bool four = terms_by_four(c, w);
    if (c->in[1]->dtype == TKG_CODES) return four ? WAY_CODES_BY_FOUR : WAY_CODES;
    if (!four) return WAY_FLOATS;
    if (c->in[1]->dtype != TKG_F32 || w.row_of >= 0) return WAY_FLOATS_BY_FOUR;
    return terms_in(c, w, tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i));
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
    const tkg_call *c = &t->call;
    const operands w = operands_of(c->node->op);
    const tkg_coded_rows codes = tkg__coded_rows(c, 1, c->scratch, stream);
    o->way = way_of(c, w);
    switch (o->way) {
#define X(has)                                                                                     \
  case has:                                                                                        \
    fill_plain<has>(o, c, w, stream);                                                              \
    break;
      TERMS(X, 0)
#undef X
    case WAY_FLOATS_BY_FOUR:
      fill_terms(&o->x.floats_by_four, c, tkg_float_rows<float4>(c, 1), w, stream);
      break;
    case WAY_FLOATS:
      fill_terms(&o->x.floats, c, tkg_float_rows<float>(c, 1), w, stream);
      break;
    case WAY_CODES_BY_FOUR:
      fill_terms(&o->x.codes_by_four, c, coded_rows<float4>{codes}, w, stream);
      break;
    default:
      fill_terms(&o->x.codes_by_one, c, coded_rows<float>{codes}, w, stream);
    }
    return TKG_OK;
  }

  template <class T, class X, int HAS>
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t,
                                             const terms<T, X, HAS> &p) {
    sum_edges_of_tile(p, t.first, t.rows, t.out<T>(o));
  }
};

#define X(name)                                                                                    \
  template <> struct tile_code<TKG_OP_##name> : tile_aggregate {};
TILE_EDGE_OPS(X)
#undef X

#endif
