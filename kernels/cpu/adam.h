/* Adam: its constants in a run, for moments in 32 and in 8 bits, and its rule in 32 bits. */
#ifndef TKG_CPU_ADAM_H
#define TKG_CPU_ADAM_H

#include <math.h>

#include "kernel.h"
#include "shared/moments.h"

/* The learning rate of an update: the run's, times the parameter's factor. */
static inline double update_lr(const tkg_call *c) {
  const double factor = c->node->f[TKG_UPDATE_RATE];
  return factor > 0 ? c->context->lr * factor : c->context->lr;
}

typedef struct adam {
  float beta1, beta2, rest1, rest2; /* rest = 1 - beta */
  float eps, decay;
  float keep;  /* what is left of p before the step: 1, or 1 - lr decay of AdamW */
  float rate;  /* lr / (1 - beta1^t) */
  float scale; /* 1 / sqrt(1 - beta2^t) */
} adam;

/* With TKG_ADAM_HAT the node's eps is added to sqrt(v) before v is corrected: (sqrt(v) + eps)
 * scale. It is multiplied by `scale` here, so that both forms are sqrt(v) scale + eps. */
static inline adam adam_of(const tkg_call *c) {
  const double *f = c->node->f, scale = 1.0 / sqrt(1.0 - pow(f[1], c->context->t));
  const bool decoupled = c->node->i[0] & TKG_ADAM_DECOUPLED;
  const double lr = update_lr(c);
  return (adam){
      .beta1 = (float)f[0],
      .beta2 = (float)f[1],
      .rest1 = (float)(1.0 - f[0]),
      .rest2 = (float)(1.0 - f[1]),
      .eps = (float)(c->node->i[0] & TKG_ADAM_HAT ? f[2] * scale : f[2]),
      .decay = decoupled ? 0 : (float)f[3],
      .keep = decoupled ? (float)(1.0 - lr * f[3]) : 1,
      .rate = (float)(lr / (1.0 - pow(f[0], c->context->t))),
      .scale = (float)scale,
  };
}

/* The loop of adam_update; whether there is weight decay, and of which kind, are constants. */
TKG_INLINE void adam_loop(float *p, const float *g, float *m, float *v, int64_t n, const adam a,
                          bool decays, bool decoupled) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float gradient = decays ? g[i] + a.decay * p[i] : g[i];
    const float first = tkg__first_settled(a.beta1 * m[i] + a.rest1 * gradient);
    const float second = tkg__second_settled(a.beta2 * v[i] + a.rest2 * (gradient * gradient));
    m[i] = first;
    v[i] = second;
    p[i] = (decoupled ? a.keep * p[i] : p[i]) - a.rate * first / (sqrtf(second) * a.scale + a.eps);
  }
}

/* Kingma and Ba, ICLR 2015, algorithm 1: m and v are corrected for their start at zero. */
static inline void adam_update(float *p, const float *g, float *m, float *v, int64_t n,
                               const adam a) {
  if (a.decay != 0)
    adam_loop(p, g, m, v, n, a, true, false);
  else if (a.keep != 1)
    adam_loop(p, g, m, v, n, a, false, true);
  else
    adam_loop(p, g, m, v, n, a, false, false);
}

#endif
