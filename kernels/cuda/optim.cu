/* Optimizer updates, in place: SGD p -= lr g, with momentum; Adam; Adagrad. Weight decay is an L2
 * penalty: g becomes g + decay p.
 *
 * An update reads and writes up to seven arrays of the parameter's size and computes next to
 * nothing, so only the width of the accesses counts: four elements (16 bytes) per thread, and
 * neighbouring threads at neighbouring addresses. Elements are independent, so results repeat bit
 * for bit. A rule is a function of one element; one kernel applies any of them.
 *
 * The learning rate differs from run to run, so kernels read it from the run's parameters. An
 * update cannot be undone, so none is made once a kernel of the run has reported an error: its
 * output is no gradient. */
#include "adam.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "small.h"
#include "vec4.cuh"

/* ---- rules: `step` returns the new p and updates STATES numbers of state ---- */

struct sgd_plain {
  enum { STATES = 0 };
  float decay, factor, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr * factor; }
  __device__ __forceinline__ float step(float p, float g, float *, float *) const {
    return p - lr * (g + decay * p);
  }
};

/* buffer = momentum * buffer + g; p -= lr * buffer (as PyTorch: lr outside the buffer). */
struct sgd_momentum {
  enum { STATES = 1 };
  float momentum, decay, factor, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr * factor; }
  __device__ __forceinline__ float step(float p, float g, float *buffer, float *) const {
    const float gradient = g + decay * p;
    *buffer = momentum * *buffer + gradient;
    return p - lr * *buffer;
  }
};

/* Duchi, Hazan and Singer, JMLR 2011, diagonal form. */
struct adagrad {
  enum { STATES = 1 };
  float eps, decay, factor, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr * factor; }
  __device__ __forceinline__ float step(float p, float g, float *sum, float *) const {
    const float gradient = g + decay * p;
    *sum += gradient * gradient;
    return p - lr * gradient / (sqrtf(*sum) + eps);
  }
};

/* ---- kernel ---- */

struct update_arrays {
  float *p, *m, *v; /* the parameter and its state; NULL where the rule has none */
  const float *g;
};

/* Elements V i .. V i + V - 1. */
template <int V, class RULE>
static __device__ __forceinline__ void update_unit(const update_arrays &x, int64_t i,
                                                   const RULE &rule) {
  float p[V], g[V], m[V] = {}, v[V] = {};
  load_unit(p, x.p + i * V);
  load_unit(g, x.g + i * V);
  if (RULE::STATES > 0) load_unit(m, x.m + i * V);
  if (RULE::STATES > 1) load_unit(v, x.v + i * V);
  TKG_UNROLL
  for (int k = 0; k < V; k++) p[k] = rule.step(p[k], g[k], &m[k], &v[k]);
  store_unit(p, x.p + i * V);
  if (RULE::STATES > 0) store_unit(m, x.m + i * V);
  if (RULE::STATES > 1) store_unit(v, x.v + i * V);
}

/* The first 4 * n4 elements by four, the others one by one. */
template <class RULE>
static __global__ void update_kernel(int64_t n, int64_t n4, update_arrays x, RULE rule,
                                     const tkg_run_params *run, const unsigned *failed) {
  if (*failed) return;
  rule.read(run);
  for (int64_t i = tkg_first(); i < n4; i += tkg_stride()) update_unit<4>(x, i, rule);
  for (int64_t i = 4 * n4 + tkg_first(); i < n; i += tkg_stride()) update_unit<1>(x, i, rule);
}

/* ---- launcher ---- */

template <class RULE> static int update(const tkg_call *c, const RULE &rule, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  const update_arrays x = {static_cast<float *>(c->data[0]), static_cast<float *>(c->data[2]),
                           static_cast<float *>(c->data[3]), tkg_in<float>(c, 1)};
  bool four = tkg_vec4_aligned(x.p, 0) && tkg_vec4_aligned(x.g, 0);
  if (RULE::STATES > 0) four = four && tkg_vec4_aligned(x.m, 0);
  if (RULE::STATES > 1) four = four && tkg_vec4_aligned(x.v, 0);
  const int64_t n4 = four ? n / 4 : 0;
  tkg_launch(update_kernel<RULE>, tkg_flat(n4 > 0 ? n4 : n), stream, n, n4, x, rule,
             tkg__run_params(), tkg__run_failed());
  return TKG_OK;
}

/* ---- entries ---- */

static int sgd_run(const tkg_call *c, cudaStream_t stream) {
  const float momentum = (float)c->node->f[0], decay = (float)c->node->f[1];
  const float factor = tkg_update_factor(c);
  if (!c->data[2]) return update(c, sgd_plain{decay, factor}, stream);
  return update(c, sgd_momentum{momentum, decay, factor}, stream);
}

static int adam_run(const tkg_call *c, cudaStream_t stream) {
  adam a;
  const int status = adam_of(c, &a);
  return status ? status : update(c, a, stream);
}

static int adagrad_run(const tkg_call *c, cudaStream_t stream) {
  const float eps = (float)c->node->f[0], decay = (float)c->node->f[1];
  const float factor = tkg_update_factor(c);
  return update(c, adagrad{eps, decay, factor}, stream);
}

/* ---- several small parameters at once ---- */

typedef struct update_list {
  int64_t n[TKG_MOST_OPS];
  update_arrays of[TKG_MOST_OPS];
  float factor[TKG_MOST_OPS]; /* of the learning rate */
} update_list;

/* One row of blocks per parameter. */
static __global__ void updates_kernel(TKG_CONSTANT(update_list) l, adam rule,
                                      const tkg_run_params *run, const unsigned *failed) {
  if (*failed) return;
  rule.factor = l.factor[blockIdx.y];
  rule.read(run);
  for (int64_t i = tkg_first(); i < l.n[blockIdx.y]; i += tkg_stride())
    update_unit<1>(l.of[blockIdx.y], i, rule);
}

int tkg__run_updates(const tkg_tile_call *calls, int n, cudaStream_t stream) {
  update_list l = {};
  adam a;
  int64_t most = 0;
  const int status = adam_of(&calls->call, &a);
  if (status) return status;
  for (int k = 0; k < n && k < TKG_MOST_OPS; k++) {
    const tkg_call *c = &calls[k].call;
    l.n[k] = tkg__count(c->node);
    l.of[k] = {static_cast<float *>(c->data[0]), static_cast<float *>(c->data[2]),
               static_cast<float *>(c->data[3]), tkg_in<float>(c, 1)};
    l.factor[k] = tkg_update_factor(c);
    if (l.n[k] > most) most = l.n[k];
  }
  tkg_shape shape = tkg_flat(most);
  shape.grid.y = (unsigned)n;
  tkg_launch(updates_kernel, shape, stream, l, a, tkg__run_params(), tkg__run_failed());
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_optim[] = {
    {TKG_OP_SGD, sgd_run, NULL},
    {TKG_OP_ADAM, adam_run, NULL},
    {TKG_OP_ADAGRAD, adagrad_run, NULL},
    {0, NULL, NULL},
};
