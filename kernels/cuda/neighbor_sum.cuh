/* Loops over neighbourhoods of K neighbours per row: of whole values (neighbor_sum.cu) and of tiles
 * of rows (tile_neighbours.cuh). `first`: the row of the whole that the loop's row 0 is; what is
 * read and written by row begins there. */
#ifndef TKG_CUDA_NEIGHBOR_SUM_H
#define TKG_CUDA_NEIGHBOR_SUM_H

#include "device_errors.h"
#include "family.h"
#include "vec4.cuh"
#include "warp.cuh"

/* Rows named by ids; without ids, the rows in order. */
typedef struct neighbours {
  const int32_t *ids;   /* of row 0 of the loop on */
  int64_t rows;         /* of the table */
  const uint16_t *half; /* the table if it has 16 bits, else NULL */
  tkg_error_slot error;
} neighbours;

/* The row of the table that is element `at` of the loop's, -1 if its id is none. */
static __device__ __forceinline__ int64_t neighbour(const neighbours &h, int64_t first, int64_t at,
                                                    bool reports) {
  if (!h.ids) return first + at;
  const int32_t id = h.ids[at];
  return tkg_check_id(id, h.rows, first + at, h.error, reports) ? id : -1;
}

enum { NEIGHBOURS_AHEAD = 4 }; /* loaded at a time */

/* Column j of the sum over k of w[i,k] x[k]. */
template <class T>
static __device__ __forceinline__ T sum_of_neighbours(const neighbours &h, int64_t first, int64_t i,
                                                      int64_t k, int64_t cols, int64_t j,
                                                      const float *w, const T *x) {
  T sum;
  vec4_clear(&sum);
  for (int64_t from = 0; from < k; from += NEIGHBOURS_AHEAD) {
    T row[NEIGHBOURS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < NEIGHBOURS_AHEAD; a++) {
      const int64_t id = from + a < k ? neighbour(h, first * k, i * k + from + a, j == 0) : -1;
      vec4_clear(&row[a]);
      if (id >= 0) row[a] = vec4_either(x, h.half, id * cols + j);
    }
    TKG_UNROLL
    for (int a = 0; a < NEIGHBOURS_AHEAD; a++)
      if (from + a < k) sum = vec4_add(sum, vec4_scale(w[i * k + from + a], row[a]));
  }
  return sum;
}

/* out[i,k] = g[i] . x[k] for n elements i K + k. The row of g is read again for each k, from cache.
 */
template <class T>
static __device__ __forceinline__ void
dots_of_neighbours(tkg_span s, const neighbours &h, int64_t first, int64_t n, int64_t k,
                   int64_t cols, int width, const T *g, const T *x, float *out) {
  const tkg_group group = tkg_group_of(width, s);
  for (int64_t e = group.row; tkg_any_row(e, n); e += group.stride) {
    const int64_t id = e < n ? neighbour(h, first * k, e, group.lane == 0) : -1;
    float sum = 0;
    if (id >= 0)
      for (int64_t j = group.lane; j < cols; j += width)
        sum += vec4_dot(g[e / k * cols + j], vec4_either(x, h.half, id * cols + j));
    sum = tkg_group_sum(sum, width);
    if (e < n && group.lane == 0) out[e] = sum;
  }
}

/* Host: for NEIGHBOR_SUM, NEIGHBOR_DOT and RELATION_SCORE: x is input 1, ids input 2. */
static inline neighbours neighbours_of(const tkg_call *c) {
  const bool half = c->in[1]->dtype == TKG_BF16;
  const int32_t *ids = tkg_in<int32_t>(c, 2);
  const int64_t rows = tkg__rows(c->in[1]);
  return {ids, rows, half ? tkg_in<uint16_t>(c, 1) : NULL,
          ids ? tkg__error_slot_ids(c, rows) : tkg_error_slot{NULL, NULL}};
}

#endif
