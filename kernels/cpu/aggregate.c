/* AGGREGATE and its kin: out[i] = sum over the edges i -> t of w x[t] r[relation], where w and r
 * are optional. AGGREGATE_ROWS computes the rows i of a list; AGGREGATE_INDEXED reads row row_of[t]
 * of x in place of t and skips an edge where that is -1; AGGREGATE_WHERE leaves out rows.
 *
 * A layer of a graph network spends its time here, waiting for rows of x, which lie anywhere. So
 * rows are prefetched some edges ahead, edges whose weight is zero are skipped where there are many
 * (kept_edges.h), and sums stay in registers: those of a whole row while its edges pass, or, of
 * longer rows, some columns while a block of edges does (edge_sum.h). Units are slices of edges
 * (edges.h). Each sum has the order of the row's edges, on every instruction set and for every
 * number of threads. */
#include "aggregate_codes.h"
#include "edge_sum.h"
#include "ids.h"
#include "kept_edges.h"

/* ---- rows of a graph ---- */

/* Prefetches what edge p will need. */
TKG_PREFETCH void prefetch_edge(const sum *s, int64_t p, int kind) {
  if (p >= s->ahead_end) return;
  prefetch_far(row_of_x(s, s->g.ids[p], kind), (kind & HALF ? 2 : 4) * s->d);
  if (kind & (MUL | WEIGHTED) && s->g.order)
    prefetch_numbered(&s->g, p, kind & WEIGHTED ? s->w : NULL, kind & MUL);
}

/* Prefetches the row of edge p once more, from the second cache, where it has come by then. */
TKG_PREFETCH void prefetch_near(const sum *s, int64_t p, int registers, int kind) {
  if (p < s->ahead_end)
    prefetch_row(row_of_x(s, s->g.ids[p], kind), registers * WIDTH / (kind & HALF ? 2 : 1));
}

/* The registers that hold a whole row; 0: it has more, or columns beside them. */
static int registers_of_row(const sum *s) {
  const int64_t n = s->d / WIDTH;
  const bool whole = s->d % WIDTH == 0 && (n == 1 || n == 2 || n == 4 || (n == 8 && WIDTH == 8));
  return whole ? (int)n : 0;
}

/* Sums a row in so many registers while its edges pass: rows have few edges, which take longer to
 * be put in a block than to be added. */
TKG_INLINE void sum_in_registers(const sum *s, int64_t row, float *out, int registers, int kind) {
  const int64_t last = s->g.offsets[row + 1];
  wide total[8];
  block b;
  for (int k = 0; k < registers; k++) total[k] = (wide){0};
  for (int64_t p = s->g.offsets[row]; p < last; p++) {
    open_edge(s, p, s->g.ids[p], &b, 0, kind);
    prefetch_edge(s, p + EDGES_AHEAD, kind);
    prefetch_near(s, p + EDGES_NEAR, registers, kind);
    for (int k = 0; k < registers; k++) total[k] += term(&b, 0, k * WIDTH, kind);
  }
  for (int k = 0; k < registers; k++) wide_store(out + k * WIDTH, total[k]);
}

/* Sums a row of one column, which takes no block of edges: degrees, the divisors of means. */
TKG_INLINE void sum_column(const sum *s, int64_t row, float *out, int kind) {
  float total = 0;
  block b;
  for (int64_t p = s->g.offsets[row]; p < s->g.offsets[row + 1]; p++) {
    open_edge(s, p, s->g.ids[p], &b, 0, kind);
    total += term_of_column(&b, 0, 0, kind);
  }
  *out = total;
}

/* Sums a row; `registers` are those of registers_of_row. */
TKG_INLINE void sum_row(const sum *s, int64_t row, float *out, int registers, int kind) {
  const int32_t *ids = s->g.ids;
  const int64_t last = s->g.offsets[row + 1];
  block b;
  if (registers) {
    sum_in_registers(s, row, out, registers, kind);
    return;
  }
  if (s->d == 1) {
    sum_column(s, row, out, kind);
    return;
  }
  memset(out, 0, (size_t)s->d * sizeof *out);
  for (int64_t p = s->g.offsets[row]; p < last; p += b.count) {
    b.count = last - p < BLOCK ? (int)(last - p) : BLOCK;
    for (int i = 0; i < b.count; i++) {
      open_edge(s, p + i, ids[p + i], &b, i, kind);
      prefetch_edge(s, p + i + EDGES_AHEAD, kind);
    }
    add_block(out, &b, s->d, kind);
  }
}

