/* Shape rules: a node whose shape is wanted, its inputs, and how to refuse them. */
#ifndef TKG_SHAPE_H
#define TKG_SHAPE_H

#include <string.h>

#include "base/error.h"
#include "tape.h"

typedef struct tkg_inference {
  tkg_node *out;
  const tkg_node *in[TKG_MAX_INPUTS];
} tkg_inference;

static inline const char *tkg__name_of(const tkg_inference *s) { return tkg__ops[s->out->op].name; }

static inline int tkg__misfit(const tkg_inference *s, int a, int b, const char *why) {
  char left[TKG_SHAPE_TEXT], right[TKG_SHAPE_TEXT];
  return tkg__fail(TKG_E_SHAPE, "%s: %s and %s do not fit: %s", tkg__name_of(s),
                   tkg__shape_text(s->in[a], left), tkg__shape_text(s->in[b], right), why);
}

static inline int tkg__unfit(const tkg_inference *s, int a, const char *why) {
  char text[TKG_SHAPE_TEXT];
  return tkg__fail(TKG_E_SHAPE, "%s: %s does not fit: %s", tkg__name_of(s),
                   tkg__shape_text(s->in[a], text), why);
}

static inline int tkg__misasked(const tkg_inference *s, int a, const char *why) {
  char text[TKG_SHAPE_TEXT], asked[TKG_SHAPE_TEXT];
  return tkg__fail(TKG_E_SHAPE, "%s: %s does not fit the shape asked for, %s: %s", tkg__name_of(s),
                   tkg__shape_text(s->in[a], text), tkg__shape_text(s->out, asked), why);
}

static inline void tkg__set_shape(tkg_node *out, const tkg_node *like) {
  out->rank = like->rank;
  memcpy(out->shape, like->shape, sizeof out->shape);
}

static inline bool tkg__same_shape(const tkg_node *a, const tkg_node *b) {
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (a->shape[d] != b->shape[d]) return false;
  return true;
}

static inline void tkg__set_matrix(tkg_node *out, int64_t rows, int64_t cols) {
  memset(out->shape, 0, sizeof out->shape);
  out->rank = 2;
  out->shape[0] = rows;
  out->shape[1] = cols;
}

/* The rule of each op: fills dtype (f32 until then) and shape of s->out, or fails with a message.
 */
#define X(name, text, reads, rows, columns, flags, shape, ...)                                     \
  int tkg__shape_##shape(tkg_inference *s);
#include "base/ops.def"
#undef X

#endif
