#ifndef TKG_FP32_BASELINE_H
#define TKG_FP32_BASELINE_H

#include "program.h"

/* Returns the bytes that an op-by-op FP32 autograd tape would save for this program, which ends
 * with its forward nodes (fp32_baseline.c). */
int64_t tkg__fp32_baseline_bytes(const tkg_program *p, int loss);

#endif
