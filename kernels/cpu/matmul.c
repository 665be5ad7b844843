/* MATMUL and BATCHED_MATMUL: out[m,n] = op(a) op(b) by the CBLAS in one thread; the work is split
 * here.
 *
 * How a product is cut depends on its shape alone, so that a sum is always formed in the same
 * order: into blocks of output rows; or, for a transposed a (weight gradients: few outputs, a sum
 * over all rows of a batch or graph), into partial sums over ranges of k, which are added in order
 * at the end. */
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/op.h"
#include "cpu/dispatch/gemm.h"
#include "ids.h"
#include "isa.h"
#include "kernel.h"

enum {
  BLOCK_ROWS = 256,   /* output rows per unit */
  PART_LENGTH = 2048, /* least k of a partial sum */
  MOST_PARTS = 16,
  MOST_PART_ELEMENTS = 1 << 22, /* of all partial sums together: 16 MiB */
  WHERE = 2,                    /* the input that says which rows are wanted */
  TINY = 128,                   /* multiplications below which a plain loop is faster */
};

typedef struct product {
  int64_t m, n, k;
  int64_t lda, ldb;
  bool ta, tb;
  int64_t parts;
} product;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static product product_of(const tkg_node *node, const tkg_node *const *in) {
  product p = {.lda = tkg__cols(in[0]), .ldb = tkg__cols(in[1])};
  p.ta = node->i[0] != 0;
  p.tb = node->i[1] != 0;
  p.m = p.ta ? tkg__cols(in[0]) : tkg__rows(in[0]);
  p.k = p.ta ? tkg__rows(in[0]) : tkg__cols(in[0]);
  p.n = p.tb ? tkg__rows(in[1]) : tkg__cols(in[1]);
  p.parts = 1;
  if (p.ta && p.m * p.n > 0) {
    p.parts = least((p.k + PART_LENGTH - 1) / PART_LENGTH, MOST_PARTS);
    p.parts = least(p.parts, MOST_PART_ELEMENTS / (p.m * p.n));
    if (p.parts < 1) p.parts = 1;
  }
  return p;
}