/* Makes the edge that is taken next entry i of the block. Relations of edges that row_of selects
 * were not prefetched with a window. */
TKG_INLINE void open_kept_edge(const sum *s, const kept_edges *k, block *b, int i, int kind) {
  const int next = k->at + EDGES_NEAR;
  b->x[i] = row_of_x(s, k->row[k->at], kind);
  if (kind & WEIGHTED) b->w[i] = k->weight[k->at];
  if (kind & MUL) b->r[i] = s->r + tkg__relation_at(s->g.relations, k->number[k->at]) * s->stride;
  if (kind & MUL && kind & INDEXED && next < k->count)
    prefetch_numbered(&s->g, k->begin + k->place[next], NULL, true);
}

/* Sums a row that fits so many registers over its kept edges, which end before edge `end`. */
TKG_INLINE void sum_kept_in_registers(const sum *s, kept_edges *k, int64_t end, float *out,
                                      int registers, int kind) {
  wide total[8];
  block b;
  for (int r = 0; r < registers; r++) total[r] = (wide){0};
  for (; is_kept_before(k, end, registers * WIDTH * (kind & HALF ? 2 : 4)); k->at++) {
    open_kept_edge(s, k, &b, 0, kind);
    for (int r = 0; r < registers; r++) total[r] += term(&b, 0, r * WIDTH, kind);
  }
  for (int r = 0; r < registers; r++) wide_store(out + r * WIDTH, total[r]);
}

/* The same of any row. */
TKG_INLINE void sum_kept_row(const sum *s, kept_edges *k, int64_t end, float *out, int registers,
                             int kind) {
  block b = {.count = 0};
  if (registers) {
    sum_kept_in_registers(s, k, end, out, registers, kind);
    return;
  }
  memset(out, 0, (size_t)s->d * sizeof *out);
  for (; is_kept_before(k, end, s->d * (kind & HALF ? 2 : 4)); k->at++) {
    open_kept_edge(s, k, &b, b.count++, kind);
    if (b.count < BLOCK) continue;
    add_block(out, &b, s->d, kind);
    b.count = 0;
  }
  if (b.count) add_block(out, &b, s->d, kind);
}

/* Sums rows over the edges whose weight is not zero, or whose tail has a row of x. */
TKG_INLINE void sum_kept_rows(const sum *s, int64_t first, int64_t last, int registers, int kind) {
  kept_edges k;
  begin_kept(&k, &s->g, s->w, s->x, (kind & HALF ? 2 : 4) * s->x_stride, s->g.offsets[first],
             s->g.offsets[last]);
  if (kind & INDEXED) keep_tails(&k, s->row_of, s->rows_of_x);
  for (int64_t row = first; row < last; row++)
    sum_kept_row(s, &k, s->g.offsets[row + 1], s->out + row * s->out_stride, registers, kind);
  if (kind & INDEXED && k.leads_outside) *s->leads_outside = true;
}

TKG_INLINE void sum_each_row(const sum *s, int64_t first, int64_t last, int registers, int kind) {
  if (registers && kind & WEIGHTED &&
      leaves_out_edges(&s->g, s->w, s->g.offsets[first], s->g.offsets[last])) {
    sum_kept_rows(s, first, last, registers, kind);
    return;
  }
  for (int64_t r = first; r < last; r++) sum_row(s, r, s->out + r * s->out_stride, registers, kind);
}

/* Calls a function that is inlined once for each number of registers of a row. */
#define EACH_WIDTH(function, s, first, last, kind)                                                 \
  switch (registers_of_row(s)) {                                                                   \
  case 1:                                                                                          \
    function(s, first, last, 1, kind);                                                             \
    break;                                                                                         \
  case 2:                                                                                          \
    function(s, first, last, 2, kind);                                                             \
    break;                                                                                         \
  case 4:                                                                                          \
    function(s, first, last, 4, kind);                                                             \
    break;                                                                                         \
  case 8:                                                                                          \
    function(s, first, last, WIDTH == 8 ? 8 : 0, kind);                                            \
    break;                                                                                         \
  default:                                                                                         \
    function(s, first, last, 0, kind);                                                             \
  }

