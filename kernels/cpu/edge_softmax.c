/* Softmax over the edges of each row of a graph, and its gradient; cuda/edge_softmax.cu has the
 * formulas. Units are slices of edges (edges.h).
 *
 * Values lie in the order of the graph's edges: a row is contiguous, or scattered where the graph
 * is gone through backward. A row of up to SOFTMAX_BLOCK edges is therefore copied to the stack
 * once and worked on there in whole vectors. A longer one goes block by block: once for the
 * maximum, once for the sum, once to scale. Sums have fixed lanes and blocks: the same bits for any
 * number of threads. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "edges.h"
#include "isa.h"
#include "lanes.h"

enum { SOFTMAX_BLOCK = 256 }; /* edges */

/* Loads the values of n edges from place p on. */
static void load_values(const tkg_graph *g, const float *values, int64_t p, int n, float *to) {
  if (g->order)
    for (int i = 0; i < n; i++) to[i] = values[g->order[p + i]];
  else
    memcpy(to, values + p, (size_t)n * sizeof *to);
}

static void store_values(const tkg_graph *g, float *values, int64_t p, int n, const float *from) {
  if (g->order)
    for (int i = 0; i < n; i++) values[g->order[p + i]] = from[i];
  else
    memcpy(values + p, from, (size_t)n * sizeof *from);
}

static int block_at(int64_t p, int64_t last) {
  return last - p < SOFTMAX_BLOCK ? (int)(last - p) : SOFTMAX_BLOCK;
}

/* Computes e^(x - most) of a block in whole vectors, for which x has room. */
static void exp_block(float *x, int n, float most) {
  const int whole = (n + LANES - 1) / LANES * LANES;
  for (int i = n; i < whole; i++) x[i] = most;
#pragma omp simd
  for (int i = 0; i < whole; i++) x[i] = v_exp(x[i] - most);
}

static void scale_block(float *x, int n, float by) {
#pragma omp simd
  for (int i = 0; i < n; i++) x[i] *= by;
}

static void softmax_short(const tkg_graph *g, const float *s, float *out, int64_t first, int n) {
  float x[SOFTMAX_BLOCK];
  x[0] = 0; /* the compiler does not know that there is an edge */
  load_values(g, s, first, n, x);
  exp_block(x, n, lanes_max(x, n));
  scale_block(x, n, 1.0F / lanes_dot(x, NULL, n));
  store_values(g, out, first, n, x);
}

static void softmax_long(const tkg_graph *g, const float *s, float *out, int64_t first,
                         int64_t last) {
  float x[SOFTMAX_BLOCK], most = -INFINITY;
  double sum = 0;
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(g, s, p, n, x);
    const float here = lanes_max(x, n);
    most = here > most || here != here ? here : most;
  }
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(g, s, p, n, x);
    exp_block(x, n, most);
    sum += (double)lanes_dot(x, NULL, n);
    store_values(g, out, p, n, x);
  }
  const float scale = 1.0F / (float)sum;
  for (int64_t p = first; p < last; p++) out[tkg__edge_number(g, p)] *= scale;
}

static void softmax_grad_row(const tkg_graph *graph, const float *g, const float *y, float *out,
                             int64_t first, int64_t last) {
  float gs[SOFTMAX_BLOCK], ys[SOFTMAX_BLOCK];
  double sum = 0;
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    load_values(graph, g, p, n, gs);
    load_values(graph, y, p, n, ys);
    sum += (double)lanes_dot(gs, ys, n);
  }
  const float mean = (float)sum;
  const bool held = last - first <= SOFTMAX_BLOCK; /* by the loop above */
  for (int64_t p = first; p < last; p += SOFTMAX_BLOCK) {
    const int n = block_at(p, last);
    if (!held) load_values(graph, g, p, n, gs);
    if (!held) load_values(graph, y, p, n, ys);
#pragma omp simd
    for (int i = 0; i < n; i++) ys[i] *= gs[i] - mean;
    store_values(graph, out, p, n, ys);
  }
}

static int edge_softmax(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++) {
    const int64_t begins = g.offsets[row], ends = g.offsets[row + 1];
    if (ends - begins > SOFTMAX_BLOCK)
      softmax_long(&g, c->data[1], c->out, begins, ends);
    else if (ends > begins)
      softmax_short(&g, c->data[1], c->out, begins, (int)(ends - begins));
  }
  return TKG_OK;
}

static int edge_softmax_grad(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++)
    softmax_grad_row(&g, c->data[1], c->data[2], c->out, g.offsets[row], g.offsets[row + 1]);
  return TKG_OK;
}

static int64_t softmax_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return 8 * node->i[2];
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_edge_softmax)[] = {
    {.op = TKG_OP_EDGE_SOFTMAX, .run = edge_softmax, .units = edges_units, .work = softmax_work},
    {.op = TKG_OP_EDGE_SOFTMAX_GRAD,
     .run = edge_softmax_grad,
     .units = edges_units,
     .work = softmax_work},
    {0},
};
