/* Terms of sums over edges in blocks of edges: opening an edge finds the addresses of its term's
 * operands, whatever the kind of op; the loops that add a block know nothing but those addresses. A
 * second pass over a block, for further columns, finds its rows in the first cache. */
#ifndef TKG_CPU_EDGE_SUM_H
#define TKG_CPU_EDGE_SUM_H

#include "edges.h"
#include "isa.h"
#include "shared/vmath.h"
#include "wide.h"

enum { BLOCK = 64 }; /* edges */
/* The kind of a term, a constant where loops are inlined. INDEXED: x has rows for some tails alone.
 * HALF: x has 16 bits. */
enum { WEIGHTED = 1, MUL = 2, INDEXED = 4, HALF = 8 };

typedef struct sum {
  tkg_graph g;
  const char *op;
  const float *x;
  const float *r;        /* relation vectors, or NULL */
  const float *w;        /* by edge, or NULL */
  const int32_t *list;   /* the rows to compute, or NULL: all */
  bool by_row;           /* the sum of a listed row goes to that row of out, not to its place */
  const int32_t *row_of; /* the row of x by tail, -1: none; NULL: tail t has row t */
  int64_t rows_of_x;
  bool *leads_outside; /* set where row_of names a row that x has not */
  float *out;
  int64_t d;                            /* columns to sum */
  int64_t x_stride, stride, out_stride; /* columns of a row of x, of r, of out */
  int64_t ahead_end;                    /* prefetch up to this edge */
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

TKG_INLINE float term_of_column(const block *b, int i, int64_t j, int kind) {
  float t = wide_element(b->x[i], j, kind & HALF);
  if (kind & MUL) t *= b->r[i][j];
  if (kind & WEIGHTED) t *= b->w[i];
  return t;
}

TKG_INLINE void add_column(float *out, const block *b, int64_t j, int kind) {
  float s = out[j];
  for (int i = 0; i < b->count; i++) s += term_of_column(b, i, j, kind);
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

/* The address of a row of x; it is one of 16-bit numbers if the kind says so. */
TKG_INLINE const float *row_of_x(const sum *s, int64_t row, int kind) {
  return kind & HALF ? (const float *)((const uint16_t *)s->x + row * s->x_stride)
                     : s->x + row * s->x_stride;
}

/* Makes edge p entry i of the block; its tail has that row of x. */
TKG_INLINE void open_edge(const sum *s, int64_t p, int64_t row, block *b, int i, int kind) {
  b->x[i] = row_of_x(s, row, kind);
  const int64_t edge = kind & (MUL | WEIGHTED) ? tkg__edge_number(&s->g, p) : 0;
  if (kind & MUL) b->r[i] = s->r + tkg__relation_at(s->g.relations, edge) * s->stride;
  if (kind & WEIGHTED) b->w[i] = s->w[edge];
}

#endif
