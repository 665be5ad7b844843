/* Kept copies: ENCODE, DECODE and SIGN_MASK, by the codec's kernels of the same instruction set.
 * Rows are those of the matrix view of the value, so an aliased shape would change the noise: a
 * codes node carries the shape of what it encodes. */
#include "base/op.h"
#include "flat.h"
#include "isa.h"
#include "shared/codec.h"

extern const tkg__codec_kernels TKG_ISA_NAME(tkg__cpu_codec);

static tkg_codec codec_of(const tkg_call *c) {
  return (tkg_codec){.bits = (int)c->node->i[0],
                     .rounding = (int)c->node->i[1],
                     .seed = c->context->seed,
                     .step = c->context->step,
                     .stream = (uint32_t)c->node->i[2]};
}

static int encode(const tkg_call *c, int64_t begin, int64_t end) {
  tkg_codec codec = codec_of(c);
  TKG_ISA_NAME(tkg__cpu_codec)
      .encode(&codec, c->data[0], tkg__cols(c->in[0]), tkg__rows(c->in[0]), begin, end, c->out);
  return 0;
}

static int decode(const tkg_call *c, int64_t begin, int64_t end) {
  tkg_codec codec = codec_of(c);
  int64_t cols = tkg__cols(c->node);
  TKG_ISA_NAME(tkg__cpu_codec)
      .decode(&codec, c->data[0], cols, tkg__rows(c->node), begin, end,
              (float *)c->out + begin * cols);
  return 0;
}

/* Drawing a number costs more than a load and a store. */
static int64_t codec_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 4 * tkg__count(node);
}

/* ---- sign_mask: units are blocks of elements, a whole number of the mask's bytes ---- */

enum { MASK_BLOCK = FLAT_BLOCK };

static int64_t mask_units(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return (tkg__count(in[0]) + MASK_BLOCK - 1) / MASK_BLOCK;
}

static int sign_mask(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t count = tkg__count(c->in[0]), last = end * MASK_BLOCK;
  TKG_ISA_NAME(tkg__cpu_codec)
      .sign_mask(c->data[0], begin * MASK_BLOCK, last < count ? last : count, c->out);
  return 0;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_kept)[] = {
    {.op = TKG_OP_ENCODE, .run = encode, .work = codec_work},
    {.op = TKG_OP_DECODE, .run = decode, .work = codec_work},
    {.op = TKG_OP_SIGN_MASK, .run = sign_mask, .units = mask_units},
    {0},
};
