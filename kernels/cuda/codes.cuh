/* Rows of codes as kernels read them (shared/codec.h has the format): eight elements at a time,
 * which are `bits` bytes of codes and one Philox block of noise, or of affine noise's columns. */
#ifndef TKG_CUDA_CODES_H
#define TKG_CUDA_CODES_H

#include <type_traits>

#include "family.h"
#include "launch.h"
#include "philox.cuh"
#include "vec8.cuh"

/* Calls f with the width of a code, 8, 4, 2 or 1 bits, as a constant: f(c) may use c() as a
 * template argument. */
template <class F> static inline void tkg_with_bits(int64_t bits, const F &f) {
  switch (bits) {
  case 8:
    return f(std::integral_constant<int, 8>());
  case 4:
    return f(std::integral_constant<int, 4>());
  case 2:
    return f(std::integral_constant<int, 2>());
  default:
    return f(std::integral_constant<int, 1>());
  }
}

typedef struct packed_layout {
  int64_t rows, cols, vec8s; /* vec8s: groups of eight columns per row */
  int64_t row_bytes, pair_offset;
  bool whole; /* cols is a multiple of eight: all groups are whole and aligned */
} packed_layout;

static inline packed_layout layout_of(int bits, int64_t rows, int64_t cols, const float *x) {
  packed_layout l;
  l.rows = rows;
  l.cols = cols;
  l.vec8s = tkg_ceil(cols, VEC8);
  l.row_bytes = tkg__codec_row_bytes(bits, cols);
  l.pair_offset = tkg__codec_pair_offset(bits, rows, cols);
  l.whole = cols % VEC8 == 0 && tkg_vec4_aligned(x, cols);
  return l;
}

/* The number of columns in group e of a row. */
static __device__ __forceinline__ int columns_of(const packed_layout &l, int64_t e) {
  return l.cols - e * VEC8 < VEC8 ? (int)(l.cols - e * VEC8) : VEC8;
}

template <int BITS>
static __device__ __forceinline__ uint64_t load_codes(const uint8_t *from, bool whole, int count) {
  if (!whole) {
    const int bytes = (count * BITS + 7) / 8;
    uint64_t codes = 0;
    TKG_UNROLL
    for (int k = 0; k < BITS; k++)
      if (k < bytes) codes |= (uint64_t)from[k] << 8 * k;
    return codes;
  }
  if (BITS == 8) return *reinterpret_cast<const uint64_t *>(from);
  if (BITS == 4) return *reinterpret_cast<const uint32_t *>(from);
  if (BITS == 2) return *reinterpret_cast<const uint16_t *>(from);
  return *from;
}

/* Affine noise that the threads of a block share: the numbers of the first columns, and the words
 * of the rows that the block is at. */
typedef struct shared_noise {
  uint32_t columns[TKG_WARP][4];
  uint32_t rows[TKG_THREADS];
} shared_noise;

/* The noise of a thread's elements. What affine noise has drawn for eight columns is kept: a
 * thread that goes down the rows needs it for all of them. */
typedef struct codes_noise {
  tkg_noise from;
  int64_t before; /* rows of the whole before row 0, where rows are dealt to ranks; else 0 */
  int rounding;
  int64_t held; /* the group of columns whose numbers are in `columns`; -1: none */
  uint32_t columns[4];
  const shared_noise *shared; /* NULL: a thread draws for itself */
  int64_t first;              /* row of shared->rows[0] */
} codes_noise;

static inline codes_noise codes_noise_of(const tkg_call *c, const tkg_node *codes) {
  return {tkg_noise_of(c, codes->i[2]), codes->first_row, (int)codes->i[1], -1, {}, NULL, 0};
}

/* Draws what a block of TKG_THREADS threads shares, if noise is affine. It is at `rows` rows from
 * `first` on, both multiples of four. All threads of the block call it: the last warp draws for
 * columns, and as many of the first threads as there are blocks of rows' words. */
