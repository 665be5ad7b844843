/* AGGREGATE and its kin: out[i] = sum over the edges i -> t of w x[t] r[relation], where w and r
 * are optional. AGGREGATE_ROWS computes the rows i of a list; AGGREGATE_INDEXED reads row row_of[t]
 * of x in place of t and skips an edge where that is -1.
 *
 * A layer of a graph network spends its time here, waiting for rows of x, which lie anywhere. So
 * rows are prefetched some edges ahead, and sums stay in registers: the edges of a row are taken in
 * blocks; opening a block finds the addresses of each term's operands, whatever the kind of op, and
 * the loops that add know nothing but those addresses. A second pass over a block, for further
 * columns, finds its rows in the first cache. Units are slices of edges (edges.h). Each sum has the
 * order of the row's edges, on every instruction set and for every number of threads. */
#include "aggregate_codes.h"
#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "shared/vmath.h"
#include "wide.h"

enum { BLOCK = 64 }; /* edges */
/* The kind of a term, a constant where loops are inlined. HALF: x has 16 bits. */
enum { WEIGHTED = 1, MUL = 2, HALF = 8 };

typedef struct sum {
  tkg_graph g;
  const char *op;
  const float *x;
  const float *r;      /* relation vectors, or NULL */
  const float *w;      /* by edge, or NULL */
  const int32_t *list; /* the rows to compute, or row_of by tail */
  float *out;
  int64_t d;         /* columns to sum, and of x */
  int64_t stride;    /* of rows of r and out: their columns */
  int64_t ahead_end; /* prefetch up to this edge */
  int kind;
} sum;

typedef struct block {
  int count;
  float w[BLOCK];
  const float *x[BLOCK], *r[BLOCK];
} block;

/* ---- adding a block ---- */

TKG_INLINE wide term(const block *b, int i, int64_t j, int kind) {
  wide t = wide_load_either(b->x[i], j, kind & HALF);
  if (kind & MUL) t *= wide_load(b->r[i] + j);
  if (kind & WEIGHTED) t *= b->w[i];
  return t;
}

TKG_INLINE void add_columns_4(float *out, const block *b, int64_t j, int kind) {
  wide s0 = wide_load(out + j), s1 = wide_load(out + j + WIDTH);
  wide s2 = wide_load(out + j + 2 * WIDTH), s3 = wide_load(out + j + 3 * WIDTH);
  for (int i = 0; i < b->count; i++) {
    s0 += term(b, i, j, kind);
    s1 += term(b, i, j + WIDTH, kind);
    s2 += term(b, i, j + 2 * WIDTH, kind);
    s3 += term(b, i, j + 3 * WIDTH, kind);
  }
  wide_store(out + j, s0);
  wide_store(out + j + WIDTH, s1);
  wide_store(out + j + 2 * WIDTH, s2);
  wide_store(out + j + 3 * WIDTH, s3);
}

TKG_INLINE void add_columns_2(float *out, const block *b, int64_t j, int kind) {
  wide s0 = wide_load(out + j), s1 = wide_load(out + j + WIDTH);
  for (int i = 0; i < b->count; i++) {
    s0 += term(b, i, j, kind);
    s1 += term(b, i, j + WIDTH, kind);
  }
  wide_store(out + j, s0);
  wide_store(out + j + WIDTH, s1);
}

TKG_INLINE void add_columns_1(float *out, const block *b, int64_t j, int kind) {
  wide s = wide_load(out + j);
  for (int i = 0; i < b->count; i++) s += term(b, i, j, kind);
  wide_store(out + j, s);
}

TKG_INLINE void add_column(float *out, const block *b, int64_t j, int kind) {
  float s = out[j];
  for (int i = 0; i < b->count; i++) {
    float t = wide_element(b->x[i], j, kind & HALF);
    if (kind & MUL) t *= b->r[i][j];
    if (kind & WEIGHTED) t *= b->w[i];
    s += t;
  }
  out[j] = s;
}

