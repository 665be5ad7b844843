/* Rows of a matrix that a kernel reads in any order, one unit of columns at a time: rows of floats,
 * or of packed codes (shared/codec.h has the format), which are decoded in registers. So a sum over
 * edges reads a few bytes per edge, and the decoded matrix never exists. Each number is the one
 * that DECODE gives, bit for bit.
 *
 * Affine noise is drawn before, for all rows and columns: 4 and 2 bytes for each, in scratch.
 * Independent noise is drawn for each unit that is read.
 *
 * A *source* S of rows of T, float or float4:
 *
 *   S::item                what is read of a unit; loads do not wait for each other
 *   s.load(row, j)         unit j of a row
 *   S::none()              zeros
 *   s.value(item)          the numbers */
#ifndef TKG_CUDA_CODED_ROWS_H
#define TKG_CUDA_CODED_ROWS_H

#include "family.h"
#include "launch.h"
#include "philox.cuh"
#include "vec4.cuh"

template <class T> struct float_rows {
  enum { AHEAD = 2 };
  typedef T item;
  const T *x;
  const uint16_t *half; /* x if it has 16 bits, else NULL */
  int64_t cols;         /* of T */

  static __device__ __forceinline__ item none(void) {
    T zeros;
    vec4_clear(&zeros);
    return zeros;
  }
  __device__ __forceinline__ item load(int64_t row, int64_t j) const {
    return vec4_either(x, half, row * cols + j);
  }
  __device__ __forceinline__ T value(item v) const { return v; }
};

/* Rows of floats alone. */
template <class T> struct plain_rows {
  enum { AHEAD = 4 }; /* rows that are read before the first is added */
  typedef T item;
  const T *x;
  int cols; /* of T */

  static __device__ __forceinline__ item none(void) {
    T zeros;
    vec4_clear(&zeros);
    return zeros;
  }
  __device__ __forceinline__ item load(int32_t row, int j) const {
    return tkg_row_at(x, row, cols)[j];
  }
  __device__ __forceinline__ T value(item v) const { return v; }
};

/* Host: the rows of input k of a call, floats or numbers of 16 bits. */
template <class T> static float_rows<T> tkg_float_rows(const tkg_call *c, int k) {
  const int64_t cols = tkg__cols(c->in[k]) / (int64_t)(sizeof(T) / sizeof(float));
  const bool half = c->in[k]->dtype == TKG_BF16;
  return {tkg_in<T>(c, k), half ? tkg_in<uint16_t>(c, k) : NULL, cols};
}

/* Rows of codes as the host describes them. bits = 0: rows of floats. */
typedef struct tkg_coded_rows {
  int64_t columns, row_bytes;
  int64_t before; /* rows of the whole before row 0 (first_row in op.h) */
  int bits;
  bool dithers, independent;
  tkg_noise noise; /* independent */
  const float *x;
  const uint8_t *codes, *signs; /* signs: NULL if there are none */
  const uint32_t *pairs;
  const uint32_t *row_noise; /* NULL: there is none, nor of columns */
  const uint16_t *column_noise;
} tkg_coded_rows;

/* Host: bytes of scratch for input k of a node, a multiple of 256. */
int64_t tkg__coded_bytes(const tkg_node *const *in, int k);

/* Host: the rows of input k of a call, whose noise is drawn into scratch on the stream. */
tkg_coded_rows tkg__coded_rows(const tkg_call *c, int k, void *scratch, cudaStream_t stream);

