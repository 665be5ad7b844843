/* The codec's kernels of the instruction set that a file is compiled for, and the codec of a node.
 */
#ifndef TKG_CPU_CODEC_H
#define TKG_CPU_CODEC_H

#include "code_lanes.h"
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
                     .stream = (uint32_t)node->i[2],
                     .first_row = node->first_row};
}

/* Elements first..first+count-1 of a matrix, just decoded: zero where their bit of `signs` is. A
 * row that is NaN stays so. */
static inline void restore_zeros(float *x, const uint8_t *signs, int64_t first, int64_t count) {
  int64_t i = 0;
  for (; first % 8 == 0 && i + CODE_GROUP <= count; i += CODE_GROUP) {
    uint16_t signs_here;
    memcpy(&signs_here, signs + (first + i) / 8, sizeof signs_here);
#if defined(__AVX512F__)
    const __m512 v = _mm512_loadu_ps(x + i);
    const __mmask16 keep = signs_here | _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    _mm512_storeu_ps(x + i, _mm512_maskz_mov_ps(keep, v));
#else
    for (int k = 0; k < CODE_GROUP; k += WIDTH) {
      const words none = {0}, bit = (none + 1) << code_lanes(k);
      const wide v = wide_load(x + i + k);
      // NOLINTNEXTLINE(misc-redundant-expression): a NaN
      const ints keep = (((none + signs_here) & bit) != 0) | (v != v);
      wide_store(x + i + k, (wide)((ints)v & keep));
    }
#endif
  }
  for (; i < count; i++)
    if (!(signs[(first + i) / 8] >> ((first + i) % 8) & 1) && x[i] == x[i]) x[i] = 0.0F;
}

#endif
