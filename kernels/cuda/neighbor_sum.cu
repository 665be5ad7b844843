/* Neighbourhoods of K neighbours per row; x[k] is row ids[i,k] of a table, or row i K + k:
 *
 *   NEIGHBOR_SUM    out[i] = sum over k of w[i,k] x[k]
 *   NEIGHBOR_DOT    out[i,k] = g[i] . x[k], the gradient of w
 *   NEIGHBOR_OUTER  out[i K + k] = w[i,k] g[i], the gradient of x
 *   RELATION_SCORE  as NEIGHBOR_DOT, with given ids
 *
 * The gradient of x by id, NEIGHBOR_SCATTER, is in scatter.cu.
 *
 * The rows of neighbours lie anywhere and each is read once: as in gather, the number of loads
 * under way decides. NEIGHBOR_SUM: one group of threads per output row, 16 bytes of columns per
 * thread, several neighbours loaded before the first is added. Dots: one group of lanes per output
 * element. Neighbours and columns are added in a fixed order: results repeat bit for bit. */
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "vec4.cuh"
#include "warp.cuh"

/* Rows named by ids; without ids, the rows in order. */
typedef struct neighbours {
  const int32_t *ids;
  int64_t rows;         /* of the table */
  const uint16_t *half; /* the table if it has 16 bits, else NULL */
} neighbours;

static __device__ __forceinline__ int64_t neighbour(const neighbours &h, int64_t at,
                                                    tkg_error_slot error, bool reports) {
  if (!h.ids) return at;
  const int32_t id = h.ids[at];
  return tkg_check_id(id, h.rows, at, error, reports) ? id : -1;
}

/* ---- neighbor_sum: out[i] = sum over k of w[i,k] x[k] ---- */

enum { AHEAD = 4 }; /* neighbours loaded at a time */

template <class T>
static __global__ void sum_kernel(int64_t n, int64_t k, int64_t cols, const float *w, const T *x,
                                  neighbours h, T *out, tkg_error_slot error) {
  for (int64_t i = tkg_first_row(); i < n; i += tkg_row_stride())
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x) {
      T sum;
      vec4_clear(&sum);
      for (int64_t first = 0; first < k; first += AHEAD) {
        T row[AHEAD];
        TKG_UNROLL
        for (int a = 0; a < AHEAD; a++) {
          const int64_t at = i * k + first + a;
          const int64_t id = first + a < k ? neighbour(h, at, error, j == 0) : -1;
          vec4_clear(&row[a]);
          if (id >= 0) row[a] = vec4_either(x, h.half, id * cols + j);
        }
        TKG_UNROLL
        for (int a = 0; a < AHEAD; a++)
          if (first + a < k) sum = vec4_add(sum, vec4_scale(w[i * k + first + a], row[a]));
      }
      out[i * cols + j] = sum;
    }
}

template <class T>
static void sum_launch(const tkg_call *c, int64_t cols, const neighbours &h, tkg_error_slot error,
                       cudaStream_t stream) {
  const int64_t n = tkg__rows(c->node), k = tkg__cols(c->in[0]);
  tkg_launch(sum_kernel<T>, tkg_tile(n, cols), stream, n, k, cols, tkg_in<float>(c, 0),
             tkg_in<T>(c, 1), h, tkg_out<T>(c), error);
}

/* For NEIGHBOR_SUM, NEIGHBOR_DOT and RELATION_SCORE: x is input 1, ids input 2. */
static neighbours neighbours_of(const tkg_call *c) {
  const bool half = c->in[1]->dtype == TKG_BF16;
  return {tkg_in<int32_t>(c, 2), tkg__rows(c->in[1]), half ? tkg_in<uint16_t>(c, 1) : NULL};
}

static tkg_error_slot error_of(const tkg_call *c, const neighbours &h) {
  return h.ids ? tkg__error_slot_ids(c, h.rows) : tkg_error_slot{NULL, NULL};
}

static int sum_run(const tkg_call *c, cudaStream_t stream) {
  const neighbours h = neighbours_of(c);
  const int64_t d = tkg__cols(c->in[1]);
  const tkg_error_slot error = error_of(c, h);
  if (d == 0 && h.ids)
    tkg__check_ids(h.ids, tkg__count(c->in[2]), h.rows, error, stream);
  else if (tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->out, d))
    sum_launch<float4>(c, d / 4, h, error, stream);
  else
    sum_launch<float>(c, d, h, error, stream);
  return TKG_OK;
}

/* ---- neighbor_dot, relation_score: out[i,k] = g[i] . x[k] ---- */

/* The row of g is read again for each k, from cache. */
template <class T>
static __global__ void dot_kernel(int64_t n, int64_t k, int64_t cols, int width, const T *g,
                                  const T *x, neighbours h, float *out, tkg_error_slot error) {
  const tkg_group group = tkg_group_of(width);
  for (int64_t e = group.row; tkg_any_row(e, n); e += group.stride) {
    const int64_t id = e < n ? neighbour(h, e, error, group.lane == 0) : -1;
    float sum = 0;
    if (id >= 0)
      for (int64_t j = group.lane; j < cols; j += width)
        sum += vec4_dot(g[e / k * cols + j], vec4_either(x, h.half, id * cols + j));
    sum = tkg_group_sum(sum, width);
    if (e < n && group.lane == 0) out[e] = sum;
  }
}

template <class T>
static void dot_launch(const tkg_call *c, int64_t cols, const neighbours &h, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), k = tkg__cols(c->node);
  const int width = tkg_group_width(cols);
  tkg_launch(dot_kernel<T>, tkg_groups(n, width), stream, n, k, cols, width, tkg_in<T>(c, 0),
             tkg_in<T>(c, 1), h, tkg_out<float>(c), error_of(c, h));
}

static int dot_run(const tkg_call *c, cudaStream_t stream) {
  const neighbours h = neighbours_of(c);
  const int64_t d = tkg__cols(c->in[1]);
  if (tkg_vec4_aligned(c->data[0], d) && tkg_vec4_aligned(c->data[1], d))
    dot_launch<float4>(c, d / 4, h, stream);
  else
    dot_launch<float>(c, d, h, stream);
  return TKG_OK;
}

/* ---- neighbor_outer: out[i K + k] = w[i,k] g[i] ---- */

template <class T>
static __global__ void outer_kernel(int64_t n, int64_t k, int64_t cols, const float *w, const T *g,
                                    T *out) {
  for (int64_t i = tkg_first_row(); i < n; i += tkg_row_stride())
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x)
      out[i * cols + j] = vec4_scale(w[i], g[i / k * cols + j]);
}

template <class T> static void outer_launch(const tkg_call *c, int64_t cols, cudaStream_t stream) {
  const int64_t n = tkg__count(c->in[0]), k = tkg__cols(c->in[0]);
  tkg_launch(outer_kernel<T>, tkg_tile(n, cols), stream, n, k, cols, tkg_in<float>(c, 0),
             tkg_in<T>(c, 1), tkg_out<T>(c));
}

static int outer_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t d = tkg__cols(c->in[1]);
  if (tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->out, d))
    outer_launch<float4>(c, d / 4, stream);
  else
    outer_launch<float>(c, d, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_neighbor_sum[] = {
    {TKG_OP_RELATION_SCORE, dot_run, NULL},
    {TKG_OP_NEIGHBOR_SUM, sum_run, NULL},
    {TKG_OP_NEIGHBOR_DOT, dot_run, NULL},
    {TKG_OP_NEIGHBOR_OUTER, outer_run, NULL},
    {0, NULL, NULL},
};
