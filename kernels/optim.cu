/* Optimizer updates: parameter and state change in place. Weight decay is an L2 penalty: decay * p
 * joins the gradient.
 *
 * An update cannot be taken back, so none is made once a kernel of the run has met a bad id: what
 * came out of that kernel is no gradient. */
#include "family.h"
#include "faults.h"
#include "launch.h"

/* ---- SGD ---- */

/* buffer = momentum * buffer + g; p -= lr * buffer (as PyTorch: lr outside the buffer). */
static __global__ void sgd_kernel(int64_t n, float *p, const float *g, float *buffer, float lr,
                                  float momentum, float decay, const unsigned *failed) {
  if (*failed) return;
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) {
    const float gradient = g[i] + decay * p[i];
    if (buffer) {
      buffer[i] = momentum * buffer[i] + gradient;
      p[i] -= lr * buffer[i];
    } else {
      p[i] -= lr * gradient;
    }
  }
}

static int sgd_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(sgd_kernel, tkg_flat(n), stream, n, static_cast<float *>(c->data[0]),
             tkg_in<float>(c, 1), static_cast<float *>(c->data[2]), (float)c->lr,
             (float)c->node->f[0], (float)c->node->f[1], tkg__fault_failed());
  return TKG_OK;
}

/* ---- Adam (Kingma and Ba 2015, algorithm 1): m and v are corrected for their start at zero ----
 */

typedef struct adam {
  float beta1, beta2, rest1, rest2; /* rest = 1 - beta */
  float eps, decay;
  float rate;  /* lr / (1 - beta1^t) */
  float scale; /* 1 / sqrt(1 - beta2^t) */
} adam;

static adam adam_of(const tkg_call *c) {
  const double *f = c->node->f;
  adam a;
  a.beta1 = (float)f[0];
  a.beta2 = (float)f[1];
  a.rest1 = (float)(1.0 - f[0]);
  a.rest2 = (float)(1.0 - f[1]);
  a.eps = (float)f[2];
  a.decay = (float)f[3];
  a.rate = (float)(c->lr / (1.0 - pow(f[0], c->t)));
  a.scale = (float)(1.0 / sqrt(1.0 - pow(f[1], c->t)));
  return a;
}

static __device__ __forceinline__ float adam_step(const adam &a, float p, float g, float *m,
                                                  float *v) {
  const float gradient = g + a.decay * p;
  *m = a.beta1 * *m + a.rest1 * gradient;
  *v = a.beta2 * *v + a.rest2 * (gradient * gradient);
  return p - a.rate * *m / (sqrtf(*v) * a.scale + a.eps);
}

/* Four elements a thread: seven streams of memory, so accesses had better be wide. */
static __global__ void adam_kernel(int64_t n, int64_t quads, float *p, const float *g, float *m,
                                   float *v, adam a, const unsigned *failed) {
  if (*failed) return;
  for (int64_t i = tkg_first(); i < quads; i += tkg_stride()) {
    float4 *p4 = reinterpret_cast<float4 *>(p) + i, *m4 = reinterpret_cast<float4 *>(m) + i;
    float4 *v4 = reinterpret_cast<float4 *>(v) + i, pi = *p4, mi = *m4, vi = *v4;
    const float4 gi = reinterpret_cast<const float4 *>(g)[i];
    pi.x = adam_step(a, pi.x, gi.x, &mi.x, &vi.x);
    pi.y = adam_step(a, pi.y, gi.y, &mi.y, &vi.y);
    pi.z = adam_step(a, pi.z, gi.z, &mi.z, &vi.z);
    pi.w = adam_step(a, pi.w, gi.w, &mi.w, &vi.w);
    *p4 = pi;
    *m4 = mi;
    *v4 = vi;
  }
  for (int64_t i = 4 * quads + tkg_first(); i < n; i += tkg_stride())
    p[i] = adam_step(a, p[i], g[i], &m[i], &v[i]);
}

static int adam_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  bool wide = true;
  for (int k = 0; k < 4; k++) wide = wide && tkg_by_four(c->data[k], 0);
  const int64_t quads = wide ? n / 4 : 0;
  tkg_launch(adam_kernel, tkg_flat(quads > 0 ? quads : n), stream, n, quads,
             static_cast<float *>(c->data[0]), tkg_in<float>(c, 1),
             static_cast<float *>(c->data[2]), static_cast<float *>(c->data[3]), adam_of(c),
             tkg__fault_failed());
  return TKG_OK;
}

/* ---- Adagrad (Duchi, Hazan, Singer 2011), diagonal form ---- */

static __global__ void adagrad_kernel(int64_t n, float *p, const float *g, float *sum, float lr,
                                      float eps, float decay, const unsigned *failed) {
  if (*failed) return;
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) {
    const float gradient = g[i] + decay * p[i];
    sum[i] += gradient * gradient;
    p[i] -= lr * gradient / (sqrtf(sum[i]) + eps);
  }
}

static int adagrad_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(adagrad_kernel, tkg_flat(n), stream, n, static_cast<float *>(c->data[0]),
             tkg_in<float>(c, 1), static_cast<float *>(c->data[2]), (float)c->lr,
             (float)c->node->f[0], (float)c->node->f[1], tkg__fault_failed());
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_optim[] = {
    {TKG_OP_SGD, sgd_run, NULL},
    {TKG_OP_ADAM, adam_run, NULL},
    {TKG_OP_ADAGRAD, adagrad_run, NULL},
    {0, NULL, NULL},
};
