/* Adam's rule for one element, for moments in 32 and in 8 bits. */
#ifndef TKG_CUDA_ADAM_H
#define TKG_CUDA_ADAM_H

#include "run_params.h"

/* Kingma and Ba, ICLR 2015, algorithm 1: m and v are corrected for their start at zero. */
struct adam {
  enum { STATES = 2 };
  float beta1, beta2, rest1, rest2; /* rest = 1 - beta */
  float eps, decay;
  float decoupled; /* AdamW's weight decay; decay is 0 then */
  float factor;    /* of the learning rate */
  bool hat;        /* eps is added before v is corrected (section 2 of the paper) */
  float keep = 1;  /* what is left of p before the step: 1 - lr decoupled */
  float rate = 0;  /* lr / (1 - beta1^t) */
  float scale = 0; /* 1 / sqrt(1 - beta2^t) */

  __device__ __forceinline__ void read(const tkg_run_params *run) {
    rate = run->rate * factor;
    scale = run->scale;
    if (hat) eps *= scale;
    keep = 1 - run->lr * factor * decoupled;
  }
  /* m and v come multiplied by their betas. */
  __device__ __forceinline__ float advance(float p, float g, float *m, float *v) const {
    const float gradient = g + decay * p;
    *m = tkg__first_settled(*m + rest1 * gradient);
    *v = tkg__second_settled(*v + rest2 * (gradient * gradient));
    return keep * p - rate * *m / (sqrtf(*v) * scale + eps);
  }
  /* The same with a row's v, whose root and quotient are computed once. */
  __device__ __forceinline__ float row_step(float v) const {
    return rate / (sqrtf(v) * scale + eps);
  }
  __device__ __forceinline__ float step(float p, float g, float *m, float *v) const {
    *m = beta1 * *m;
    *v = beta2 * *v;
    return advance(p, g, m, v);
  }
};

/* What multiplies the learning rate of an update. */
static inline float tkg_update_factor(const tkg_call *c) {
  const double factor = c->node->f[TKG_UPDATE_RATE];
  return factor > 0 ? (float)factor : 1.0F;
}

/* Reads the rule of a call. TKG_E_ARGUMENT if its betas are not the run's, for which `rate` and
 * `scale` were computed. */
static inline int adam_of(const tkg_call *c, adam *a) {
  const double *f = c->node->f;
  if (f[0] != c->context->beta1 || f[1] != c->context->beta2)
    return tkg__fail(TKG_E_ARGUMENT, "adam: betas %g, %g in a run of %g, %g", f[0], f[1],
                     c->context->beta1, c->context->beta2);
  a->beta1 = (float)f[0];
  a->beta2 = (float)f[1];
  a->rest1 = (float)(1.0 - f[0]);
  a->rest2 = (float)(1.0 - f[1]);
  a->eps = (float)f[2];
  const bool decoupled = c->node->i[0] & TKG_ADAM_DECOUPLED;
  a->decay = decoupled ? 0 : (float)f[3];
  a->decoupled = decoupled ? (float)f[3] : 0;
  a->factor = tkg_update_factor(c);
  a->hat = c->node->i[0] & TKG_ADAM_HAT;
  return TKG_OK;
}

#endif
