/* Ops in tiles that read rows by id or by position: products by the matrix of a row's kind, sums
 * over neighbourhoods (tile_code.cuh says what a tile_code has). */
#ifndef TKG_CUDA_TILE_ROWS_H
#define TKG_CUDA_TILE_ROWS_H

#include "tile_elementwise.cuh"

/* Units of T in rows of a tile; f(row, unit). */
template <class F>
static __device__ __forceinline__ void tile_units(int rows, int units, const F &f) {
  TKG_ROLLED
  for (tkg_place p(tkg_in_block(), (uint32_t)units); p.row < (uint32_t)rows; p.go_on())
    f((int)p.row, (int)p.unit);
}

/* Each row by the matrix that its id names, out of the cache: small ones, since rows of the same id
 * do not share what they read, as they do where ids are sorted (grouped.cu). */
template <> struct tile_code<TKG_OP_GROUPED_MATMUL> : tile_plain {
  enum { MOST_MATRIX = 1024 }; /* elements of one */

  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    return in[0]->rank == 2 && in[1]->dtype == TKG_F32 &&
           tkg__cols(n) * tkg__cols(in[0]) <= MOST_MATRIX;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    const int64_t groups = t->call.in[1]->shape[0];
    o->x.grouped = {groups, tkg__error_slot_ids(&t->call, groups), (int)tkg__cols(t->call.in[0]),
                    t->call.node->i[0] != 0};
    o->step[2] = (int)sizeof(int32_t) * TILE_ROWS; /* ids of any dimensions */
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *x = t.in<float>(o, 0), *w = t.in<float>(o, 1);
    const int32_t *ids = t.in<int32_t>(o, 2);
    float *out = t.out<float>(o);
    const int n = o.cols, k = o.x.grouped.k;
    const int down = o.x.grouped.transposed ? 1 : n, across = o.x.grouped.transposed ? k : 1;
    tile_units(t.rows, n, [=](int r, int j) {
      if (!tkg_check_id(ids[r], o.x.grouped.groups, t.first + r, o.x.grouped.error, j == 0)) return;
      const float *matrix = w + (int64_t)ids[r] * (n * k) + j * across, *row = x + r * k;
      float sum = 0;
      TKG_UNROLL_4
      for (int l = 0; l < k; l++) sum = tkg_multiply_add(row[l], matrix[l * down], sum);
      out[r * n + j] = sum;
    });
  }
};

/* ---- neighbourhoods ---- */

static inline bool tile_reads_floats(const tkg_node *n, const tkg_node *const *in) {
  return in[1]->dtype == TKG_F32 && tkg__count(n) < INT32_MAX && tkg__count(in[1]) < INT32_MAX;
}

/* Ids are k per row, also those of a list. */
static inline int tile_fill_neighbours(tile_op *o, const tkg_tile_call *t, int k) {
  o->x.neighbourhood = {neighbours_of(&t->call), k, (int)tkg__cols(t->call.in[1])};
  o->step[2] = k * (int)sizeof(int32_t) * TILE_ROWS;
  return TKG_OK;
}

/* The neighbours of a tile's first row and the next. */
static __device__ __forceinline__ neighbours tile_neighbours_of(const tile_op &o,
                                                                const tile_rows &t) {
  neighbours h = o.x.neighbourhood.h;
  h.ids = h.ids ? t.in<int32_t>(o, 2) : NULL;
  return h;
}

template <> struct tile_code<TKG_OP_NEIGHBOR_SUM> : tile_plain {
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    return tile_reads_floats(n, in);
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->four = tile_aligned(t->call.data[1]) && tile_aligned(t->call.out) && o->cols % 4 == 0;
    return tile_fill_neighbours(o, t, (int)tkg__cols(t->call.in[0]));
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int units) {
    const neighbours h = tile_neighbours_of(o, t);
    const float *w = t.in<float>(o, 0);
    const T *x = t.in<T>(o, 1);
    T *out = t.out<T>(o);
    const int k = o.x.neighbourhood.k;
    tile_units(t.rows, units, [=](int r, int u) {
      out[r * units + u] = sum_of_neighbours(h, t.first, r, k, units, u, w, x);
    });
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, o.cols / 4);
    else
      rows<float>(o, t, o.cols);
  }
};

struct tile_neighbour_dots : tile_plain {
  static bool runs(const tkg_node *n, const tkg_node *const *in) {
    return tile_reads_floats(n, in) && tkg__cols(in[1]) > 0;
  }
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    const int d = (int)tkg__cols(t->call.in[1]);
    o->four = tile_aligned(t->call.data[0]) && tile_aligned(t->call.data[1]) && d % 4 == 0;
    o->width = tkg_group_width(o->four ? d / 4 : d);
    return tile_fill_neighbours(o, t, o->cols);
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int units) {
    dots_of_neighbours(tkg_in_block(), tile_neighbours_of(o, t), t.first, (int64_t)t.rows * o.cols,
                       o.cols, units, o.width, t.in<T>(o, 0), t.in<T>(o, 1), t.out<float>(o));
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, o.x.neighbourhood.d / 4);
    else
      rows<float>(o, t, o.x.neighbourhood.d);
  }
};
template <> struct tile_code<TKG_OP_NEIGHBOR_DOT> : tile_neighbour_dots {};
template <> struct tile_code<TKG_OP_RELATION_SCORE> : tile_neighbour_dots {};

/* Row i K + k is w[i,k] g[i]: both are whole values. */
template <> struct tile_code<TKG_OP_NEIGHBOR_OUTER> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.cols[0] = (int)tkg__cols(t->call.in[0]);
    o->four = tile_aligned(t->call.data[1]) && tile_aligned(t->call.out) && o->cols % 4 == 0;
    return TKG_OK;
  }
  template <class T>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t, int units) {
    const float *w = t.in<float>(o, 0) + t.first;
    const T *g = t.in<T>(o, 1);
    T *out = t.out<T>(o);
    const int k = o.x.cols[0];
    tile_units(t.rows, units, [=](int r, int u) {
      out[r * units + u] = vec4_scale(w[r], g[(t.first + r) / k * units + u]);
    });
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.four)
      rows<float4>(o, t, o.cols / 4);
    else
      rows<float>(o, t, o.cols);
  }
};

#endif
