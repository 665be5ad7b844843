/* Layout: CONCAT, NARROW, PAD, TRANSPOSE. Elements are 4 bytes of either type and only copied.
 *
 * Around dimension `dim` a tensor is [outer, run]: the elements of dimension dim and of all later
 * ones lie together in a run. Concatenating, narrowing and padding copy pieces of runs. The range
 * of output rows of a call may begin and end anywhere in a run. */
#include <string.h>

#include "base/error.h"
#include "base/op.h"
#include "flat.h"
#include "isa.h"
#include "kernel.h"
#include "shared/bf16.h"
#include "shared/shapes.h"

/* The output elements of a call: those of its rows. */
typedef struct window {
  uint32_t *out;
  int64_t begin, end;
} window;

static window window_of(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t cols = tkg__cols(c->node);
  return (window){c->out, begin * cols, end * cols};
}

/* Copies `count` elements of `from` (NULL: zeros) to output position `to`, as far as they lie in
 * the window. */
static void put(const window *w, int64_t to, const uint32_t *from, int64_t count) {
  int64_t begin = to > w->begin ? to : w->begin;
  int64_t end = to + count < w->end ? to + count : w->end;
  if (begin >= end) return;
  size_t bytes = (size_t)(end - begin) * sizeof *w->out;
  if (from)
    memcpy(w->out + begin, from + (begin - to), bytes);
  else
    memset(w->out + begin, 0, bytes);
}

static int concat(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t dim = c->node->i[0], run = tkg__run_length(c->node, dim), part[TKG_MAX_INPUTS];
  window w = window_of(c, begin, end);
  if (w.begin >= w.end) return TKG_OK;
  for (int k = 0; k < c->node->inputs; k++) part[k] = tkg__run_length(c->in[k], dim);
  for (int64_t o = w.begin / run; o * run < w.end; o++) {
    int64_t to = o * run;
    for (int k = 0; k < c->node->inputs; k++) {
      if (part[k]) put(&w, to, (const uint32_t *)c->data[k] + o * part[k], part[k]);
      to += part[k];
    }
  }
  return TKG_OK;
}

static int narrow(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t run = tkg__run_length(c->node, c->node->i[0]),
          whole = tkg__run_length(c->in[0], c->node->i[0]);
  const uint32_t *x = (const uint32_t *)c->data[0] + tkg__skipped(c->node);
  window w = window_of(c, begin, end);
  if (w.begin >= w.end) return TKG_OK;
  for (int64_t o = w.begin / run; o * run < w.end; o++) put(&w, o * run, x + o * whole, run);
  return TKG_OK;
}

/* Adds `count` floats of x to output position `to`, as far as they lie in the window. */
static void add(const window *w, int64_t to, const float *x, int64_t count) {
  int64_t begin = to > w->begin ? to : w->begin;
  int64_t end = to + count < w->end ? to + count : w->end;
  float *out = (float *)w->out;
  for (int64_t i = begin; i < end; i++) out[i] += x[i - to];
}

/* With a base the output begins as that, in whose memory it may be. */
static int pad(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t run = tkg__run_length(c->node, c->node->i[0]),
          part = tkg__run_length(c->in[0], c->node->i[0]);
  int64_t before = tkg__skipped(c->node);
  const uint32_t *x = c->data[0], *base = c->data[1];
  window w = window_of(c, begin, end);
  if (w.begin >= w.end) return TKG_OK;
  if (base) {
    if (base != w.out) put(&w, w.begin, base + w.begin, w.end - w.begin);
    for (int64_t o = w.begin / run; part && o * run < w.end; o++)
      add(&w, o * run + before, (const float *)x + o * part, part);
    return TKG_OK;
  }
  for (int64_t o = w.begin / run; o * run < w.end; o++) {
    put(&w, o * run, NULL, before);
    if (part) put(&w, o * run + before, x + o * part, part);
    put(&w, o * run + before + part, NULL, run - before - part);
  }
  return TKG_OK;
}

enum { SQUARE = 16 }; /* elements; a cache line is used whole before it is evicted */

static int transpose(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t rows = tkg__rows(c->in[0]), cols = tkg__cols(c->in[0]);
  const uint32_t *restrict x = c->data[0];
  uint32_t *restrict out = c->out;
  for (int64_t j0 = begin; j0 < end; j0 += SQUARE)
    for (int64_t i0 = 0; i0 < rows; i0 += SQUARE) {
      int64_t j1 = j0 + SQUARE < end ? j0 + SQUARE : end;
      int64_t i1 = i0 + SQUARE < rows ? i0 + SQUARE : rows;
      for (int64_t j = j0; j < j1; j++)
        for (int64_t i = i0; i < i1; i++) out[j * rows + i] = x[i * cols + j];
    }
  return TKG_OK;
}

/* ---- widen: numbers of 16 bits as floats ---- */

static int widen(const tkg_call *c, int64_t begin, int64_t end) {
  const uint16_t *restrict x = (const uint16_t *)c->data[0] + c->node->i[0];
  float *restrict out = c->out;
  const int64_t last = flat_at(c, end);
  for (int64_t i = flat_at(c, begin); i < last; i++) out[i] = tkg__bf16_value(x[i]);
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_layout)[] = {
    {.op = TKG_OP_CONCAT, .run = concat},
    {.op = TKG_OP_NARROW, .run = narrow},
    {.op = TKG_OP_PAD, .run = pad},
    {.op = TKG_OP_TRANSPOSE, .run = transpose},
    {.op = TKG_OP_WIDEN, .run = widen, .units = flat_units},
    {0},
};
