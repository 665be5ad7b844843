/* Softmax and its kin: the ops, what a lane holds of a row, and short rows, of those that a span
 * gives to a group of lanes: of whole values (softmax.cu), or of tiles (tiles.cu). */
#ifndef TKG_CUDA_SOFTMAX_H
#define TKG_CUDA_SOFTMAX_H

#include "vec4.cuh"
#include "warp.cuh"

/* ---- the ops ---- */

/* A row with +inf, or with -inf only, has no softmax and gives NaN: inf - inf. */
struct softmax_op {
  enum { INPUTS = 1, SHIFTS = 1 };
  static __device__ __forceinline__ float prepare(float a, float most) { return v_exp(a - most); }
  static __device__ __forceinline__ void terms(float a, float, float &s) { s += a; }
  static __device__ __forceinline__ void settle(float &s) { s = 1.0F / s; }
  static __device__ __forceinline__ float result(float a, float, float s) { return a * s; }
};

/* x - max - log(sum of e^(x - max)). The largest term of the sum is 1. */
struct log_softmax_op {
  enum { INPUTS = 1, SHIFTS = 1 };
  static __device__ __forceinline__ float prepare(float a, float most) { return a - most; }
  static __device__ __forceinline__ void terms(float a, float, float &s) { s += v_exp(a); }
  static __device__ __forceinline__ void settle(float &s) { s = v_log(s); }
  static __device__ __forceinline__ float result(float a, float, float s) { return a - s; }
};

/* a = g, b = y: y (g - sum of g y). */
struct softmax_grad_op {
  enum { INPUTS = 2, SHIFTS = 0 };
  static __device__ __forceinline__ float prepare(float a, float) { return a; }
  static __device__ __forceinline__ void terms(float g, float y, float &s) { s += g * y; }
  static __device__ __forceinline__ void settle(float &) {}
  static __device__ __forceinline__ float result(float g, float y, float s) { return y * (g - s); }
};

/* a = g, b = y: g - e^y (sum of g). */
struct log_softmax_grad_op {
  enum { INPUTS = 2, SHIFTS = 0 };
  static __device__ __forceinline__ float prepare(float a, float) { return a; }
  static __device__ __forceinline__ void terms(float g, float, float &s) { s += g; }
  static __device__ __forceinline__ void settle(float &) {}
  static __device__ __forceinline__ float result(float g, float y, float s) {
    return g - v_exp(y) * s;
  }
};

/* ---- tiles: what a lane holds of a row ---- */

/* Lane l has units l, l + lanes, ... below `left` of a tile. */
struct tile_lanes {
  int lane, lanes, left;
  __device__ __forceinline__ int unit(int k) const { return lane + k * lanes; }
  __device__ __forceinline__ bool has(int k) const { return unit(k) < left; }
};

/* N units of V elements of each input. */
template <class OP, int V, int N> struct tile {
  float a[N][V], b[OP::INPUTS == 2 ? N : 1][V];

  __device__ __forceinline__ float second(int k, int v) const {
    return OP::INPUTS == 2 ? b[OP::INPUTS == 2 ? k : 0][v] : 0.0F;
  }

  /* Loads a lane's units of both inputs, all of them before one is used. */
  __device__ __forceinline__ void load(const float *from_a, const float *from_b, tile_lanes l) {
    TKG_UNROLL
    for (int k = 0; k < N; k++) {
      const int64_t at = (int64_t)l.unit(k) * V;
      if (!l.has(k)) continue;
      load_unit(a[k], from_a + at);
      if (OP::INPUTS == 2) load_unit(b[OP::INPUTS == 2 ? k : 0], from_b + at);
    }
  }

  /* The largest number, NaN aside, of m and the tile. */
  __device__ __forceinline__ float most(float m, tile_lanes l) const {
    TKG_UNROLL
    for (int k = 0; k < N; k++) {
      if (!l.has(k)) continue;
      TKG_UNROLL
      for (int v = 0; v < V; v++) m = a[k][v] > m ? a[k][v] : m;
    }
    return m;
  }

  __device__ __forceinline__ void prepare(float most) {
    TKG_UNROLL
    for (int k = 0; k < N; k++) {
      TKG_UNROLL
      for (int v = 0; v < V; v++) a[k][v] = OP::prepare(a[k][v], most);
    }
  }

  __device__ __forceinline__ void add(float &s, tile_lanes l) const {
    TKG_UNROLL
    for (int k = 0; k < N; k++) {
      if (!l.has(k)) continue;
      TKG_UNROLL
      for (int v = 0; v < V; v++) OP::terms(a[k][v], second(k, v), s);
    }
  }

  __device__ __forceinline__ void store(float *out, float s, tile_lanes l) const {
    TKG_UNROLL
    for (int k = 0; k < N; k++) {
      float to[V];
      if (!l.has(k)) continue;
      TKG_UNROLL
      for (int v = 0; v < V; v++) to[v] = OP::result(a[k][v], second(k, v), s);
      store_unit(to, out + (int64_t)l.unit(k) * V);
    }
  }
};

/* ---- short rows: one group of lanes per row ---- */

template <class OP, int V, int N>
static __device__ __forceinline__ void softmax_rows(tkg_span span, int64_t rows, int units,
                                                    int width, const float *a, const float *b,
                                                    float *out) {
  const tkg_group g = tkg_group_of(width, span);
  for (int64_t r = g.row; tkg_any_row(r, rows); r += g.stride) {
    const tile_lanes l = {g.lane, width, r < rows ? units : 0};
    const int64_t at = r < rows ? r * units * V : 0;
    tile<OP, V, N> t = {};
    float s = 0;
    t.load(a + at, OP::INPUTS == 2 ? b + at : b, l);
    if (OP::SHIFTS) t.prepare(tkg_group_max(t.most(-INFINITY, l), width));
    t.add(s, l);
    s = tkg_group_sum(s, width);
    OP::settle(s);
    t.store(out + at, s, l);
  }
}

#endif
