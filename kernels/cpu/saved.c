/* Saved tensors: ENCODE, DECODE and SIGN_MASK, by the codec's kernels of the same instruction set.
 * Noise is numbered by rows of the matrix view, so a codes node carries the shape of the value that
 * it encodes. */
#include "base/error.h"
#include "codec.h"
#include "flat.h"

static int encode(const tkg_call *c, int64_t begin, int64_t end) {
  tkg_codec codec = codec_of(c, c->node);
  TKG_ISA_NAME(tkg__cpu_codec)
      .encode(&codec, c->data[0], tkg__cols(c->in[0]), tkg__rows(c->in[0]), begin, end, c->out);
  return TKG_OK;
}

static int decode(const tkg_call *c, int64_t begin, int64_t end) {
  tkg_codec codec = codec_of(c, c->node);
  int64_t cols = tkg__cols(c->node);
  TKG_ISA_NAME(tkg__cpu_codec)
      .decode(&codec, c->data[0], cols, tkg__rows(c->node), begin, end,
              (float *)c->out + begin * cols);
  return TKG_OK;
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
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_saved)[] = {
    {.op = TKG_OP_ENCODE, .run = encode, .work = flat_work_4},
    {.op = TKG_OP_DECODE, .run = decode, .work = flat_work_4},
    {.op = TKG_OP_SIGN_MASK, .run = sign_mask, .units = mask_units},
    {0},
};