/* Sums rows first..last-1, whose edges follow each other. */
TKG_INLINE void sum_rows(const sum *s, int64_t first, int64_t last, int kind) {
  sum ahead = *s;
  ahead.ahead_end = s->g.offsets[last];
  EACH_WIDTH(sum_each_row, &ahead, first, last, kind)
}

/* Prefetches what tells the first edges of the rows behind row b of the list: where they begin, and
 * their tails and weights, for none of which hardware can foresee the place. */
TKG_PREFETCH void prefetch_listed(const sum *s, int64_t b, int64_t end) {
  enum { LINE = 16, BEGINS = 2 * ROWS_AHEAD };
  if (b + BEGINS < end) __builtin_prefetch(s->g.offsets + s->list[b + BEGINS]);
  if (b + ROWS_AHEAD >= end) return;
  const int64_t first = s->g.offsets[s->list[b + ROWS_AHEAD]];
  int64_t last = s->g.offsets[s->list[b + ROWS_AHEAD] + 1];
  if (last > first + EDGES_AHEAD) last = first + EDGES_AHEAD;
  for (int64_t p = first; p < last; p += LINE) {
    __builtin_prefetch(s->g.ids + p);
    if (s->w && !s->g.order) __builtin_prefetch(s->w + p);
  }
}

/* Sums rows by id. The first edges of the next row are prefetched before a row is summed. */
TKG_INLINE void sum_each_listed(const sum *s, int64_t begin, int64_t end, int registers, int kind) {
  for (int64_t b = begin; b < end; b++) {
    sum here = *s, next = *s;
    prefetch_listed(s, b, end);
    here.ahead_end = s->g.offsets[s->list[b] + 1];
    if (b + 1 < end) {
      const int64_t p = s->g.offsets[s->list[b + 1]];
      next.ahead_end = s->g.offsets[s->list[b + 1] + 1];
      for (int i = 0; i < EDGES_AHEAD; i++) prefetch_edge(&next, p + i, kind);
    }
    sum_row(&here, s->list[b], s->out + (s->by_row ? s->list[b] : b) * s->d, registers, kind);
  }
}

TKG_INLINE void sum_listed(const sum *s, int64_t begin, int64_t end, int kind) {
  EACH_WIDTH(sum_each_listed, s, begin, end, kind)
}

/* ---- the ops ---- */

static sum sum_of(const tkg_call *c) {
  const int op = c->node->op;
  const bool mul = op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_MUL_ROWS ||
                   op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const bool rows = op == TKG_OP_AGGREGATE_ROWS || op == TKG_OP_AGGREGATE_MUL_ROWS ||
                    op == TKG_OP_AGGREGATE_WHERE;
  const bool row_of = op == TKG_OP_AGGREGATE_INDEXED || op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const int list = mul ? 3 : 2, weights = list + (rows || row_of);
  sum s = {.g = edges_graph(c),
           .op = tkg__ops[op].name,
           .x = c->data[1],
           .r = mul ? c->data[2] : NULL,
           .w = c->data[weights],
           .list = rows ? c->data[list] : NULL,
           .row_of = row_of ? c->data[list] : NULL,
           .rows_of_x = tkg__rows(c->in[1]),
           .out = c->out,
           .d = tkg__cols(c->node),
           .x_stride = tkg__cols(c->node),
           .stride = tkg__cols(c->node),
           .out_stride = tkg__cols(c->node)};
  s.kind = (s.w ? WEIGHTED : 0) | (s.r ? MUL : 0);
  return s;
}

/* Calls a function that is inlined once for each kind of terms; `also` are further bits of it. */
#define EACH_KIND(function, kind, also, ...)                                                       \
  switch (kind) {                                                                                  \
  case 0:                                                                                          \
    function(__VA_ARGS__, (also));                                                                 \
    break;                                                                                         \
  case WEIGHTED:                                                                                   \
    function(__VA_ARGS__, (also) | WEIGHTED);                                                      \
    break;                                                                                         \
  case MUL:                                                                                        \
    function(__VA_ARGS__, (also) | MUL);                                                           \
    break;                                                                                         \
  default:                                                                                         \
    function(__VA_ARGS__, (also) | WEIGHTED | MUL);                                                \
  }

static int aggregate_range(const tkg_call *c, int64_t first, int64_t last) {
  const sum s = sum_of(c);
  if (c->in[1]->dtype == TKG_CODES)
    TKG_ISA_NAME(tkg__aggregate_codes)(c, s.r, s.w, NULL, first, last);
  else if (c->in[1]->dtype == TKG_BF16)
    EACH_KIND(sum_rows, s.kind, HALF, &s, first, last)
  else
    EACH_KIND(sum_rows, s.kind, 0, &s, first, last)
  return TKG_OK;
}

