/* The peak of an op-by-op FP32 program: `reference_peak`. */
#ifndef TKG_FP32_PEAK_H
#define TKG_FP32_PEAK_H

#include "fp32_baseline.h"
#include "tape/optimizer.h"

/* Memory that such a program holds from step to step. Steps that hold the same have equal keys. */
typedef struct tkg_fp32_held {
  const void *owner, *tensor; /* keys, not to be read: NULL and a tensor, or a tensor's optimizer */
  int64_t bytes;
} tkg_fp32_held;

/* Sets reference_bytes, reference_work and reference_held of a program that ends with its forward
 * nodes. `optimizer` may be NULL. Returns TKG_E_MEMORY if there is no memory. */
int tkg__fp32_reference(tkg_program *p, int loss, const tkg_optimizer *optimizer);

#endif
