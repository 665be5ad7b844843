/* Groups of ops on small values: losses, regularizers, weights of a few rows, numbers.
 *
 * Launched one by one, such ops take a microsecond or two each, whatever they compute. Here one
 * block runs a group of them as whole values, with a barrier behind each; what only the group
 * reads lies in shared memory. Rows are those of each op: any op may read all of what an earlier
 * one has made. Code is that of tiles (tile_code.cuh) with all rows in one tile, but for the ops
 * below, which take any dimensions. */
#include "small.h"

#include "family.h"
#include "tile_code.cuh"
#include "tile_saved.cuh"
#include "view.h"

enum { FEW_SUMS = 8 }; /* sums that the whole block forms, one after the other */
enum { MOST_PRODUCTS = 1 << 18 };

typedef struct small_list {
  int count;
  tile_op op[TKG_MOST_OPS];
} small_list;

/* ---- ops of any dimensions ---- */

template <int OP>
static __device__ __forceinline__ void small_binary(const tile_op &o, const tile_rows &t) {
  const float *a = t.in<float>(o, 0), *b = t.in<float>(o, 1);
  float *out = t.out<float>(o);
  for (int i = tkg_thread(); i < o.rows * o.cols; i += TKG_THREADS) {
    int64_t at[2];
    tkg_view_at<uint32_t>(o.x.view, (uint32_t)i, at);
    out[i] = binary(OP, a[at[0]], b[at[1]]);
  }
}

static __device__ __forceinline__ void small_broadcast(const tile_op &o, const tile_rows &t) {
  const uint32_t *x = t.in<uint32_t>(o, 0);
  uint32_t *out = t.out<uint32_t>(o);
  for (int i = tkg_thread(); i < o.rows * o.cols; i += TKG_THREADS) {
    int64_t at[2];
    tkg_view_at<uint32_t>(o.x.view, (uint32_t)i, at);
    out[i] = x[at[0]];
  }
}

/* Terms first, first + stride, ... of output i. */
static __device__ __forceinline__ double small_terms(const small_sum &s, const float *x, int i,
                                                     int first, int stride) {
  int64_t at[2], term[2];
  double sum = 0;
  tkg_view_at<uint32_t>(s.outs, (uint32_t)i, at);
  for (int k = first; k < s.number; k += stride) {
    tkg_view_at<uint32_t>(s.terms, (uint32_t)k, term);
    sum += (double)x[at[0] + term[0]];
  }
  return sum;
}

static __device__ __forceinline__ void small_sums(const tile_op &o, const tile_rows &t) {
  const small_sum &s = o.x.sum_of;
  const float *x = t.in<float>(o, 0);
  float *out = t.out<float>(o);
  if (s.count <= FEW_SUMS) {
    for (int i = 0; i < s.count; i++) {
      const double sum = tkg_block_sum(small_terms(s, x, i, tkg_thread(), TKG_THREADS));
      if (threadIdx.x == 0) out[i] = (float)sum;
    }
    return;
  }
  const tkg_group g = tkg_group_of(TKG_WARP, tkg_in_block());
  for (int64_t i = g.row; i < s.count; i += g.stride) { /* the same for all lanes of a warp */
    const double sum = tkg_group_sum(small_terms(s, x, (int)i, g.lane, TKG_WARP), TKG_WARP);
    if (g.lane == 0) out[i] = (float)sum;
  }
}

static __device__ __forceinline__ void small_multiply(const tile_op &o, const tile_rows &t) {
  const small_product &p = o.x.pair;
  const float *a = t.in<float>(o, 0), *b = t.in<float>(o, 1);
  float *out = t.out<float>(o);
  for (int q = tkg_thread(); q < p.m * p.n; q += TKG_THREADS) {
    const int i = q / p.n, j = q - i * p.n;
    float sum = 0;
    TKG_UNROLL_4
    for (int l = 0; l < p.k; l++)
      sum = tkg_multiply_add(a[i * p.a_row + l * p.a_column], b[l * p.b_row + j * p.b_column], sum);
    out[q] = sum;
  }
}