/* out += the block's terms, d columns. */
TKG_INLINE void add_block(float *out, const block *b, int64_t d, int kind) {
  int64_t j = 0;
  for (; j + 4 * WIDTH <= d; j += 4 * WIDTH) add_columns_4(out, b, j, kind);
  if (j + 2 * WIDTH <= d) {
    add_columns_2(out, b, j, kind);
    j += 2 * WIDTH;
  }
  for (; j + WIDTH <= d; j += WIDTH) add_columns_1(out, b, j, kind);
  for (; j < d; j++) add_column(out, b, j, kind);
}

/* ---- rows of a graph ---- */

/* The address of a row of x; it is one of 16-bit numbers if the kind says so. */
TKG_INLINE const float *row_of_x(const sum *s, int64_t row, int kind) {
  return kind & HALF ? (const float *)((const uint16_t *)s->x + row * s->d) : s->x + row * s->d;
}

/* Makes edge p entry i of the block; its tail has that row of x. */
TKG_INLINE void open_edge(const sum *s, int64_t p, int64_t row, block *b, int i, int kind) {
  b->x[i] = row_of_x(s, row, kind);
  const int64_t edge = kind & (MUL | WEIGHTED) ? tkg__edge_number(&s->g, p) : 0;
  if (kind & MUL) b->r[i] = s->r + tkg__relation_at(s->g.relations, edge) * s->stride;
  if (kind & WEIGHTED) b->w[i] = s->w[edge];
}

/* Prefetches what edge p will need. */
TKG_PREFETCH void prefetch_edge(const sum *s, int64_t p, int kind) {
  if (p >= s->ahead_end) return;
  prefetch_far(row_of_x(s, s->g.ids[p], kind), (kind & HALF ? 2 : 4) * s->d);
  if (kind & (MUL | WEIGHTED) && s->g.order)
    prefetch_numbered(&s->g, p, kind & WEIGHTED ? s->w : NULL, kind & MUL);
}

