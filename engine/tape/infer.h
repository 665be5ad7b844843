/* What shape rules are made of: a node whose shape is wanted, its inputs, and how to refuse them.
 */
#ifndef TKG_INFER_H
#define TKG_INFER_H

#include <string.h>

#include "base/error.h"
#include "tape.h"

typedef struct tkg_infer {
  tkg_node *out;
  const tkg_node *in[TKG_MAX_INPUTS];
} tkg_infer;

static inline const char *tkg__name_of(const tkg_infer *s) { return tkg__ops[s->out->op].name; }

static inline int tkg__misfit(const tkg_infer *s, int a, int b, const char *why) {
  char left[TKG_SHAPE_TEXT], right[TKG_SHAPE_TEXT];
  return tkg__fail(TKG_E_SHAPE, "%s: %s and %s do not fit: %s", tkg__name_of(s),
                   tkg__shape_text(s->in[a], left), tkg__shape_text(s->in[b], right), why);
}

static inline int tkg__unfit(const tkg_infer *s, int a, const char *why) {
  char text[TKG_SHAPE_TEXT];
  return tkg__fail(TKG_E_SHAPE, "%s: %s does not fit: %s", tkg__name_of(s),
                   tkg__shape_text(s->in[a], text), why);
}

static inline int tkg__misasked(const tkg_infer *s, int a, const char *why) {
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

/* As the first input; a second one must be like it. */
static inline int tkg__same(tkg_infer *s) {
  tkg__set_shape(s->out, s->in[0]);
  if (s->out->inputs > 1 && !tkg__same_shape(s->in[0], s->in[1]))
    return tkg__misfit(s, 0, 1, "they must be equal");
  return TKG_OK;
}

/* Shapes of the ops on whole graphs and on rows of many kinds, and of those that keep a shape:
 * shape_graph.c. */
int tkg__infer_graph(tkg_infer *s);

#endif
