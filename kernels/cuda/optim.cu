/* Optimizer updates: parameter and state change in place. Weight decay is an L2 penalty: decay * p
 * joins the gradient.
 *
 * An update reads and writes up to seven arrays and computes next to nothing, so all that counts is
 * the width of the accesses: four elements a thread, neighbouring threads beside each other. What
 * a rule does to one element is a function; one kernel applies any of them.
 *
 * The learning rate differs from run to run, so kernels read it from the run's values.
 *
 * An update cannot be taken back, so none is made once a kernel of the run has met a bad id: what
 * came out of that kernel is no gradient. */
#include "adam.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"

/* ---- rules: the new p; STATES arrays of state beside it change too ---- */

struct sgd_plain {
  enum { STATES = 0 };
  float decay, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr; }
  __device__ __forceinline__ float step(float p, float g, float *, float *) const {
    return p - lr * (g + decay * p);
  }
};

/* buffer = momentum * buffer + g; p -= lr * buffer (as PyTorch: lr outside the buffer). */
struct sgd_momentum {
  enum { STATES = 1 };
  float momentum, decay, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr; }
  __device__ __forceinline__ float step(float p, float g, float *buffer, float *) const {
    const float gradient = g + decay * p;
    *buffer = momentum * *buffer + gradient;
    return p - lr * *buffer;
  }
};

/* Duchi, Hazan, Singer 2011, diagonal form. */
struct adagrad {
  enum { STATES = 1 };
  float eps, decay, lr = 0;

  __device__ __forceinline__ void read(const tkg_run_params *run) { lr = run->lr; }
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

static __device__ __forceinline__ float4 load_four(const float *x, int64_t quad) {
  return reinterpret_cast<const float4 *>(x)[quad];
}
static __device__ __forceinline__ void store_four(float *x, int64_t quad, float4 v) {
  reinterpret_cast<float4 *>(x)[quad] = v;
}

template <class RULE>
static __device__ __forceinline__ void update_four(const update_arrays &x, int64_t quad,
                                                   const RULE &rule) {
  const float4 none = make_float4(0, 0, 0, 0), g = load_four(x.g, quad);
  float4 p = load_four(x.p, quad);
  float4 m = RULE::STATES > 0 ? load_four(x.m, quad) : none;
  float4 v = RULE::STATES > 1 ? load_four(x.v, quad) : none;
  p.x = rule.step(p.x, g.x, &m.x, &v.x);
  p.y = rule.step(p.y, g.y, &m.y, &v.y);
  p.z = rule.step(p.z, g.z, &m.z, &v.z);
  p.w = rule.step(p.w, g.w, &m.w, &v.w);
  store_four(x.p, quad, p);
  if (RULE::STATES > 0) store_four(x.m, quad, m);
  if (RULE::STATES > 1) store_four(x.v, quad, v);
}

/* The first 4 * quads elements by four, the others one by one. */
template <class RULE>
static __global__ void update_kernel(int64_t n, int64_t quads, update_arrays x, RULE rule,
                                     const tkg_run_params *run, const unsigned *failed) {
  if (*failed) return;
  rule.read(run);
  for (int64_t i = tkg_first(); i < quads; i += tkg_stride()) update_four(x, i, rule);
  for (int64_t i = 4 * quads + tkg_first(); i < n; i += tkg_stride()) {
    float none = 0;
    x.p[i] = rule.step(x.p[i], x.g[i], RULE::STATES > 0 ? x.m + i : &none,
                       RULE::STATES > 1 ? x.v + i : &none);
  }
}

/* ---- launcher ---- */

template <class RULE> static int update(const tkg_call *c, const RULE &rule, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  const update_arrays x = {static_cast<float *>(c->data[0]), static_cast<float *>(c->data[2]),
                           static_cast<float *>(c->data[3]), tkg_in<float>(c, 1)};
  bool four = tkg_vec4_aligned(x.p, 0) && tkg_vec4_aligned(x.g, 0);
  if (RULE::STATES > 0) four = four && tkg_vec4_aligned(x.m, 0);
  if (RULE::STATES > 1) four = four && tkg_vec4_aligned(x.v, 0);
  const int64_t quads = four ? n / 4 : 0;
  tkg_launch(update_kernel<RULE>, tkg_flat(quads > 0 ? quads : n), stream, n, quads, x, rule,
             tkg__run_params(), tkg__run_failed());
  return TKG_OK;
}

/* ---- entries ---- */

static int sgd_run(const tkg_call *c, cudaStream_t stream) {
  const float momentum = (float)c->node->f[0], decay = (float)c->node->f[1];
  if (!c->data[2]) return update(c, sgd_plain{decay}, stream);
  return update(c, sgd_momentum{momentum, decay}, stream);
}

static int adam_run(const tkg_call *c, cudaStream_t stream) {
  adam a;
  const int status = adam_of(c, &a);
  return status ? status : update(c, a, stream);
}

static int adagrad_run(const tkg_call *c, cudaStream_t stream) {
  const float eps = (float)c->node->f[0], decay = (float)c->node->f[1];
  return update(c, adagrad{eps, decay}, stream);
}

const tkg_cuda_op tkg__cuda_optim[] = {
    {TKG_OP_SGD, sgd_run, NULL},
    {TKG_OP_ADAM, adam_run, NULL},
    {TKG_OP_ADAGRAD, adagrad_run, NULL},
    {0, NULL, NULL},
};