/* ---- written over what is read: a slice of columns at a time ---- */

static void sum_floats(const sum *s, int64_t first, int64_t last) {
  EACH_KIND(sum_rows, s->kind, 0, s, first, last)
}

/* One phase copies a slice of x to scratch memory, where its rows follow each other and so more of
 * them fit into caches; the next sums it to where it was. */
static void sum_slice(const tkg_call *c, int64_t first, int64_t last) {
  sum s = sum_of(c);
  float *slice = c->scratch;
  const int64_t begin = c->phase / 2 * c->slice, left = s.d - begin;
  s.d = s.x_stride = left < c->slice ? left : c->slice;
  if (c->phase % 2 == 0) {
    for (int64_t r = first; r < last; r++)
      copy_row(slice + r * s.d, s.x + r * s.stride + begin, s.d);
    return;
  }
  s.x = slice;
  s.out += begin;
  if (s.r) s.r += begin;
  sum_floats(&s, first, last);
}

/* Of a sum that lies over a part of x: the rows of it that do, and the others. */
typedef struct over {
  int64_t first, last, others_first, others_last;
} over;

static over rows_over(const tkg_call *c) {
  const int64_t row = tkg__cols(c->node) * (int64_t)sizeof(float), n = tkg__rows(c->node);
  const int64_t apart = (int64_t)((intptr_t)c->out - (intptr_t)c->data[1]) / row;
  if (apart <= -n || apart >= n) return (over){0, 0, 0, n};
  return apart > 0 ? (over){0, n - apart, n - apart, n} : (over){-apart, n, 0, -apart};
}

/* Sums units begin..end-1 of those rows and of the others. Of the former the first slice goes to
 * scratch memory, so that its columns of x are free then; the rest is summed there, in the second
 * phase, and moved to its place in the third. */
static void sum_over(const tkg_call *c, const over *o, int64_t begin, int64_t end) {
  const sum whole = sum_of(c);
  const int64_t units = edges_units(c->node, c->in), rest = whole.d - c->slice;
  const int64_t first = edges_cut(&whole.g, o->first, o->last, begin, units);
  const int64_t last = edges_cut(&whole.g, o->first, o->last, end, units);
  float *slice = (float *)c->scratch - o->first * c->slice;
  sum s = whole;
  if (c->phase == 2) {
    for (int64_t r = first; r < last; r++) {
      float *row = s.out + r * s.d;
      copy_row(row + c->slice, row, rest);
      copy_row(row, slice + r * c->slice, c->slice);
    }
    return;
  }
  s.d = c->phase == 0 ? c->slice : rest;
  if (c->phase == 0) {
    s.out = slice;
    s.out_stride = c->slice;
    sum_floats(&whole, edges_cut(&s.g, o->others_first, o->others_last, begin, units),
               edges_cut(&s.g, o->others_first, o->others_last, end, units));
  } else {
    s.x += c->slice;
    if (s.r) s.r += c->slice;
  }
  sum_floats(&s, first, last);
}

static int phases(const tkg_call *c) {
  const int64_t d = tkg__cols(c->node);
  if (!c->slice) return 1;
  if (c->out == c->data[1]) return (int)(2 * ((d + c->slice - 1) / c->slice));
  const over o = rows_over(c);
  return o.first < o.last ? 3 : 1;
}

static int aggregate(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  if (!c->slice) return aggregate_range(c, first, last);
  if (c->out == c->data[1]) {
    sum_slice(c, first, last);
  } else {
    const over o = rows_over(c);
    sum_over(c, &o, begin, end);
  }
  return TKG_OK;
}

static int aggregate_rows(const tkg_call *c, int64_t begin, int64_t end) {
  const sum s = sum_of(c);
  const int status = check_ids(s.op, s.list, begin, end, s.g.n);
  if (status) return status;
  if (c->in[1]->dtype == TKG_CODES)
    TKG_ISA_NAME(tkg__aggregate_codes)(c, s.r, s.w, s.list, begin, end);
  else if (c->in[1]->dtype == TKG_BF16)
    EACH_KIND(sum_listed, s.kind, HALF, &s, begin, end)
  else
    EACH_KIND(sum_listed, s.kind, 0, &s, begin, end)
  return TKG_OK;
}