/* Zeros, or a base, with the columns of x added from column cols[1] on. */
static __device__ __forceinline__ void small_pad(const tile_op &o, const tile_rows &t) {
  const float *x = t.in<float>(o, 0), *base = o.inputs > 1 ? t.in<float>(o, 1) : NULL;
  float *out = t.out<float>(o);
  const int width = o.x.cols[0], first = o.x.cols[1];
  for (int i = tkg_thread(); i < o.rows * o.cols; i += TKG_THREADS) {
    const int r = i / o.cols, c = i - r * o.cols - first;
    float v = base ? base[i] : 0.0F;
    if (c >= 0 && c < width) v = base ? v + x[r * width + c] : x[r * width + c];
    out[i] = v;
  }
}

static __device__ __forceinline__ void small_dots(const tile_op &o, const tile_rows &t) {
  row_sums<true, 1>(tkg_in_block(), o.x.cols[0], o.x.cols[1], o.width, t.in<float>(o, 0),
                    t.in<float>(o, 1), t.out<float>(o));
}

/* ---- the kernel ---- */

/* Ops whose code is that of tiles, as it is. */
#define SMALL_TILE_OPS(X)                                                                          \
  UNARY_OPS(X)                                                                                     \
  GRAD_OPS(X)                                                                                      \
  X(FULL)                                                                                          \
  X(DROPOUT)                                                                                       \
  X(CONCAT)                                                                                        \
  X(NARROW)                                                                                        \
  X(GATHER)                                                                                        \
  X(ROW_NORM)                                                                                      \
  X(NORMALIZE)                                                                                     \
  X(NORMALIZE_GRAD)                                                                                \
  X(SOFTMAX)                                                                                       \
  X(SOFTMAX_GRAD) X(LOG_SOFTMAX) X(LOG_SOFTMAX_GRAD) X(ENCODE) X(DECODE) X(SIGN_MASK)

static __device__ __forceinline__ void run_op(const small_list &l, int k, const tile_rows &t) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tile_code<TKG_OP_##name>::run(l.op[tkg_opaque(k)], t);
#define Y(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return small_binary<TKG_OP_##name>(l.op[tkg_opaque(k)], t);
  switch (l.op[k].op) {
    SMALL_TILE_OPS(X)
    BINARY_OPS(Y)
  case TKG_OP_BROADCAST:
    return small_broadcast(l.op[tkg_opaque(k)], t);
  case TKG_OP_SUM:
    return small_sums(l.op[tkg_opaque(k)], t);
  case TKG_OP_MATMUL:
    return small_multiply(l.op[tkg_opaque(k)], t);
  case TKG_OP_PAD:
    return small_pad(l.op[tkg_opaque(k)], t);
  case TKG_OP_DOT:
    return small_dots(l.op[tkg_opaque(k)], t);
  }
#undef X
#undef Y
}

static __global__ void __launch_bounds__(TKG_THREADS, 1) small_kernel(TKG_CONSTANT(small_list) l) {
  TKG_DYNAMIC_SHARED(char, memory);
  TKG_SHARED(shared_noise, drawn, [1]);
  TKG_ROLLED
  for (int k = 0; k < l.count; k++) {
    const tile_rows t = {0, l.op[k].rows, true, memory, drawn};
    run_op(l, k, t);
    __syncthreads();
  }
}

/* ---- the list ---- */

/* Elements of rank 3 or more, and of what is joined or cut in any dimension, as rows. */
static void fill_runs(tile_op *o, const tkg_call *c) {
  const tkg_node *n = c->node;
  const int64_t dim = n->i[0];
  o->cols = (int)tkg__run_length(n, dim);
  o->rows = o->cols ? (int)(tkg__count(n) / o->cols) : 0;
}