/* Rows of codes. MIXED: or of floats, whichever the host found. */
template <class T, bool MIXED = false> struct coded_rows {
  enum { COUNT = sizeof(T) / sizeof(float), AHEAD = 2 };
  struct item {
    T x;
    uint32_t codes, signs, pair, row_noise;
    uint32_t column_noise[COUNT];
  };
  tkg_coded_rows s;

  /* COUNT numbers of `bits` bits from bit `first` of an array on, of one byte unless they are whole
   * bytes. */
  static __device__ __forceinline__ uint32_t load_bits(const uint8_t *from, int64_t first,
                                                       int bits) {
    const uint8_t *at = from + first / 8;
    if (COUNT == 4 && bits == 8) return *reinterpret_cast<const uint32_t *>(at);
    if (COUNT == 4 && bits == 4) return *reinterpret_cast<const uint16_t *>(at);
    return (uint32_t)*at >> first % 8;
  }

  static __device__ __forceinline__ item none(void) {
    item v = {};
    vec4_clear(&v.x);
    return v;
  }

  /* Independent noise of columns c..c+COUNT-1: numbers of one half of a block. */
  __device__ __forceinline__ void draw(int64_t row, int64_t c, uint32_t noise[COUNT]) const {
    uint32_t words[4];
    tkg_draw(s.noise, tkg__codec_block(s.columns, s.before + row, c), words);
    const uint32_t low = c & 4 ? words[2] : words[0], high = c & 4 ? words[3] : words[1];
    TKG_UNROLL
    for (int k = 0; k < COUNT; k++) {
      const int at = (int)(c & 3) + k;
      noise[k] = (at & 2 ? high : low) >> 16 * (at & 1) & 0xFFFFu;
    }
  }

  __device__ __forceinline__ item load(int32_t row, int j) const {
    const int cols = (int)s.columns, c = j * COUNT;
    item v = none();
    if (MIXED && s.bits == 0) {
      v.x = reinterpret_cast<const T *>(tkg_row_at(s.x, row, cols) + c)[0];
      return v;
    }
    v.codes = load_bits(tkg_row_at(s.codes, row, (int)s.row_bytes), c * s.bits, s.bits);
    v.signs = s.signs ? load_bits(s.signs, (int64_t)row * cols + c, 1) : 0xFu;
    v.pair = s.pairs[row];
    v.row_noise = s.row_noise ? s.row_noise[row] : 0;
    if (s.row_noise) {
      TKG_UNROLL
      for (int k = 0; k < COUNT; k++) v.column_noise[k] = s.column_noise[c + k];
    } else if (s.independent) {
      draw(row, c, v.column_noise);
    }
    return v;
  }

  __device__ __forceinline__ float one(const item &v, int k) const {
    const tkg__codec_pair pair = tkg__codec_pair_of(v.pair);
    int32_t q = (int32_t)(v.codes >> s.bits * k & ((1u << s.bits) - 1)) << 17;
    if (s.dithers) q += 65535 - 2 * (int32_t)tkg__codec_affine(v.column_noise[k], v.row_noise);
    const float x = pair.zero + (float)q * (pair.step * 0x1p-17f);
    return (v.signs >> k & 1) || x != x ? x : 0.0F;
  }
  __device__ __forceinline__ float values(const item &v, float) const { return one(v, 0); }
  __device__ __forceinline__ float4 values(const item &v, float4) const {
    return make_float4(one(v, 0), one(v, 1), one(v, 2), one(v, 3));
  }
  __device__ __forceinline__ T value(const item &v) const {
    return MIXED && s.bits == 0 ? v.x : values(v, T());
  }
};

/* Host: calls f(T(), a, b) with the sources of rows of T that inputs 1 and 2 are. Noise is drawn
 * into scratch, at its beginning. */
template <class T, class F>
static inline void tkg_with_sources_of(const tkg_call *c, cudaStream_t stream, const F &f) {
  char *scratch = static_cast<char *>(c->scratch);
  if (c->in[1]->dtype != TKG_CODES && c->in[2]->dtype != TKG_CODES)
    f(T(), tkg_float_rows<T>(c, 1), tkg_float_rows<T>(c, 2));
  else
    f(T(), coded_rows<T, true>{tkg__coded_rows(c, 1, scratch, stream)},
      coded_rows<T, true>{tkg__coded_rows(c, 2, scratch + tkg__coded_bytes(c->in, 1), stream)});
}

template <class F>
static inline void tkg_with_sources(const tkg_call *c, bool aligned, cudaStream_t stream,
                                    const F &f) {
  if (aligned)
    tkg_with_sources_of<float4>(c, stream, f);
  else
    tkg_with_sources_of<float>(c, stream, f);
}

#endif
