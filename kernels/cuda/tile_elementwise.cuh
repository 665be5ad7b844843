/* The elementwise ops in tiles: their tile_code (tile_code.cuh says what one has). */
#ifndef TKG_CUDA_TILE_ELEMENTWISE_H
#define TKG_CUDA_TILE_ELEMENTWISE_H

#include "tile_op.cuh"

template <int OP> struct tile_code;

/* What most ops do. */
struct tile_plain {
  static bool runs(const tkg_node *, const tkg_node *const *) { return true; }
  static int fill(tile_op *, const tkg_tile_call *, cudaStream_t) { return TKG_OK; }
  static int64_t scratch(const tkg_node *, const tkg_node *const *) { return 0; }
};

/* Host: whether an address, or an offset in a tile's memory, is a multiple of 16. */
static inline bool tile_aligned(const void *at) {
  return reinterpret_cast<uintptr_t>(at) % 16 == 0;
}

static __device__ __forceinline__ int64_t tile_elements(const tile_op &o, const tile_rows &t) {
  return (int64_t)t.rows * o.cols;
}

/* A value as kernels that count rows from the first of the whole find it. */
template <class T>
static __device__ __forceinline__ T *tile_whole(T *rows, const tile_rows &t, int64_t cols) {
  return rows - t.first * cols;
}

/* ---- elementwise ---- */

template <int OP> struct tile_unary : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.f[0] = (float)t->call.node->f[0];
    o->x.f[1] = (float)t->call.node->f[1];
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const int64_t n = tile_elements(o, t);
    unary_elements<OP>(tkg_in_block(), n, o.four ? n / 4 : 0, t.in<float>(o, 0), t.out<float>(o),
                       o.x.f[0], o.x.f[1]);
  }
};

/* Strides of an input of rank 2 or less in an output of rank 2. */
static inline tkg_strides tile_strides_of(const tkg_node *in, const tkg_node *out) {
  if (out->rank < 2) return {tkg__count(in) == 1 ? 0 : 1, 0}; /* a list */
  const int64_t rows = tkg__extent(in, out, 0), cols = tkg__extent(in, out, 1);
  return {rows == 1 ? 0 : (int)cols, cols == 1 ? 0 : 1};
}

template <int OP> struct tile_binary : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    const tkg_node *n = t->call.node;
    const tkg_strides a = tile_strides_of(t->call.in[0], n), b = tile_strides_of(t->call.in[1], n);
    o->x.strides = {a, b, tkg__count(t->call.in[0]) == tkg__count(t->call.in[1])};
    o->four = tile_aligned(t->call.out) && t->call.node->rank == 2 &&
              (!a.column || tile_aligned(t->call.data[0])) &&
              (!b.column || tile_aligned(t->call.data[1])) &&
              (o->x.strides.flat || o->cols % 4 == 0);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const int64_t n = tile_elements(o, t);
    const float *a = t.in<float>(o, 0), *b = t.in<float>(o, 1);
    if (o.x.strides.flat)
      binary_elements<OP>(tkg_in_block(), n, o.four ? n / 4 : 0, a, b, t.out<float>(o));
    else
      binary_rows<OP>(tkg_in_block(), (uint32_t)t.rows, (uint32_t)o.cols, o.four, a, o.x.strides.a,
                      b, o.x.strides.b, t.out<float>(o));
  }
};

/* By floats, a mask, or codes with signs. */
template <int OP> struct tile_choice : tile_binary<OP> {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
    const tkg_call *c = &t->call;
    o->of_codes = c->in[1]->dtype != TKG_F32;
    if (c->in[1]->dtype == TKG_CODES) {
      o->in[1] = static_cast<const char *>(c->data[1]) + tkg__signs_at(c->in[1]);
      o->step[1] = c->in[1]->shape[0] == c->node->shape[0] ? (int)tkg__cols(c->in[1]) : 0;
    }
    return tile_binary<OP>::fill(o, t, stream);
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (o.of_codes)
      choose_rows<OP>(tkg_in_block(), (uint32_t)t.rows, (uint32_t)o.cols, t.in<float>(o, 0),
                      o.x.strides.a, t.in<uint8_t>(o, 1), o.x.strides.b, t.out<float>(o));
    else
      tile_binary<OP>::run(o, t);
  }
};

/* What forward saw is floats, a mask, or codes with signs. */
template <int OP> struct tile_grad : tile_unary<OP> {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
    const tkg_call *c = &t->call;
    o->of_codes = c->in[1]->dtype != TKG_F32;
    if (c->in[1]->dtype == TKG_CODES) {
      o->in[1] = static_cast<const char *>(c->data[1]) + tkg__signs_at(c->in[1]);
      o->step[1] = o->cols;
    }
    if (o->of_codes) o->four = tile_aligned(c->data[0]) && tile_aligned(c->out);
    return tile_unary<OP>::fill(o, t, stream);
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const int64_t n = tile_elements(o, t), n4 = o.four ? n / 4 : 0;
    const float *g = t.in<float>(o, 0);
    if (OP == TKG_OP_LEAKY_RELU_GRAD && o.of_codes)
      masked_elements(tkg_in_block(), n, n4, g, t.in<uint8_t>(o, 1), t.out<float>(o), o.x.f[0]);
    else
      grad_elements<OP>(tkg_in_block(), n, n4, g, t.in<float>(o, 1), t.out<float>(o), o.x.f[0],
                        o.x.f[1]);
  }
};

#define X(name, ...)                                                                               \
  template <> struct tile_code<TKG_OP_##name> : tile_unary<TKG_OP_##name> {};
UNARY_OPS(X)
#undef X
#define X(name, ...)                                                                               \
  template <> struct tile_code<TKG_OP_##name> : tile_binary<TKG_OP_##name> {};
ARITHMETIC_OPS(X)
#undef X
#define X(name, ...)                                                                               \
  template <> struct tile_code<TKG_OP_##name> : tile_choice<TKG_OP_##name> {};
CHOICE_OPS(X)
#undef X
#define X(name, ...)                                                                               \
  template <> struct tile_code<TKG_OP_##name> : tile_grad<TKG_OP_##name> {};
GRAD_OPS(X)
#undef X

template <> struct tile_code<TKG_OP_FULL> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.f[0] = (float)t->call.node->f[0];
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    float *out = t.out<float>(o);
    for (int64_t i = tkg_thread(); i < tile_elements(o, t); i += TKG_THREADS) out[i] = o.x.f[0];
  }
};

template <> struct tile_code<TKG_OP_RANDOM> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.random = random_stream_of(&t->call);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    random_elements(tkg_in_block(), tile_elements(o, t), o.four, o.x.random, t.first * o.cols / 4,
                    t.out<float>(o));
  }
};

template <> struct tile_code<TKG_OP_DROPOUT> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.dropout = dropout_numbers_of(&t->call);
    o->four = tile_aligned(t->call.data[0]) && tile_aligned(t->call.out) &&
              (!t->call.data[1] || o->cols % 4 == 0);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const float *x = t.in<float>(o, 0);
    if (o.inputs > 1)
      dropout_rows(tkg_in_block(), t.first, t.rows, o.cols, o.four, o.x.dropout, x,
                   t.in<int32_t>(o, 1), t.out<float>(o));
    else
      dropout_elements(tkg_in_block(), tile_elements(o, t), o.four, o.x.dropout,
                       t.first * o.cols / VEC8, x, t.out<float>(o));
  }
};

#endif
