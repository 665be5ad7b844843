/* Adding rows into a table by id: SCATTER_ADD, out[ids[p]] += g[p], and NEIGHBOR_SCATTER,
 * out[ids[i,k]] += w[i,k] g[i]. TAKE_GRAD adds elements within each row.
 *
 * Rows may meet in one destination, so units are destinations: a thread reads all ids, in order of
 * position, and adds those that fall in its own rows. There are no atomics, and the sums do not
 * depend on the split. (Splitting by columns instead would spare the search and level hub rows, but
 * was slower by 15 to 100 %: half a row costs the memory as much as a whole one.) */
#include <string.h>

#include "ids.h"
#include "isa.h"
#include "kernel.h"
#include "shared/shapes.h"
#include "wide.h"

/* out[ids[p]] += w[p] g[p / k] for p in 0..count-1; out is [n,d] and begins as base. */
typedef struct scatter {
  float *out;
  const float *base;  /* NULL: zeros; may be out */
  const float *g, *w; /* w is NULL for ones */
  const int32_t *ids;
  int64_t count, k, n, d;
  int64_t first; /* of a table dealt to ranks: the row that out begins with (op.h) */
} scatter;

static void scatter_begin(const scatter *s, int64_t begin, int64_t end) {
  float *to = s->out + begin * s->d;
  size_t bytes = (size_t)((end - begin) * s->d) * sizeof *to;
  if (!s->base)
    memset(to, 0, bytes);
  else if (s->base != s->out)
    memcpy(to, s->base + begin * s->d, bytes);
}

/* Rows are short: registers first, as a loop of a compiler's takes longer to begin. */
TKG_INLINE void scatter_row(float *restrict to, const float *restrict g, const float *w,
                            int64_t d) {
  const float factor = w ? *w : 1;
  int64_t j = 0;
  for (; j + WIDTH <= d; j += WIDTH)
    wide_store(to + j, wide_load(to + j) + factor * wide_load(g + j));
  for (; j < d; j++) to[j] += factor * g[j];
}

TKG_INLINE float *scatter_target(const scatter *s, int32_t id, int64_t d) {
  return s->out + (id - s->first) * d;
}

/* Adds the positions first + at[0..found); `d` may be a constant. */
TKG_INLINE void scatter_block(const scatter *s, int64_t first, const int16_t *at, int found,
                              int64_t d) {
  const int32_t *ids = s->ids + first;
  for (int f = 0; f < found; f++) {
    if (f + ROWS_AHEAD < found) {
      const int64_t next = at[f + ROWS_AHEAD];
      prefetch_row(scatter_target(s, ids[next], d), d);
      if (s->k == 1) prefetch_row(s->g + (first + next) * d, d);
    }
    const int64_t position = first + at[f];
    scatter_row(scatter_target(s, ids[at[f]], d),
                s->g + (s->k == 1 ? position : position / s->k) * d, s->w ? s->w + position : NULL,
                d);
  }
}

/* Adds all positions: a thread that has all destinations need not look which are its own. */
TKG_INLINE void scatter_all(const scatter *of, int64_t k, int64_t d, bool weighted) {
  const scatter s = *of; /* in registers: what is written could be it */
  for (int64_t first = 0, row = 0; first < s.count; first += k, row++)
    for (int64_t p = first; p < first + k; p++) {
      if (d > 1 && p + ROWS_AHEAD < s.count)
        prefetch_row(scatter_target(&s, s.ids[p + ROWS_AHEAD], d), d);
      scatter_row(scatter_target(&s, s.ids[p], d), s.g + row * d, weighted ? s.w + p : NULL, d);
    }
}

