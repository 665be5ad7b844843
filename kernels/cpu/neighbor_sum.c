/* Neighbourhoods of K neighbours per row; cuda/neighbor_sum.cu has the formulas: NEIGHBOR_SUM,
 * weighted sums of their rows; NEIGHBOR_DOT and NEIGHBOR_OUTER, its gradients; RELATION_SCORE,
 * KGCN's relation scores. (NEIGHBOR_SCATTER is in scatter.c.)
 *
 * A step of KGCN, KGNN-LS or RippleNet spends its time in these loops. There is little arithmetic
 * per row, so rows are prefetched, and sums stay in registers. Units are output rows, and a sum has
 * the order of the neighbours: the same bits for any number of threads. */
#include "ids.h"
#include "isa.h"
#include "kernel.h"
#include "wide.h"

/* The K neighbours of each row: rows `ids[i K + k]` of x, or without ids rows `i K + k`. x has 16
 * bits if `half`. */
typedef struct neighbours {
  const void *x;
  const int32_t *ids;
  int64_t k, d;
  bool half;
} neighbours;

TKG_INLINE const void *neighbour(const neighbours *h, int64_t at, bool half) {
  const int64_t first = (h->ids ? h->ids[at] : at) * h->d;
  return half ? (const void *)((const uint16_t *)h->x + first) : (const float *)h->x + first;
}

/* For NEIGHBOR_SUM and NEIGHBOR_DOT: x is input 1, the optional ids input 2. Checks the ids of rows
 * begin..end-1.
 */
static int open_neighbours(const tkg_call *c, int64_t k, int64_t begin, int64_t end,
                           neighbours *h) {
  *h = (neighbours){c->data[1], c->data[2], k, tkg__cols(c->in[1]), c->in[1]->dtype == TKG_BF16};
  if (!h->ids) return TKG_OK;
  return check_ids(tkg__ops[c->node->op].name, h->ids, begin * k, end * k, tkg__rows(c->in[1]));
}

/* Prefetches the neighbours of the row after the one at `at`; the ids end at `last`. */
TKG_PREFETCH void prefetch_next(const neighbours *h, int64_t at, int64_t last) {
  if (!h->ids) return;
  int64_t end = at + 2 * h->k < last ? at + 2 * h->k : last;
  for (int64_t next = at + h->k; next < end; next++)
    prefetch_row(neighbour(h, next, h->half), h->half ? h->d / 2 : h->d);
}

/* ---- neighbor_sum: out[i] = sum over k of w[i,k] x[k] ---- */

/* The sums of one row of d columns, four registers of them at a time. */
TKG_INLINE void sum_row(float *out, const float *w, const neighbours *h, int64_t at, int64_t d,
                        bool half) {
  int64_t j = 0;
  for (; j + 4 * WIDTH <= d; j += 4 * WIDTH) {
    wide s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (int64_t k = 0; k < h->k; k++) {
      const void *x = neighbour(h, at + k, half);
      s0 += w[k] * wide_load_either(x, j, half);
      s1 += w[k] * wide_load_either(x, j + WIDTH, half);
      s2 += w[k] * wide_load_either(x, j + 2 * WIDTH, half);
      s3 += w[k] * wide_load_either(x, j + 3 * WIDTH, half);
    }
    wide_store(out + j, s0);
    wide_store(out + j + WIDTH, s1);
    wide_store(out + j + 2 * WIDTH, s2);
    wide_store(out + j + 3 * WIDTH, s3);
  }
  for (; j + WIDTH <= d; j += WIDTH) {
    wide s = {0};
    for (int64_t k = 0; k < h->k; k++)
      s += w[k] * wide_load_either(neighbour(h, at + k, half), j, half);
    wide_store(out + j, s);
  }
  for (; j < d; j++) {
    float s = 0;
    for (int64_t k = 0; k < h->k; k++)
      s += w[k] * wide_element(neighbour(h, at + k, half), j, half);
    out[j] = s;
  }
}

/* Widths known to the compiler: of KGCN's and RippleNet's published settings. */
#define KNOWN_WIDTHS(X) X(16) X(64)

TKG_INLINE void sum_rows(float *out, const float *w, const neighbours *of, int64_t begin,
                         int64_t end, bool half) {
  const neighbours h = *of; /* in registers: what is written could be it */
  for (int64_t i = begin; i < end; i++) {
    prefetch_next(&h, i * h.k, end * h.k);
    switch (h.d) {
#define X(width)                                                                                   \
  case width:                                                                                      \
    sum_row(out + i * width, w + i * h.k, &h, i * h.k, width, half);                               \
    break;
      KNOWN_WIDTHS(X)
#undef X
    default:
      sum_row(out + i * h.d, w + i * h.k, &h, i * h.k, h.d, half);
    }
  }
}

