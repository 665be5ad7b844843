/* The code of ops on saved values in a tile: codes, sign masks, and what reads them. */
#ifndef TKG_CUDA_TILE_SAVED_H
#define TKG_CUDA_TILE_SAVED_H

#include "tile_code.cuh"

/* Calls f with the bits of a code as a constant. */
template <class F> static __device__ __forceinline__ void tile_with_bits(int bits, const F &f) {
  if (bits == 8)
    f(std::integral_constant<int, 8>());
  else if (bits == 4)
    f(std::integral_constant<int, 4>());
  else if (bits == 2)
    f(std::integral_constant<int, 2>());
  else
    f(std::integral_constant<int, 1>());
}

/* Host: codes [rows, cols] and the rows of floats at x that they are made of, or that are made. */
static inline tile_codes tile_codes_of(const tkg_node *codes, const void *data, const float *x) {
  const tkg_node *n = codes;
  tile_codes k = {};
  k.bits = (int)n->i[0];
  k.l = layout_of(k.bits, tkg__rows(n), tkg__cols(n), x);
  k.noise = tkg_noise_of(NULL, n->i[2]);
  k.before = n->first_row;
  k.rounding = (int)n->i[1];
  k.signs = n->i[3] ? static_cast<const uint8_t *>(data) + tkg__signs_at(n) : NULL;
  return k;
}

static __device__ __forceinline__ codes_noise tile_noise(const tile_codes &k) {
  return {k.noise, k.before, k.rounding, -1, {}, NULL, 0};
}

static __device__ __forceinline__ bool tile_word_aligned(const void *at) {
  return reinterpret_cast<uintptr_t>(at) % sizeof(uint32_t) == 0;
}

template <> struct tile_code<TKG_OP_NORMALIZE_GRAD> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    const tkg_call *c = &t->call;
    o->of_codes = c->in[1]->dtype == TKG_CODES;
    if (o->of_codes)
      o->x.codes = tile_codes_of(c->in[1], c->data[1], tkg_in<float>(c, 0));
    else
      o->x.codes.l = layout_of(EXACT, 0, o->cols, tkg_in<float>(c, 0));
    o->x.codes.l.whole =
        o->x.codes.l.whole && tile_aligned(c->out) && (o->of_codes || tile_aligned(c->data[1]));
    o->x.codes.least = (float)c->node->f[0];
    o->width = lanes_of(o->x.codes.l);
    return TKG_OK;
  }
  template <int BITS>
  static __device__ __forceinline__ void rows(const tile_op &o, const tile_rows &t) {
    normalized_gradient s = {};
    s.l = o.x.codes.l;
    s.noise = tile_noise(o.x.codes);
    s.least = o.x.codes.least;
    s.g = tile_whole(t.in<float>(o, 0), t, o.cols);
    s.y = BITS == EXACT ? (const void *)tile_whole(t.in<float>(o, 1), t, o.cols) : o.in[1];
    s.n = tile_whole(t.in<float>(o, 2), t, 1);
    s.out = tile_whole(t.out<float>(o), t, o.cols);
    gradient_rows<BITS>(tkg_in_block(), s, o.width, t.first, t.last());
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    if (!o.of_codes)
      rows<EXACT>(o, t);
    else
      tile_with_bits(o.x.codes.bits, [&](auto bits) {
        constexpr int BITS = decltype(bits)::value;
        rows<BITS>(o, t);
      });
  }
};

template <> struct tile_code<TKG_OP_ENCODE> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.codes = tile_codes_of(t->call.node, t->call.out, tkg_in<float>(&t->call, 0));
    o->width = lanes_of(o->x.codes.l);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const tile_codes &k = o.x.codes;
    const float *x = t.in<float>(o, 0);
    tile_with_bits(k.bits, [&](auto bits) {
      constexpr int BITS = decltype(bits)::value;
      encode_rows<BITS>(tkg_in_block(), k.l, o.width, tile_noise(k), t.first, t.last(),
                        tile_whole(x, t, o.cols), reinterpret_cast<uint8_t *>(o.out), t.drawn);
    });
    if (!k.signs) return;
    uint8_t *signs = const_cast<uint8_t *>(k.signs) + t.first / 8 * o.cols;
    sign_mask_elements(tkg_in_block(), tile_elements(o, t), tile_word_aligned(signs), x, signs);
  }
};

template <> struct tile_code<TKG_OP_DECODE> : tile_plain {
  static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t) {
    o->x.codes = tile_codes_of(t->call.in[0], t->call.data[0], tkg_out<float>(&t->call));
    o->width = lanes_of(o->x.codes.l);
    return TKG_OK;
  }
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    const tile_codes &k = o.x.codes;
    float *out = tile_whole(t.out<float>(o), t, o.cols);
    tile_with_bits(k.bits, [&](auto bits) {
      constexpr int BITS = decltype(bits)::value;
      decode_rows<BITS>(tkg_in_block(), k.l, o.width, tile_noise(k), t.first, t.last(),
                        reinterpret_cast<const uint8_t *>(o.in[0]), k.signs, out, t.drawn);
    });
  }
};

template <> struct tile_code<TKG_OP_SIGN_MASK> : tile_plain {
  static __device__ __forceinline__ void run(const tile_op &o, const tile_rows &t) {
    uint8_t *mask = t.out<uint8_t>(o);
    sign_mask_elements(tkg_in_block(), tile_elements(o, t), tile_word_aligned(mask),
                       t.in<float>(o, 0), mask);
  }
};

#endif