/* Adds a dimension that is not 1 to a view, behind those that it has. */
static void add_dimension(tkg_view *v, int64_t size, int64_t stride) {
  v->shape[v->rank] = size;
  v->stride[v->rank++][0] = stride;
}

static void fill_sum(tile_op *o, const tkg_call *c) {
  const tkg_node *x = c->in[0];
  small_sum s = {};
  int64_t stride = 1;
  for (int d = x->rank - 1; d >= 0; stride *= x->shape[d--])
    if (x->shape[d] > 1)
      add_dimension(c->node->i[0] >> d & 1 ? &s.terms : &s.outs, x->shape[d], stride);
  if (s.outs.rank == 0) add_dimension(&s.outs, 1, 0);
  if (s.terms.rank == 0) add_dimension(&s.terms, 1, 0);
  s.count = (int)tkg__count(c->node);
  s.number = (int)(tkg__count(x) / s.count);
  o->x.sum_of = s;
}

static void fill_product(tile_op *o, const tkg_call *c) {
  const bool ta = c->node->i[0] != 0, tb = c->node->i[1] != 0;
  const int a = (int)tkg__cols(c->in[0]), b = (int)tkg__cols(c->in[1]);
  o->x.pair = {(int)tkg__rows(c->node),
               (int)tkg__cols(c->node),
               ta ? (int)tkg__rows(c->in[0]) : a,
               ta ? 1 : a,
               ta ? a : 1,
               tb ? 1 : b,
               tb ? b : 1};
}

static void fill_operands(tile_op *o, const tkg_tile_call *t) {
  const tkg_call *c = &t->call;
  o->op = c->node->op;
  o->inputs = c->node->inputs;
  o->in_tile = t->in_tile | (t->out_in_tile ? 1u << TILE_OUT : 0u);
  o->rows = (int)tkg__rows(c->node);
  o->cols = (int)tkg__cols(c->node);
  o->out = static_cast<char *>(c->out);
  o->four = tile_aligned(o->out);
  for (int k = 0; k < c->node->inputs && k < TILE_INPUTS; k++) {
    o->in[k] = static_cast<const char *>(c->data[k]);
    o->four = o->four && tile_aligned(o->in[k]);
  }
}

static int fill(tile_op *o, const tkg_tile_call *t, cudaStream_t stream) {
  const tkg_call *c = &t->call;
  fill_operands(o, t);
  switch (o->op) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    o->x.view = tkg__view(c->node, c->in[0], c->in[1]);                                            \
    return TKG_OK;
    BINARY_OPS(X)
#undef X
  case TKG_OP_BROADCAST:
    o->x.view = tkg__view(c->node, c->in[0], c->in[0]);
    return TKG_OK;
  case TKG_OP_SUM:
    fill_sum(o, c);
    return TKG_OK;
  case TKG_OP_MATMUL:
    fill_product(o, c);
    return TKG_OK;
  case TKG_OP_DOT:
    o->x.cols[0] = (int)tkg__rows(c->in[0]);
    o->x.cols[1] = (int)tkg__cols(c->in[0]);
    o->width = short_row_width<1>(o->x.cols[1]);
    return TKG_OK;
  case TKG_OP_CONCAT:
    fill_runs(o, c);
    for (int k = 0; k < TILE_INPUTS; k++)
      o->x.cols[k] = k < o->inputs ? (int)tkg__run_length(c->in[k], c->node->i[0]) : 0;
    o->four = concat_by_four(*o);
    return TKG_OK;
  case TKG_OP_NARROW:
    fill_runs(o, c);
    o->x.cols[0] = (int)tkg__run_length(c->in[0], c->node->i[0]);
    o->x.cols[1] = (int)tkg__skipped(c->node);
    o->four = narrow_by_four(*o);
    return TKG_OK;
  case TKG_OP_PAD:
    fill_runs(o, c);
    o->x.cols[0] = (int)tkg__run_length(c->in[0], c->node->i[0]);
    o->x.cols[1] = (int)tkg__skipped(c->node);
    return TKG_OK;
  case TKG_OP_GATHER:
    o->cols = (int)tkg__run_length(c->in[0], 1);
    o->rows = (int)tkg__count(c->in[1]);
    return tile_code<TKG_OP_GATHER>::fill(o, t, stream);
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return tile_code<TKG_OP_##name>::fill(o, t, stream);
    UNARY_OPS(X)
    GRAD_OPS(X)
    X(FULL)
    X(DROPOUT)
    X(ROW_NORM)
    X(NORMALIZE)
    X(NORMALIZE_GRAD)
    X(SOFTMAX) X(SOFTMAX_GRAD) X(LOG_SOFTMAX) X(LOG_SOFTMAX_GRAD) X(ENCODE) X(DECODE) X(SIGN_MASK)
#undef X
  }
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: not in a small group", tkg__ops[o->op].name);
}