static __device__ __forceinline__ void draw_shared_noise(codes_noise &n, const packed_layout &l,
                                                         int64_t first, int rows,
                                                         shared_noise *shared) {
  const int thread = tkg_thread(), lane = thread - (TKG_THREADS - TKG_WARP);
  if (n.rounding != TKG_ROUND_DITHER) return;
  __syncthreads(); /* the former rows may still be read */
  if (thread * 4 < rows)
    tkg_draw(n.from, tkg__codec_row_block(n.before + first + thread * 4),
             shared->rows + thread * 4);
  if (lane >= 0 && !n.shared && lane < l.vec8s)
    tkg_draw(n.from, tkg__codec_col_block(lane * VEC8), shared->columns[lane]);
  n.shared = shared;
  n.first = first;
  __syncthreads();
}

static __device__ __forceinline__ void hold_columns(codes_noise &n, int64_t e) {
  if (n.held == e) return;
  n.held = e;
  if (n.shared && e < TKG_WARP) {
    TKG_UNROLL
    for (int k = 0; k < 4; k++) n.columns[k] = n.shared->columns[e][k];
  } else {
    tkg_draw(n.from, tkg__codec_col_block(e * VEC8), n.columns);
  }
}

static __device__ __forceinline__ uint32_t row_word(const codes_noise &n, int64_t r) {
  uint32_t words[4];
  if (n.shared) return n.shared->rows[r - n.first];
  tkg_draw(n.from, tkg__codec_row_block(n.before + r), words);
  const uint32_t even = r & 2 ? words[2] : words[0], odd = r & 2 ? words[3] : words[1];
  return r & 1 ? odd : even;
}

/* The eight numbers of group e of row r, two per word. To nearest: always a half. */
static __device__ __forceinline__ void draw_codes_noise(codes_noise &n, const packed_layout &l,
                                                        int64_t r, int64_t e, uint32_t words[4]) {
  if (n.rounding == TKG_ROUND_NEAREST) {
    words[0] = words[1] = words[2] = words[3] = 0x80008000u;
  } else if (n.rounding != TKG_ROUND_DITHER) {
    tkg_draw(n.from, tkg__codec_block(l.cols, n.before + r, e * VEC8), words);
  } else {
    hold_columns(n, e);
    const uint32_t word = row_word(n, r);
    TKG_UNROLL
    for (int k = 0; k < 4; k++)
      words[k] = tkg__codec_affine(n.columns[k], word) | tkg__codec_affine(n.columns[k] >> 16, word)
                                                             << 16;
  }
}

/* Elements first..first+count-1 of a matrix, just decoded: zero where their bit of `signs` is. A
 * row that is NaN stays so. */
static __device__ __forceinline__ void restore_zeros(const uint8_t *signs, int64_t first, int count,
                                                     float v[VEC8]) {
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (k < count && !(signs[(first + k) / 8] >> (first + k) % 8 & 1) && v[k] == v[k]) v[k] = 0;
}

/* Host: the signs of an input that is codes, or NULL. */
static inline const uint8_t *codes_signs(const tkg_call *c, int k) {
  return c->in[k]->i[3] ? tkg_in<uint8_t>(c, k) + tkg__signs_at(c->in[k]) : NULL;
}

/* Decodes group e of row r with the row's pair. */
template <int BITS>
static __device__ __forceinline__ void decode_vec8(const packed_layout &l, const uint8_t *packed,
                                                   int64_t r, int64_t e, tkg__codec_pair pair,
                                                   codes_noise &noise, float v[VEC8]) {
  const float unit = pair.step * 0x1p-17f;
  const bool dither = tkg__codec_dithers(noise.rounding);
  const uint64_t codes =
      load_codes<BITS>(packed + r * l.row_bytes + e * BITS, l.whole, columns_of(l, e));
  uint32_t words[4];
  if (dither) draw_codes_noise(noise, l, r, e, words);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    int32_t q = (int32_t)(codes >> BITS * k & ((1u << BITS) - 1)) << 17;
    if (dither) q += 65535 - 2 * (int32_t)tkg_half(words, k);
    v[k] = pair.zero + (float)q * unit;
  }
}

#endif