static int64_t units(const tkg_node *node, const tkg_node *const *in) {
  product p = product_of(node, in);
  return p.parts > 1 ? p.parts : (p.m + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

static int64_t work(const tkg_node *node, const tkg_node *const *in) {
  product p = product_of(node, in);
  return p.m * p.n * p.k / 8 + p.m * p.n;
}

static int64_t scratch(const tkg_node *node, const tkg_node *const *in) {
  product p = product_of(node, in);
  return p.parts > 1 ? p.parts * p.m * p.n * (int64_t)sizeof(float) : 0;
}

/* For matrices so small that a call of the library takes longer than the product. */
static void multiply_tiny(const product *p, const float *a, const float *b, float *out) {
  for (int64_t i = 0; i < p->m; i++)
    for (int64_t j = 0; j < p->n; j++) {
      float s = 0;
      for (int64_t l = 0; l < p->k; l++)
        s +=
            a[p->ta ? l * p->lda + i : i * p->lda + l] * b[p->tb ? j * p->ldb + l : l * p->ldb + j];
      out[i * p->n + j] = s;
    }
}

/* Multiplies a block: p's m and k are the block's, a and b its first elements. */
static int multiply(const product *p, const float *a, const float *b, float *out) {
  const tkg_gemm whole = {(int)p->m, (int)p->n,   (int)p->k,   p->ta,
                          p->tb,     (int)p->lda, (int)p->ldb, false};
  if (p->m == 0 || p->n == 0) return TKG_OK;
  if (p->k > 0 && p->m * p->n * p->k > TINY) return tkg__gemm(&whole, a, b, out);
  if (p->k == 0)
    memset(out, 0, (size_t)(p->m * p->n) * sizeof *out);
  else
    multiply_tiny(p, a, b, out);
  return TKG_OK;
}

/* ---- some of the rows: input `where` ---- */

enum { MOST_PICKED = BLOCK_ROWS / 4 * 3, PICKED_UNIT = 8 };

typedef struct picked {
  int count, padded; /* to a whole number of PICKED_UNIT, so that few kernels are made */
  int32_t rows[BLOCK_ROWS];
} picked;

/* Finds which of rows first..last-1 are wanted. Returns whether they are so few that it is faster
 * to multiply these alone. */
static bool pick(picked *s, const tkg_call *c, int64_t first, int64_t last) {
  const int32_t *where = c->node->inputs > WHERE ? c->data[WHERE] : NULL;
  if (!where || last - first > BLOCK_ROWS) return false;
  s->count = 0;
  for (int64_t r = first; r < last; r++) {
    s->rows[s->count] = (int32_t)r;
    s->count += where[r] >= 0;
  }
  s->padded = (s->count + PICKED_UNIT - 1) / PICKED_UNIT * PICKED_UNIT;
  return s->padded <= MOST_PICKED;
}

/* Copies the picked rows of x, of so many columns, and zeros behind them. */
static void copy_picked(const picked *s, const float *x, int64_t cols, float *to) {
  for (int i = 0; i < s->count; i++)
    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): pick wrote `count` rows
    copy_row(to + i * cols, x + s->rows[i] * cols, cols);
  memset(to + s->count * cols, 0, (size_t)((s->padded - s->count) * cols) * sizeof *to);
}

/* Multiplies the picked ones of rows first..last-1 of a; the others of the result are zero. */
static int multiply_picked(const picked *s, const product *p, const tkg_call *c, int64_t first,
                           int64_t last) {
  float a[MOST_PICKED * TKG_NARROW], products[MOST_PICKED * TKG_NARROW], *out = c->out;
  product block = *p;
  block.m = s->padded;
  copy_picked(s, c->data[0], p->k, a);
  const int status = multiply(&block, a, c->data[1], products);
  int next = 0;
  for (int64_t r = first; r < last; r++)
    if (next < s->count && s->rows[next] == r)
      copy_row(out + r * p->n, products + next++ * p->n, p->n);
    else
      memset(out + r * p->n, 0, (size_t)p->n * sizeof *out);
  return status;
}

/* Whether picked rows of both sides fit their copies. */
static bool is_narrow(const product *p) {
  return (p->ta ? p->m : p->k) <= TKG_NARROW && p->n <= TKG_NARROW;
}

/* ---- units ---- */

static int part_of_sum(const product *p, const tkg_call *c, int64_t u) {
  const float *a = c->data[0], *b = c->data[1];
  product part = *p;
  int64_t first = p->k * u / p->parts;
  part.k = p->k * (u + 1) / p->parts - first;
  return multiply(&part, a + first * p->lda, b + (p->tb ? first : first * p->ldb),
                  (float *)c->scratch + u * p->m * p->n);
}

static int block_of_rows(const product *p, const tkg_call *c, int64_t u) {
  const float *a = c->data[0];
  product block = *p;
  int64_t first = u * BLOCK_ROWS;
  picked some;
  block.m = least(BLOCK_ROWS, p->m - first);
  if (!p->ta && is_narrow(p) && pick(&some, c, first, first + block.m))
    return multiply_picked(&some, p, c, first, first + block.m);
  return multiply(&block, a + (p->ta ? first : first * p->lda), c->data[1],
                  (float *)c->out + first * p->n);
}

/* Whether CBLAS, which counts in 32 bits, can take a block. */
static bool countable(const product *p) {
  int64_t k = p->ta ? p->k / p->parts + 1 : p->k;
  return p->n <= INT32_MAX && k <= INT32_MAX && p->lda <= INT32_MAX && p->ldb <= INT32_MAX;
}

static int matmul(const tkg_call *c, int64_t begin, int64_t end) {
  product p = product_of(c->node, c->in);
  if (!countable(&p))
    return tkg__fail(TKG_E_UNSUPPORTED, "matmul: a dimension of 2^31 or more, other than the rows");
  for (int64_t u = begin; u < end; u++) {
    int status = p.parts > 1 ? part_of_sum(&p, c, u) : block_of_rows(&p, c, u);
    if (status) return status;
  }
  return TKG_OK;
}

static void add_parts(const tkg_call *c) {
  product p = product_of(c->node, c->in);
  int64_t count = p.m * p.n;
  const float *restrict part = c->scratch;
  float *restrict out = c->out;
  if (p.parts == 1) return;
  memcpy(out, part, (size_t)count * sizeof *out);
  for (int64_t u = 1; u < p.parts; u++)
    for (int64_t j = 0; j < count; j++) out[j] += part[u * count + j];
}

/* ---- in tiles ---- */

static int rows(const tkg_call *c, int64_t first, int64_t last) {
  return matmul(c, first / BLOCK_ROWS, (last + BLOCK_ROWS - 1) / BLOCK_ROWS);
}

/* Adds A^T B of the picked rows of both to `part`, or begins it. */
static int add_picked(const picked *s, const product *p, const tkg_call *c, float *part,
                      bool begins) {
  float a[MOST_PICKED * TKG_NARROW], b[MOST_PICKED * TKG_NARROW];
  const tkg_gemm some = {.m = (int)p->m,
                         .n = (int)p->n,
                         .k = s->padded,
                         .ta = true,
                         .lda = (int)p->lda,
                         .ldb = (int)p->ldb,
                         .adds = !begins};
  if (begins && s->count == 0) memset(part, 0, (size_t)(p->m * p->n) * sizeof *part);
  if (s->count == 0) return TKG_OK;
  copy_picked(s, c->data[0], p->lda, a);
  copy_picked(s, c->data[1], p->ldb, b);
  return tkg__gemm(&some, a, b, part);
}

/* Adds A^T B of rows first..last-1 of both to `part`, or begins it. */
static int accumulate(const tkg_call *c, int64_t first, int64_t last, float *part, bool begins) {
  product p = product_of(c->node, c->in);
  const tkg_gemm some = {(int)p.m, (int)p.n,   (int)(last - first), true,
                         false,    (int)p.lda, (int)p.ldb,          !begins};
  picked rows;
  if (p.m == 0 || p.n == 0) return TKG_OK;
  if (is_narrow(&p) && pick(&rows, c, first, last)) return add_picked(&rows, &p, c, part, begins);
  return tkg__gemm(&some, (const float *)c->data[0] + first * p.lda,
                   (const float *)c->data[1] + first * p.ldb, part);
}

/* ---- many products, matrix by matrix: units are blocks of rows of each ---- */

static product each_of(const tkg_node *node, const tkg_node *const *in) {
  const int row = node->rank - 2, col = node->rank - 1;
  return (product){.m = node->shape[row],
                   .n = node->shape[col],
                   .k = in[0]->shape[node->i[0] ? row : col],
                   .lda = in[0]->shape[col],
                   .ldb = in[1]->shape[col],
                   .ta = node->i[0] != 0,
                   .tb = node->i[1] != 0,
                   .parts = 1};
}

static int64_t blocks_of(const product *p) { return (p->m + BLOCK_ROWS - 1) / BLOCK_ROWS; }

static int64_t batched_units(const tkg_node *node, const tkg_node *const *in) {
  const product p = each_of(node, in);
  return p.m ? tkg__rows(node) / p.m * blocks_of(&p) : 0;
}

static int64_t batched_work(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(node) * (each_of(node, in).k / 8 + 1);
}

static int batched_matmul(const tkg_call *c, int64_t begin, int64_t end) {
  const product p = each_of(c->node, c->in);
  const int64_t blocks = blocks_of(&p);
  int status = TKG_OK;
  if (!countable(&p) || p.m > INT32_MAX)
    return tkg__fail(TKG_E_UNSUPPORTED,
                     "batched_matmul: a matrix with a dimension of 2^31 or more");
  for (int64_t u = begin; u < end && !status; u++) {
    const int64_t first = u % blocks * BLOCK_ROWS, at = u / blocks;
    const float *a = (const float *)c->data[0] + at * p.m * p.k;
    product block = p;
    block.m = least(BLOCK_ROWS, p.m - first);
    status = multiply(&block, a + (p.ta ? first : first * p.lda),
                      (const float *)c->data[1] + at * p.k * p.n,
                      (float *)c->out + (at * p.m + first) * p.n);
  }
  return status;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_matmul)[] = {
    {.op = TKG_OP_BATCHED_MATMUL,
     .run = batched_matmul,
     .units = batched_units,
     .work = batched_work},
    {.op = TKG_OP_MATMUL,
     .run = matmul,
     .units = units,
     .work = work,
     .scratch = scratch,
     .combine = add_parts,
     .rows = rows,
     .accumulate = accumulate},
    {0},
};
