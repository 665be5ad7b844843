/* The largest over a row's edges, column by column: which edge has it (AGGREGATE_ARGMAX), its value
 * (AGGREGATE_PICK) and the gradient of that (AGGREGATE_PICK_GRAD). Also SLOTS. */
#include <string.h>

#include "edges.h"
#include "ids.h"
#include "isa.h"

/* ---- aggregate_argmax ---- */

enum { ARGMAX_COLUMNS = 256 }; /* at a time: what is largest so far stays in the first cache */

/* Columns j..j+n-1 of a row. */
static void argmax_columns(const tkg_graph *g, const float *x, int64_t d, int64_t row, int64_t j,
                           int64_t n, int32_t *restrict at) {
  float most[ARGMAX_COLUMNS];
  const int64_t first = g->offsets[row], last = g->offsets[row + 1];
  if (first < last) memcpy(most, x + g->ids[first] * d + j, (size_t)n * sizeof *most);
  const int32_t none = first < last ? (int32_t)edges_number(g, first) : -1;
  for (int64_t k = 0; k < n; k++) at[k] = none;
  for (int64_t p = first + 1; p < last; p++) {
    const float *value = x + g->ids[p] * d + j;
    const int32_t edge = (int32_t)edges_number(g, p);
#pragma omp simd
    for (int64_t k = 0; k < n; k++) {
      at[k] = value[k] > most[k] ? edge : at[k];
      most[k] = value[k] > most[k] ? value[k] : most[k];
    }
  }
}

static int aggregate_argmax(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->node);
  int32_t *out = c->out;
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++)
    for (int64_t j = 0; j < d; j += ARGMAX_COLUMNS)
      argmax_columns(&g, c->data[1], d, row, j, d - j < ARGMAX_COLUMNS ? d - j : ARGMAX_COLUMNS,
                     out + row * d + j);
  return TKG_OK;
}

static int64_t edge_work(const tkg_node *node, const tkg_node *const *in) {
  return (node->i[2] + edges_rows(node)) * tkg__cols(in[1]);
}

/* ---- aggregate_pick ---- */

/* The place of an edge of this row, by its number; -1 if the row has no such edge. Numbers ascend
 * within a row, whichever way the graph is gone through. */
static int64_t place_of(const tkg_graph *g, int64_t row, int32_t edge) {
  int64_t low = g->offsets[row], high = g->offsets[row + 1];
  if (!g->order) return edge >= low && edge < high ? edge : -1;
  const int64_t last = high;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (g->order[middle] < edge)
      low = middle + 1;
    else
      high = middle;
  }
  return low < last && g->order[low] == edge ? low : -1;
}

static int aggregate_pick(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->node);
  const float *x = c->data[1];
  const int32_t *edges = c->data[2];
  float *out = c->out;
  for (int64_t row = begin; row < end; row++)
    for (int64_t j = 0; j < d; j++) {
      const int32_t edge = edges[row * d + j];
      const int64_t place = edge < 0 ? -1 : place_of(&g, row, edge);
      if (edge >= 0 && place < 0)
        return tkg__fail(TKG_E_RANGE, "aggregate_pick: row %" PRId64 " has no edge %" PRId32, row,
                         edge);
      out[row * d + j] = place < 0 ? 0.0F : x[g.ids[place] * d + j];
    }
  return TKG_OK;
}

/* Units are tails, so no two threads add to a row: each looks at its edges from the other side. */
static int64_t tail_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->shape[0];
}

static int aggregate_pick_grad(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t *i = c->node->i, d = tkg__cols(c->node);
  const int64_t other_way[4] = {i[0], i[1], i[2], i[3] ^ TKG_GRAPH_BACKWARD};
  const tkg_graph from = tkg__graph_of(c->data[0], other_way);
  const float *g = c->data[1];
  const int32_t *edges = c->data[2];
  float *out = c->out;
  memset(out + begin * d, 0, (size_t)((end - begin) * d) * sizeof *out);
  for (int64_t tail = begin; tail < end; tail++)
    for (int64_t p = from.offsets[tail]; p < from.offsets[tail + 1]; p++) {
      const int64_t head = from.ids[p];
      const int32_t edge = (int32_t)edges_number(&from, p), *picked = edges + head * d;
      float *restrict to = out + tail * d;
#pragma omp simd
      for (int64_t j = 0; j < d; j++) to[j] += picked[j] == edge ? g[head * d + j] : 0.0F;
    }
  return TKG_OK;
}

/* ---- slots ---- */

static int64_t one_unit(const tkg_node *node, const tkg_node *const *in) {
  (void)node, (void)in;
  return 1;
}

static int slots(const tkg_call *c, int64_t begin, int64_t end) {
  (void)begin, (void)end;
  const int64_t n = tkg__count(c->node), count = tkg__count(c->in[0]);
  const int32_t *ids = c->data[0];
  int32_t *out = c->out;
  int status = check_ids("slots", ids, 0, count, n);
  if (status) return status;
  for (int64_t t = 0; t < n; t++) out[t] = -1;
  for (int64_t b = count; b-- > 0;) out[ids[b]] = (int32_t)b;
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_pick)[] = {
    {.op = TKG_OP_AGGREGATE_ARGMAX,
     .run = aggregate_argmax,
     .units = edges_units,
     .work = edge_work},
    {.op = TKG_OP_AGGREGATE_PICK, .run = aggregate_pick},
    {.op = TKG_OP_AGGREGATE_PICK_GRAD,
     .run = aggregate_pick_grad,
     .units = tail_units,
     .work = edge_work},
    {.op = TKG_OP_SLOTS, .run = slots, .units = one_unit},
    {0},
};