TKG_INLINE void scatter_some(const scatter *s, int64_t begin, int64_t end, int64_t d) {
  int16_t at[IDS_BLOCK];
  if (begin == 0 && end == s->n) {
    if (s->w)
      scatter_all(s, s->k, d, true);
    else
      scatter_all(s, 1, d, false);
    return;
  }
  for (int64_t i = 0; i < s->count; i += IDS_BLOCK) {
    const int count = s->count - i < IDS_BLOCK ? (int)(s->count - i) : IDS_BLOCK;
    scatter_block(s, i, at, select_ids(s->ids + i, count, s->first + begin, s->first + end, at), d);
  }
}

/* Widths known to the compiler. */
#define SCATTER_WIDTHS(X) X(1) X(16) X(32) X(64)

static int scatter_run(const char *op, const scatter *s, int64_t begin, int64_t end) {
  int status = check_ids(op, s->ids, 0, s->count, s->n);
  if (status || s->n == 0 || s->d == 0) return status;
  scatter_begin(s, begin, end);
#define X(width)                                                                                   \
  case width:                                                                                      \
    scatter_some(s, begin, end, width);                                                            \
    break;
  switch (s->d) {
    SCATTER_WIDTHS(X)
  default:
    scatter_some(s, begin, end, s->d);
  }
#undef X
  return TKG_OK;
}

/* One unit even when the table has no rows, so that ids are checked. */
static int64_t scatter_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->shape[0] ? node->shape[0] : 1;
}

/* ---- scatter_add: g[m,d], ids[m] (+ base[n,d]) -> [n,d] ---- */

static int scatter_add(const tkg_call *c, int64_t begin, int64_t end) {
  scatter s = {.out = c->out,
               .base = c->data[2],
               .g = c->data[0],
               .ids = c->data[1],
               .count = tkg__count(c->in[1]),
               .k = 1,
               .n = c->node->whole_rows ? c->node->whole_rows : c->node->shape[0],
               .first = c->node->first_row,
               .d = tkg__run_length(c->node, 1)};
  return scatter_run("scatter_add", &s, begin, end);
}

static int64_t scatter_add_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[0]) + tkg__count(node) / 2;
}

/* ---- neighbor_scatter: w[n,k], g[n,d], ids[n,k] (+ base[m,d]) -> [m,d] ---- */

static int neighbor_scatter(const tkg_call *c, int64_t begin, int64_t end) {
  scatter s = {.out = c->out,
               .base = c->data[3],
               .g = c->data[1],
               .w = c->data[0],
               .ids = c->data[2],
               .count = tkg__count(c->in[2]),
               .k = tkg__cols(c->in[0]),
               .n = c->node->shape[0],
               .d = tkg__cols(c->node)};
  return scatter_run("neighbor_scatter", &s, begin, end);
}

static int64_t neighbor_scatter_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[0]) * tkg__cols(in[1]) + tkg__count(node) / 2;
}

/* ---- take_grad: g[b,j], ids[b,j] -> [b,r] ---- */

static int take_grad(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t r = tkg__cols(c->node), j = tkg__cols(c->in[1]);
  const float *g = c->data[0];
  const int32_t *ids = c->data[1];
  float *out = c->out;
  int status = check_ids("take_grad", ids, begin * j, end * j, r);
  if (status) return status;
  for (int64_t b = begin; b < end; b++) {
    for (int64_t k = 0; k < r; k++) out[b * r + k] = 0;
    for (int64_t k = b * j; k < (b + 1) * j; k++) out[b * r + ids[k]] += g[k];
  }
  return TKG_OK;
}

static int64_t take_grad_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(node) + tkg__count(in[1]);
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_scatter)[] = {
    {.op = TKG_OP_SCATTER_ADD,
     .run = scatter_add,
     .units = scatter_units,
     .work = scatter_add_work},
    {.op = TKG_OP_NEIGHBOR_SCATTER,
     .run = neighbor_scatter,
     .units = scatter_units,
     .work = neighbor_scatter_work},
    {.op = TKG_OP_TAKE_GRAD, .run = take_grad, .work = take_grad_work},
    {0},
};