TKG_INLINE void sum_row(const sum *s, int64_t row, float *out, int kind) {
  const int32_t *ids = s->g.ids;
  const int64_t last = s->g.offsets[row + 1];
  block b;
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

/* Sums rows first..last-1, whose edges follow each other. */
TKG_INLINE void sum_rows(const sum *s, int64_t first, int64_t last, int kind) {
  sum ahead = *s;
  ahead.ahead_end = s->g.offsets[last];
  for (int64_t r = first; r < last; r++) sum_row(&ahead, r, s->out + r * s->stride, kind);
}

/* Sums rows by id. The first edges of the next row are prefetched before a row is summed. */
TKG_INLINE void sum_listed(const sum *s, int64_t begin, int64_t end, int kind) {
  for (int64_t b = begin; b < end; b++) {
    sum here = *s, next = *s;
    here.ahead_end = s->g.offsets[s->list[b] + 1];
    if (b + 1 < end) {
      const int64_t p = s->g.offsets[s->list[b + 1]];
      next.ahead_end = s->g.offsets[s->list[b + 1] + 1];
      for (int i = 0; i < EDGES_AHEAD; i++) prefetch_edge(&next, p + i, kind);
    }
    sum_row(&here, s->list[b], s->out + b * s->d, kind);
  }
}

/* ---- rows of a graph, few of whose tails have a row of x ---- */

/* One bit per tail, by the tail's low eighteen bits: the filter fits the first cache, and most
 * edges whose tail has no row are skipped without reading row_of. */
enum { FILTER_BITS = 1 << 18 };

typedef struct filter {
  uint32_t words[FILTER_BITS / 32];
} filter;

static int open_filter(const sum *s, int64_t rows_of_x, filter *f) {
  memset(f->words, 0, sizeof f->words);
  for (int64_t t = 0; t < s->g.m; t++) {
    if (s->list[t] < 0) continue;
    if (s->list[t] >= rows_of_x) return check_ids(s->op, s->list, t, t + 1, rows_of_x);
    f->words[t % FILTER_BITS / 32] |= 1U << (t % 32);
  }
  return TKG_OK;
}

/* Writes to `at` which of the edges p..p+count-1 may have a row, in order. Returns their number.
 */
static int select_edges(const sum *s, const filter *f, int64_t p, int count,
                        int16_t at[IDS_BLOCK]) {
  int found = 0;
  for (int i = 0; i < count; i++) {
    const uint32_t id = (uint32_t)s->g.ids[p + i];
    at[found] = (int16_t)i;
    found += (int)(f->words[id % FILTER_BITS / 32] >> (id % 32) & 1);
  }
  return found;
}

/* Adds those of the edges p + at[0..found) that lie before edge `last`, all of one row. Returns
 * their number. */
TKG_INLINE int add_selected(const sum *s, int64_t p, const int16_t *at, int found, int64_t last,
                            float *out, int kind) {
  int used = 0;
  block b;
  while (used < found && p + at[used] < last) {
    b.count = 0;
    for (; b.count < BLOCK && used < found && p + at[used] < last; used++) {
      const int32_t row = s->list[s->g.ids[p + at[used]]];
      if (row >= 0) open_edge(s, p + at[used], row, &b, b.count++, kind);
    }
    add_block(out, &b, s->d, kind);
  }
  return used;
}

/* Prefetches what the edges p + at[0..found) need: first the places, then the rows at them. */
TKG_PREFETCH void prefetch_selected(const sum *s, int64_t p, const int16_t *at, int found,
                                    int kind) {
  for (int i = 0; i < found; i++) {
    __builtin_prefetch(s->list + s->g.ids[p + at[i]]);
    if (kind && s->g.order) __builtin_prefetch(s->g.order + p + at[i]);
  }
  for (int i = 0; i < found; i++) {
    const int32_t row = s->list[s->g.ids[p + at[i]]];
    if (row >= 0) prefetch_far(s->x + row * s->d, 4 * s->d);
    prefetch_numbered(&s->g, p + at[i], kind & WEIGHTED ? s->w : NULL, kind & MUL);
  }
}

/* Clears output rows from..to-1 just before they are added to, so that they are in cache. Returns
 * the first row that is not cleared yet. */
static int64_t clear_rows(const sum *s, int64_t from, int64_t to) {
  if (to > from) memset(s->out + from * s->d, 0, (size_t)((to - from) * s->d) * sizeof *s->out);
  return to > from ? to : from;
}

TKG_INLINE void sum_indexed(const sum *s, const filter *f, int64_t first, int64_t last, int kind) {
  int16_t at[IDS_BLOCK] = {0};
  int64_t row = first, clear = first;
  const int64_t end = s->g.offsets[last];
  for (int64_t p = s->g.offsets[first]; p < end; p += IDS_BLOCK) {
    const int found = select_edges(s, f, p, end - p < IDS_BLOCK ? (int)(end - p) : IDS_BLOCK, at);
    prefetch_selected(s, p, at, found, kind);
    for (int used = 0; used < found;) {
      while (s->g.offsets[row + 1] <= p + at[used]) row++;
      clear = clear_rows(s, clear, row + 1);
      used += add_selected(s, p, at + used, found - used, s->g.offsets[row + 1],
                           s->out + row * s->d, kind);
    }
  }
  clear_rows(s, clear, last);
}

/* ---- the ops ---- */

static sum sum_of(const tkg_call *c) {
  const int op = c->node->op;
  const bool mul = op == TKG_OP_AGGREGATE_MUL || op == TKG_OP_AGGREGATE_MUL_ROWS ||
                   op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const bool rows = op == TKG_OP_AGGREGATE_ROWS || op == TKG_OP_AGGREGATE_MUL_ROWS;
  const bool row_of = op == TKG_OP_AGGREGATE_INDEXED || op == TKG_OP_AGGREGATE_MUL_INDEXED;
  const int list = mul ? 3 : 2, weights = list + (rows || row_of);
  sum s = {.g = edges_graph(c),
           .op = tkg__ops[op].name,
           .x = c->data[1],
           .r = mul ? c->data[2] : NULL,
           .w = c->data[weights],
           .list = c->data[list],
           .out = c->out,
           .d = tkg__cols(c->node),
           .stride = tkg__cols(c->node)};
  s.kind = (s.w ? WEIGHTED : 0) | (s.r ? MUL : 0);
  return s;
}

/* Calls a function that is inlined once for each kind of terms; `packed` is HALF or 0. */
#define EACH_KIND(function, kind, packed, ...)                                                     \
  switch (kind) {                                                                                  \
  case 0:                                                                                          \
    function(__VA_ARGS__, (packed));                                                               \
    break;                                                                                         \
  case WEIGHTED:                                                                                   \
    function(__VA_ARGS__, (packed) | WEIGHTED);                                                    \
    break;                                                                                         \
  case MUL:                                                                                        \
    function(__VA_ARGS__, (packed) | MUL);                                                         \
    break;                                                                                         \
  default:                                                                                         \
    function(__VA_ARGS__, (packed) | WEIGHTED | MUL);                                              \
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

/* ---- slices of columns: one phase copies a slice of x to scratch memory, where its rows follow
 * each other and so more of them fit into caches; the next sums it ---- */

static int phases(const tkg_call *c) {
  const int64_t d = tkg__cols(c->node);
  return c->slice ? (int)(2 * ((d + c->slice - 1) / c->slice)) : 1;
}

static void aggregate_slice(const tkg_call *c, int64_t first, int64_t last) {
  sum s = sum_of(c);
  float *slice = c->scratch;
  const int64_t begin = c->phase / 2 * c->slice, left = s.d - begin;
  s.d = left < c->slice ? left : c->slice;
  if (c->phase % 2 == 0) {
    for (int64_t r = first; r < last; r++)
      memcpy(slice + r * s.d, s.x + r * s.stride + begin, (size_t)s.d * sizeof *slice);
    return;
  }
  s.x = slice;
  s.out += begin;
  if (s.r) s.r += begin;
  EACH_KIND(sum_rows, s.kind, 0, &s, first, last)
}

static int aggregate(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  if (!c->slice) return aggregate_range(c, first, last);
  aggregate_slice(c, first, last);
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

/* Rows first..last-1 without a filter, which takes longer to open than a few rows to sum. */
TKG_INLINE void sum_indexed_rows(const sum *s, int64_t first, int64_t last, int kind) {
  for (int64_t row = first; row < last; row++) {
    const int64_t end = s->g.offsets[row + 1];
    float *out = s->out + row * s->d;
    block b = {.count = 0};
    memset(out, 0, (size_t)s->d * sizeof *out);
    for (int64_t p = s->g.offsets[row]; p < end; p++) {
      const int32_t of_x = s->list[s->g.ids[p]];
      if (of_x >= 0) open_edge(s, p, of_x, &b, b.count++, kind);
      if (b.count < BLOCK && p + 1 < end) continue;
      add_block(out, &b, s->d, kind);
      b.count = 0;
    }
  }
}

static int aggregate_indexed_rows(const tkg_call *c, int64_t first, int64_t last) {
  const sum s = sum_of(c);
  for (int64_t p = s.g.offsets[first]; p < s.g.offsets[last]; p++) {
    const int64_t tail = s.g.ids[p];
    if (s.list[tail] >= tkg__rows(c->in[1]))
      return check_ids(s.op, s.list, tail, tail + 1, tkg__rows(c->in[1]));
  }
  EACH_KIND(sum_indexed_rows, s.kind, 0, &s, first, last)
  return TKG_OK;
}

static int aggregate_indexed(const tkg_call *c, int64_t begin, int64_t end) {
  const sum s = sum_of(c);
  filter f;
  int64_t first, last;
  edges_range(c, &s.g, begin, end, &first, &last);
  const int status = open_filter(&s, tkg__rows(c->in[1]), &f);
  if (status) return status;
  EACH_KIND(sum_indexed, s.kind, 0, &s, &f, first, last)
  return TKG_OK;
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
     .units = edges_units,
     .work = indexed_work,
     .rows = aggregate_indexed_rows},
    {.op = TKG_OP_AGGREGATE_MUL,
     .run = aggregate,
     .units = edges_units,
     .work = work,
     .phases = phases,
     .rows = aggregate_range},
    {.op = TKG_OP_AGGREGATE_MUL_ROWS, .run = aggregate_rows, .work = rows_work},
    {.op = TKG_OP_AGGREGATE_MUL_INDEXED,
     .run = aggregate_indexed,
     .units = edges_units,
     .work = indexed_work,
     .rows = aggregate_indexed_rows},
    {0},
};
