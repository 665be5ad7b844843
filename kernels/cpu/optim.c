/* Optimizer updates, in place: SGD, with momentum; Adam; Adagrad. A unit is a block of 1,024
 * elements. Weight decay is an L2 penalty: g becomes g + decay p; AdamW's is apart (adam.h). */
#include <math.h>

#include "adam.h"
#include "base/error.h"
#include "flat.h"
#include "isa.h"
#include "shared/vmath.h"

/* buffer = momentum * buffer + g; p -= lr * buffer (as PyTorch: lr outside the buffer). */
static void sgd_momentum(float *p, const float *g, float *buffer, int64_t n, float lr,
                         float momentum, float decay) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float gradient = g[i] + decay * p[i];
    buffer[i] = momentum * buffer[i] + gradient;
    p[i] -= lr * buffer[i];
  }
}

static void sgd_plain(float *p, const float *g, int64_t n, float lr, float decay) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) p[i] -= lr * (g[i] + decay * p[i]);
}

static int sgd_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  float *p = (float *)c->data[0] + first, *buffer = c->data[2];
  const float *g = (const float *)c->data[1] + first;
  float lr = (float)update_lr(c), momentum = (float)c->node->f[0], decay = (float)c->node->f[1];
  if (buffer)
    sgd_momentum(p, g, buffer + first, n, lr, momentum, decay);
  else
    sgd_plain(p, g, n, lr, decay);
  return TKG_OK;
}

static int adam_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  adam_update((float *)c->data[0] + first, (const float *)c->data[1] + first,
              (float *)c->data[2] + first, (float *)c->data[3] + first, n, adam_of(c));
  return TKG_OK;
}

/* Duchi, Hazan and Singer, JMLR 2011, diagonal form. */
static void adagrad_update(float *p, const float *g, float *sum, int64_t n, float lr, float eps,
                           float decay) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    float gradient = g[i] + decay * p[i];
    sum[i] += gradient * gradient;
    p[i] -= lr * gradient / (sqrtf(sum[i]) + eps);
  }
}

static int adagrad_run(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t first = flat_at(c, begin), n = flat_at(c, end) - first;
  adagrad_update((float *)c->data[0] + first, (const float *)c->data[1] + first,
                 (float *)c->data[2] + first, n, (float)update_lr(c), (float)c->node->f[0],
                 (float)c->node->f[1]);
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_optim)[] = {
    {.op = TKG_OP_SGD, .run = sgd_run, .units = flat_units},
    {.op = TKG_OP_ADAM, .run = adam_run, .units = flat_units, .work = flat_work_4},
    {.op = TKG_OP_ADAGRAD, .run = adagrad_run, .units = flat_units, .work = flat_work_4},
    {0},
};