int tkg__run_small(const tkg_tile_call *calls, int n, int64_t tile_bytes, cudaStream_t stream) {
  small_list list = {};
  for (int k = 0; k < n; k++) {
    const int status = fill(&list.op[k], &calls[k], stream);
    if (status)
      return calls[k].call.where ? tkg__fail_at(status, "%s", calls[k].call.where) : status;
  }
  list.count = n;
  tkg_launch(small_kernel, {dim3(n > 0), dim3(TKG_THREADS), (size_t)tile_bytes}, stream, list);
  return TKG_OK;
}

cudaError_t tkg__small_open(int most_bytes) {
  return cudaFuncSetAttribute(small_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              most_bytes);
}

/* ---- the rule ---- */

static bool fits(const tkg_node *n) {
  const int64_t count = tkg__count(n);
  return count > 0 && count <= TKG_SMALL;
}

static bool runs_op(const tkg_node *n, const tkg_node *const *in) {
  switch (n->op) {
  case TKG_OP_GATHER:
    return in[0]->dtype == n->dtype && in[0]->rank > 0 && tkg__count(in[0]) > 0 && fits(in[1]);
  case TKG_OP_CONCAT:
    return n->inputs <= TILE_INPUTS;
  case TKG_OP_SOFTMAX:
  case TKG_OP_SOFTMAX_GRAD:
  case TKG_OP_LOG_SOFTMAX:
  case TKG_OP_LOG_SOFTMAX_GRAD:
    return n->rank > 0 && tile_code<TKG_OP_SOFTMAX>::runs(n, in);
  case TKG_OP_DOT:
    return tkg__cols(in[0]) <= SHORT_ROW;
  case TKG_OP_MATMUL:
    return n->rank == 2 && in[0]->rank == 2 && in[1]->rank == 2 &&
           tkg__count(n) * (n->i[0] ? tkg__rows(in[0]) : tkg__cols(in[0])) <= MOST_PRODUCTS;
#define X(name, ...) case TKG_OP_##name:
    BINARY_OPS(X) return in[1]->dtype == TKG_F32; /* SELECT's condition may be a mask of bits */
    UNARY_OPS(X)
    GRAD_OPS(X)
    X(FULL)
    X(DROPOUT)
    X(NARROW)
    X(PAD)
    X(BROADCAST)
    X(SUM)
    X(ROW_NORM)
    X(NORMALIZE)
    X(NORMALIZE_GRAD)
    X(ENCODE)
    X(DECODE)
    X(SIGN_MASK)
#undef X
    return true;
  }
  return false;
}

bool tkg__runs_small(const tkg_node *node, const tkg_node *const *in) {
  if (!fits(node) || node->dtype == TKG_BF16) return false;
  for (int k = 0; k < node->inputs; k++) {
    const bool table = node->op == TKG_OP_GATHER && k == 0;
    if (!table && (!fits(in[k]) || in[k]->dtype == TKG_BF16)) return false;
  }
  return runs_op(node, in);
}
