/* Saved tensors: ENCODE, DECODE and SIGN_MASK, by the codec's kernels of the same instruction set.
 * Noise is numbered by rows of the matrix view, so a codes node carries the shape of the value that
 * it encodes. */
#include "base/error.h"
#include "codec.h"
#include "flat.h"
#include "row_blocks.h"

/* Units are blocks of rows, whose signs are whole bytes. */
enum { ENCODED_ROWS = 8 };

static int64_t encode_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (tkg__rows(node) + ENCODED_ROWS - 1) / ENCODED_ROWS;
}

static int encode_rows(const tkg_call *c, int64_t first, int64_t last) {
  const tkg__codec_kernels *kernels = &TKG_ISA_NAME(tkg__cpu_codec);
  const int64_t cols = tkg__cols(c->node), rows = tkg__rows(c->node);
  const tkg_codec codec = codec_of(c, c->node);
  kernels->encode(&codec, c->data[0], cols, rows, first, last, c->out);
  if (c->node->i[3])
    kernels->sign_mask(c->data[0], first * cols, last * cols,
                       (uint8_t *)c->out + tkg__signs_at(c->node));
  return TKG_OK;
}

static int encode(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t rows = tkg__rows(c->node), last = end * ENCODED_ROWS;
  return encode_rows(c, begin * ENCODED_ROWS, last < rows ? last : rows);
}

static void decode_block(const tkg_call *c, const tkg_codec *codec, int64_t first, int64_t last) {
  const int64_t cols = tkg__cols(c->node);
  float *x = (float *)c->out + first * cols;
  TKG_ISA_NAME(tkg__cpu_codec).decode(codec, c->data[0], cols, tkg__rows(c->node), first, last, x);
  if (c->node->i[3])
    restore_zeros(x, (const uint8_t *)c->data[0] + tkg__signs_at(c->in[0]), first * cols,
                  (last - first) * cols);
}

enum { BLOCKS = 4 }; /* of rows at a time: to begin takes as long as to decode half of one */

/* Zeros are restored in blocks of rows that are still in cache. */
static int decode(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_codec codec = codec_of(c, c->node);
  const int64_t cols = tkg__cols(c->node),
                block = c->node->i[3] ? BLOCKS * rows_per_block(cols) : end - begin;
  for (int64_t r = begin; r < end; r += block)
    decode_block(c, &codec, r, r + block < end ? r + block : end);
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
    {.op = TKG_OP_ENCODE,
     .run = encode,
     .units = encode_units,
     .work = flat_work_4,
     .rows = encode_rows},
    {.op = TKG_OP_DECODE, .run = decode, .work = flat_work_4},
    {.op = TKG_OP_SIGN_MASK, .run = sign_mask, .units = mask_units},
    {0},
};