static int neighbor_sum(const tkg_call *c, int64_t begin, int64_t end) {
  neighbours h;
  int status = open_neighbours(c, tkg__cols(c->in[0]), begin, end, &h);
  if (status) return status;
  if (h.half)
    sum_rows(c->out, c->data[0], &h, begin, end, true);
  else
    sum_rows(c->out, c->data[0], &h, begin, end, false);
  return TKG_OK;
}

static int64_t sum_work(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[0]) * tkg__cols(in[1]);
}

/* ---- neighbor_dot: out[i,k] = g[i] . x[k] ---- */

/* The products of one row with neighbours at..end-1; d, their columns, may be a constant. */
TKG_INLINE void dot_row(float *out, const float *g, const neighbours *h, int64_t at, int64_t end,
                        int64_t d, bool half) {
  for (; d >= 16 && d % 16 == 0 && at + 4 <= end; at += 4) {
    const float *const left[4] = {g, g, g, g};
    const void *const right[4] = {neighbour(h, at, half), neighbour(h, at + 1, half),
                                  neighbour(h, at + 2, half), neighbour(h, at + 3, half)};
    wide_dots_of(left, right, d, half, out + at);
  }
  for (; at < end; at++) out[at] = wide_dot_of(g, neighbour(h, at, half), NULL, d, half);
}

TKG_INLINE void dot_rows(float *out, const float *g, const neighbours *of, int64_t begin,
                         int64_t end, bool half) {
  const neighbours h = *of; /* in registers, as above */
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = i * h.k, last = first + h.k;
    prefetch_next(&h, first, end * h.k);
    switch (h.d) {
#define X(width)                                                                                   \
  case width:                                                                                      \
    dot_row(out, g + i * width, &h, first, last, width, half);                                     \
    break;
      KNOWN_WIDTHS(X)
#undef X
    default:
      dot_row(out, g + i * h.d, &h, first, last, h.d, half);
    }
  }
}

static int neighbor_dot(const tkg_call *c, int64_t begin, int64_t end) {
  neighbours h;
  int status = open_neighbours(c, c->node->i[0], begin, end, &h);
  if (status) return status;
  if (h.half)
    dot_rows(c->out, c->data[0], &h, begin, end, true);
  else
    dot_rows(c->out, c->data[0], &h, begin, end, false);
  return TKG_OK;
}

static int64_t neighbor_dot_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(node) * tkg__cols(in[1]);
}

/* ---- neighbor_outer: out[i K + k] = w[i,k] g[i]; units are rows of w ---- */

static int64_t rows_of_weights(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__rows(in[0]);
}

static int neighbor_outer(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t k = tkg__cols(c->in[0]), d = tkg__cols(c->in[1]);
  const float *w = c->data[0], *g = c->data[1];
  float *out = c->out;
  for (int64_t i = begin; i < end; i++)
    for (int64_t at = i * k; at < (i + 1) * k; at++) {
      const float *restrict from = g + i * d;
      float *restrict to = out + at * d;
      for (int64_t j = 0; j < d; j++) to[j] = w[at] * from[j];
    }
  return TKG_OK;
}

/* ---- relation_score: out[b,j] = u[b] . r[ids[b,j]] ---- */

/* With no more relations than neighbours per row, each relation's score is computed once and then
 * looked up. So many scores fit beside the row in the first cache. */
enum { MOST_SCORES = 1024 };

static int relation_score(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t d = tkg__cols(c->in[0]), m = tkg__rows(c->in[1]), k = tkg__cols(c->in[2]);
  const float *u = c->data[0];
  const int32_t *ids = c->data[2];
  float *out = c->out, scores[MOST_SCORES];
  bool all = m <= k && m <= MOST_SCORES;
  const neighbours of_row = {c->data[1], ids, k, d, false}, each = {c->data[1], NULL, m, d, false};
  int status = check_ids("relation_score", ids, begin * k, end * k, m);
  if (status) return status;
  for (int64_t b = begin; b < end; b++) {
    if (!all) dot_row(out, u + b * d, &of_row, b * k, (b + 1) * k, d, false);
    if (!all) continue;
    dot_row(scores, u + b * d, &each, 0, m, d, false);
    for (int64_t at = b * k; at < (b + 1) * k; at++) out[at] = scores[ids[at]];
  }
  return TKG_OK;
}

static int64_t relation_score_work(const tkg_node *node, const tkg_node *const *in) {
  int64_t k = tkg__cols(node), m = tkg__rows(in[1]);
  return tkg__rows(node) * (k + (m < k ? m : k) * tkg__cols(in[0]));
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_neighbor_sum)[] = {
    {.op = TKG_OP_RELATION_SCORE, .run = relation_score, .work = relation_score_work},
    {.op = TKG_OP_NEIGHBOR_SUM, .run = neighbor_sum, .work = sum_work},
    {.op = TKG_OP_NEIGHBOR_DOT, .run = neighbor_dot, .work = neighbor_dot_work},
    {.op = TKG_OP_NEIGHBOR_OUTER, .run = neighbor_outer, .units = rows_of_weights},
    {0},
};