/* Lists the rows that are wanted, some at a time, and clears the others. */
static int aggregate_where_rows(const tkg_call *c, int64_t first, int64_t last) {
  enum { LISTED = 256 };
  int32_t list[LISTED];
  sum s = sum_of(c);
  const int32_t *where = s.list;
  s.list = list;
  s.by_row = true;
  for (int64_t row = first; row < last;) {
    int count = 0;
    for (; row < last && count < LISTED; row++)
      if (where[row] >= 0)
        list[count++] = (int32_t)row;
      else
        memset(s.out + row * s.d, 0, (size_t)s.d * sizeof *s.out);
    if (c->in[1]->dtype == TKG_CODES)
      TKG_ISA_NAME(tkg__aggregate_codes)(c, s.r, s.w, list, 0, count);
    else if (c->in[1]->dtype == TKG_BF16)
      EACH_KIND(sum_listed, s.kind, HALF, &s, 0, count)
    else
      EACH_KIND(sum_listed, s.kind, 0, &s, 0, count)
  }
  return TKG_OK;
}

static int aggregate_where(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  return aggregate_where_rows(c, first, last);
}

TKG_INLINE void sum_indexed(const sum *s, int64_t first, int64_t last, int kind) {
  EACH_WIDTH(sum_kept_rows, s, first, last, kind)
}

/* Fails with the first tail whose row x has not. */
static int check_rows_of(const sum *s) {
  for (int64_t t = 0; t < s->g.m; t++)
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): these ops have row_of
    if (s->row_of[t] >= s->rows_of_x) return check_ids(s->op, s->row_of, t, t + 1, s->rows_of_x);
  return TKG_OK;
}

static int aggregate_indexed_rows(const tkg_call *c, int64_t first, int64_t last) {
  sum s = sum_of(c);
  bool leads_outside = false;
  s.leads_outside = &leads_outside;
  EACH_KIND(sum_indexed, s.kind, INDEXED, &s, first, last)
  return leads_outside ? check_rows_of(&s) : TKG_OK;
}

static int aggregate_indexed(const tkg_call *c, int64_t begin, int64_t end) {
  const sum s = sum_of(c);
  int64_t first, last;
  const int status = begin == 0 ? check_rows_of(&s) : TKG_OK;
  if (status || s.g.n == 0) return status;
  edges_range(c, &s.g, begin, end, &first, &last);
  return aggregate_indexed_rows(c, first, last);
}

static int64_t work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return (node->i[2] + edges_rows(node)) * tkg__cols(node);
}

/* An estimate: rows of the list have as many edges as others. */
static int64_t rows_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  int64_t rows = edges_rows(node), edges_a_row = rows ? node->i[2] / rows : 0;
  return tkg__count(node) * (edges_a_row + 1);
}

/* One unit even when the graph has no rows, so that ids are checked. */
static int64_t indexed_units(const tkg_node *node, const tkg_node *const *in) {
  return edges_rows(node) ? edges_units(node, in) : 1;
}

static int64_t indexed_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node) + 2 * node->i[2];
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_aggregate)[] = {
    {.op = TKG_OP_AGGREGATE,
     .run = aggregate,
     .units = edges_units,
     .work = work,
     .phases = phases,
     .rows = aggregate_range},
    {.op = TKG_OP_AGGREGATE_ROWS, .run = aggregate_rows, .work = rows_work},
    {.op = TKG_OP_AGGREGATE_INDEXED,
     .run = aggregate_indexed,
     .units = indexed_units,
     .work = indexed_work,
     .rows = aggregate_indexed_rows},
    {.op = TKG_OP_AGGREGATE_WHERE,
     .run = aggregate_where,
     .units = edges_units,
     .work = work,
     .rows = aggregate_where_rows},
    {.op = TKG_OP_AGGREGATE_MUL,
     .run = aggregate,
     .units = edges_units,
     .work = work,
     .phases = phases,
     .rows = aggregate_range},
    {.op = TKG_OP_AGGREGATE_MUL_ROWS, .run = aggregate_rows, .work = rows_work},
    {.op = TKG_OP_AGGREGATE_MUL_INDEXED,
     .run = aggregate_indexed,
     .units = indexed_units,
     .work = indexed_work,
     .rows = aggregate_indexed_rows},
    {0},
};
