/* RANDOM: numbers of a stream (shared/random_numbers.h). A unit is a block of 1,024 elements of the
 * output's flat array, whose numbers are functions of their positions alone. */
#include "shared/random_numbers.h"

#include "base/error.h"
#include "flat.h"
#include "isa.h"
#include "philox_fill.h"

enum { WORDS = FLAT_BLOCK + 4 * TKG__BLOCKS };

static void uniform_block(const uint32_t *word, float *out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = (float)(int32_t)(word[i] >> 8) * 0x1p-24F;
}

static void gumbel_block(const uint32_t *word, float *out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = random_gumbel(word[i]);
}

static void normal_block(const uint32_t *word, float *out, int64_t n) {
  float one[FLAT_BLOCK / 2], other[FLAT_BLOCK / 2];
#pragma omp simd
  for (int k = 0; k < FLAT_BLOCK / 2; k++)
    random_normal_pair(word[2 * k], word[2 * k + 1], &one[k], &other[k]);
  for (int64_t k = 0; k < n / 2; k++) {
    out[2 * k] = one[k];
    out[2 * k + 1] = other[k];
  }
  if (n % 2) out[n - 1] = one[n / 2];
}

static int random_run(const tkg_call *c, int64_t begin, int64_t end) {
  uint32_t words[WORDS];
  for (int64_t unit = begin; unit < end; unit++) {
    const int64_t first = flat_at(c, unit), n = flat_at(c, unit + 1) - first;
    float *out = (float *)c->out + first;
    tkg__philox_fill(c->context->seed, (uint64_t)((flat_before(c) + first) / 4), FLAT_BLOCK / 4,
                     c->context->step, (uint32_t)c->node->i[1], words);
    if (c->node->i[0] == TKG_RANDOM_UNIFORM)
      uniform_block(words, out, n);
    else if (c->node->i[0] == TKG_RANDOM_NORMAL)
      normal_block(words, out, n);
    else
      gumbel_block(words, out, n);
  }
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_random)[] = {
    {.op = TKG_OP_RANDOM, .run = random_run, .units = flat_units, .work = flat_work_8},
    {0},
};
