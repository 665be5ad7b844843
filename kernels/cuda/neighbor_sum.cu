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
#include "neighbor_sum.cuh"

/* ---- neighbor_sum: out[i] = sum over k of w[i,k] x[k] ---- */

template <class T>
static __global__ void sum_kernel(int64_t n, int64_t k, int64_t cols, const float *w, const T *x,
                                  neighbours h, T *out) {
  for (int64_t i = tkg_first_row(); i < n; i += tkg_row_stride())
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x)
      out[i * cols + j] = sum_of_neighbours(h, 0, i, k, cols, j, w, x);
}

template <class T>
static void sum_launch(const tkg_call *c, int64_t cols, const neighbours &h, cudaStream_t stream) {
  const int64_t n = tkg__rows(c->node), k = tkg__cols(c->in[0]);
  tkg_launch(sum_kernel<T>, tkg_tile(n, cols), stream, n, k, cols, tkg_in<float>(c, 0),
             tkg_in<T>(c, 1), h, tkg_out<T>(c));
}

static int sum_run(const tkg_call *c, cudaStream_t stream) {
  const neighbours h = neighbours_of(c);
  const int64_t d = tkg__cols(c->in[1]);
  if (d == 0 && h.ids)
    tkg__check_ids(h.ids, tkg__count(c->in[2]), h.rows, h.error, stream);
  else if (tkg_vec4_aligned(c->data[1], d) && tkg_vec4_aligned(c->out, d))
    sum_launch<float4>(c, d / 4, h, stream);
  else
    sum_launch<float>(c, d, h, stream);
  return TKG_OK;
}

/* ---- neighbor_dot, relation_score: out[i,k] = g[i] . x[k] ---- */

template <class T>
static __global__ void dot_kernel(int64_t n, int64_t k, int64_t cols, int width, const T *g,
                                  const T *x, neighbours h, float *out) {
  dots_of_neighbours(tkg_in_grid(), h, 0, n, k, cols, width, g, x, out);
}

template <class T>
static void dot_launch(const tkg_call *c, int64_t cols, const neighbours &h, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node), k = tkg__cols(c->node);
  const int width = tkg_group_width(cols);
  tkg_launch(dot_kernel<T>, tkg_groups(n, width), stream, n, k, cols, width, tkg_in<T>(c, 0),
             tkg_in<T>(c, 1), h, tkg_out<float>(c));
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
