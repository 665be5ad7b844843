/* The codec's kernels of the instruction set that a file is compiled for, and the codec of a node.
 */
#ifndef TKG_CPU_CODEC_H
#define TKG_CPU_CODEC_H

#include "cpu/dispatch/codec.h"
#include "isa.h"
#include "kernel.h"

extern const tkg__codec_kernels TKG_ISA_NAME(tkg__cpu_codec);

/* node: ENCODE, DECODE, or the codes that an op reads. */
static inline tkg_codec codec_of(const tkg_call *c, const tkg_node *node) {
  return (tkg_codec){.bits = (int)node->i[0],
                     .rounding = (int)node->i[1],
                     .seed = c->context->seed,
                     .step = c->context->step,
                     .stream = (uint32_t)node->i[2]};
}

#endif
