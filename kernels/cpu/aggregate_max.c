/* The largest neighbour in each column: AGGREGATE_ARGMAX finds the edge, AGGREGATE_MAX reads its
 * tail, and AGGREGATE_MAX_GRAD adds gradients up by tail. Also INVERSE_INDEX and FIRST_INDEX of a
 * list of ids. cuda/aggregate_max.cu has the formulas.
 *
 * Argmax keeps the largest values and their edges of some columns in vector registers while it goes
 * through the edges of a row. Max_grad sums over the edges of each tail, so that no two threads
 * add to one row. Both prefetch rows some edges ahead. */
#include <string.h>

#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "shared/search.h"
#include "shared/vmath.h"
#include "wide.h"

/* ---- aggregate_argmax ---- */

typedef int32_t wide_ids __attribute__((vector_size(4 * WIDTH)));
typedef int32_t wide_ids_loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

/* The largest values so far, and their edges. */
typedef struct best {
  wide most;
  wide_ids at;
} best;

TKG_INLINE best larger(best b, wide value, int32_t edge) {
  const wide_ids more = value > b.most;
  b.most = (wide)(((wide_ids)value & more) | ((wide_ids)b.most & ~more));
  b.at = (edge & more) | (b.at & ~more);
  return b;
}

/* The edges of one row. */
typedef struct choice {
  const tkg_graph *g;
  const float *x;
  int64_t d, first, last, ahead_end; /* edges; prefetch up to ahead_end */
} choice;

TKG_INLINE best best_of_first(const choice *c, int64_t j) {
  const wide_ids none = {0};
  return (best){wide_load(c->x + c->g->ids[c->first] * c->d + j),
                none + (int32_t)tkg__edge_number(c->g, c->first)};
}

/* Finds columns j..j+2*WIDTH-1 of a row that has edges. */
static void argmax_wide(const choice *c, int64_t j, int32_t *at) {
  best b0 = best_of_first(c, j), b1 = best_of_first(c, j + WIDTH);
  for (int64_t p = c->first + 1; p < c->last; p++) {
    const float *x = c->x + c->g->ids[p] * c->d + j;
    const int32_t edge = (int32_t)tkg__edge_number(c->g, p);
    if (j == 0 && p + EDGES_AHEAD < c->ahead_end)
      prefetch_far(c->x + c->g->ids[p + EDGES_AHEAD] * c->d, 4 * c->d);
    b0 = larger(b0, wide_load(x), edge);
    b1 = larger(b1, wide_load(x + WIDTH), edge);
  }
  *(wide_ids_loose *)(at + j) = b0.at;
  *(wide_ids_loose *)(at + j + WIDTH) = b1.at;
}

static void argmax_narrow(const choice *c, int64_t j, int32_t *at) {
  int64_t found = c->first;
  float most = c->x[c->g->ids[found] * c->d + j];
  for (int64_t p = found + 1; p < c->last; p++) {
    const float value = c->x[c->g->ids[p] * c->d + j];
    if (value > most) most = value, found = p;
  }
  at[j] = (int32_t)tkg__edge_number(c->g, found);
}

static int aggregate_argmax(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->node);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  for (int64_t row = first; row < last; row++) {
    const choice of = {&g, c->data[1], d, g.offsets[row], g.offsets[row + 1], g.offsets[last]};
    int32_t *at = (int32_t *)c->out + row * d;
    int64_t j = 0;
    if (of.first == of.last)
      for (; j < d; j++) at[j] = -1;
    for (; j + 2 * WIDTH <= d; j += 2 * WIDTH) argmax_wide(&of, j, at);
    for (; j < d; j++) argmax_narrow(&of, j, at);
  }
  return TKG_OK;
}

static int64_t edge_work(const tkg_node *node, const tkg_node *const *in) {
  return (node->i[2] + edges_rows(node)) * tkg__cols(in[1]);
}

/* ---- aggregate_max ---- */

static int aggregate_max(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->node);
  const float *x = c->data[1];
  const int32_t *edges = c->data[2];
  float *out = c->out;
  for (int64_t row = begin; row < end; row++)
    for (int64_t j = 0; j < d; j++) {
      const int32_t edge = edges[row * d + j];
      const int64_t place = edge < 0 ? -1 : tkg__edge_place(g.offsets, g.order, row, edge);
      if (edge >= 0 && place < 0)
        return tkg__fail(TKG_E_RANGE, "aggregate_max: row %" PRId64 " has no edge %" PRId32, row,
                         edge);
      out[row * d + j] = place < 0 ? 0.0F : x[g.ids[place] * d + j];
    }
  return TKG_OK;
}

/* Units are tails. */
static int64_t tail_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->shape[0];
}

static int aggregate_max_grad(const tkg_call *c, int64_t begin, int64_t end) {
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
      if (p + EDGES_AHEAD < from.offsets[end]) {
        prefetch_far(g + from.ids[p + EDGES_AHEAD] * d, 4 * d);
        prefetch_far(edges + from.ids[p + EDGES_AHEAD] * d, 4 * d);
      }
      const int32_t edge = (int32_t)tkg__edge_number(&from, p), *picked = edges + head * d;
      float *restrict to = out + tail * d;
#pragma omp simd
      for (int64_t j = 0; j < d; j++) to[j] += picked[j] == edge ? g[head * d + j] : 0.0F;
    }
  return TKG_OK;
}

/* ---- inverse_index ---- */

static int inverse_index(const tkg_call *c, int64_t begin, int64_t end) {
  (void)begin, (void)end;
  const int64_t n = tkg__count(c->node), count = tkg__count(c->in[0]);
  const int32_t *ids = c->data[0];
  int32_t *out = c->out;
  int status = check_ids("inverse_index", ids, 0, count, n);
  if (status) return status;
  for (int64_t t = 0; t < n; t++) out[t] = -1;
  for (int64_t b = count; b-- > 0;) out[ids[b]] = (int32_t)b;
  return TKG_OK;
}

/* ---- first_index ---- */

static int64_t index_scratch(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return node->i[0] * (int64_t)sizeof(int32_t);
}

/* Of the scratch, a number per row that ids may name, only those that they do name are written and
 * read: the cost is that of the list. */
static int first_index(const tkg_call *c, int64_t begin, int64_t end) {
  (void)begin, (void)end;
  const int64_t count = tkg__count(c->node);
  const int32_t *ids = c->data[0];
  int32_t *out = c->out, *first = c->scratch;
  int status = check_ids("first_index", ids, 0, count, c->node->i[0]);
  if (status) return status;
  for (int64_t b = count; b-- > 0;) first[ids[b]] = (int32_t)b;
  for (int64_t b = 0; b < count; b++) out[b] = first[ids[b]];
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_aggregate_max)[] = {
    {.op = TKG_OP_AGGREGATE_ARGMAX,
     .run = aggregate_argmax,
     .units = edges_units,
     .work = edge_work},
    {.op = TKG_OP_AGGREGATE_MAX, .run = aggregate_max},
    {.op = TKG_OP_AGGREGATE_MAX_GRAD,
     .run = aggregate_max_grad,
     .units = tail_units,
     .work = edge_work},
    {.op = TKG_OP_INVERSE_INDEX, .run = inverse_index, .units = one_unit},
    {.op = TKG_OP_FIRST_INDEX, .run = first_index, .units = one_unit, .scratch = index_scratch},
    {0},
};
