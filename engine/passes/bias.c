/* The bias pass follows rounding noise through backward.
 *
 * A decoded copy is right on average. So is every gradient, as long as backward is linear in each
 * noisy copy and multiplies only copies whose noise is independent (METHOD section 5). `reads` in
 * ops.def says how an op passes noise on. The noise of the elements of a copy is independent, so it
 * also matters which rows it has reached:
 *
 *   same_row   row i has noise of row i alone
 *   neighbour  row i has noise of rows that edges lead to, not of row i: same-row noise after a sum
 *              over a graph without self loops
 *   any_row    row i may have noise of any row
 *
 * In each row, same-row and neighbour noise of one copy are independent, so their product is
 * unbiased. Layers that multiply a value with that of its neighbours can therefore save it in few
 * bits.
 *
 * Products have at most two factors of one copy's noise, each of them linear or squared: four
 * elements, which are as good as independent with affine noise too (METHOD section 3). */
#include "bias.h"

#include <stdlib.h>

#include "base/error.h"
#include "data/graph.h"

enum { SAME_ROW, NEIGHBOUR, ANY_ROW, KINDS };

typedef struct noise {
  const tkg_tape *tape;
  const int32_t *source;
  bool *must_be_exact;
  int words;       /* of 64 copies each, per kind and node */
  uint64_t *bits;  /* [node][kind][word] */
  int32_t *copies; /* node of each copy's source, by bit */
  bool found;
} noise;

static const tkg_node *node_of(const noise *z, int i) { return &z->tape->nodes[i]; }

static uint64_t word(const noise *z, int i, int kind, int w) {
  return z->bits[((size_t)i * KINDS + (size_t)kind) * (size_t)z->words + (size_t)w];
}

static void add_word(noise *z, int i, int kind, int w, uint64_t bits) {
  z->bits[((size_t)i * KINDS + (size_t)kind) * (size_t)z->words + (size_t)w] |= bits;
}

static uint64_t all_kinds(const noise *z, int i, int w) {
  return word(z, i, SAME_ROW, w) | word(z, i, NEIGHBOUR, w) | word(z, i, ANY_ROW, w);
}

/* ---- rules ---- */

static void require_exact(noise *z, int w, uint64_t bits) {
  for (int b = 0; b < 64; b++)
    if (bits >> b & 1) z->must_be_exact[z->source[z->copies[64 * w + b]]] = z->found = true;
}

static bool multiplied(int op, int input) {
  char reads = tkg__op_reads(op, input);
  return reads == 'm' || reads == 'q';
}

/* Whether the op multiplies row i of one input with row i of the other, and no other rows. */
static bool row_by_row(const noise *z, const tkg_node *n, int a, int b) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  enum tkg_row_access access = tkg__row_access(n, in, a);
  return access != TKG_ACCESS_WHOLE && access == tkg__row_access(n, in, b);
}

/* Copies of which both inputs have noise that is not independent. */
static uint64_t shared(const noise *z, const tkg_node *n, int a, int b, int w) {
  int x = n->in[a], y = n->in[b];
  if (!row_by_row(z, n, a, b)) return all_kinds(z, x, w) & all_kinds(z, y, w);
  return (word(z, x, SAME_ROW, w) & word(z, y, SAME_ROW, w)) |
         (word(z, x, NEIGHBOUR, w) & word(z, y, NEIGHBOUR, w)) |
         (word(z, x, ANY_ROW, w) & all_kinds(z, y, w)) |
         (word(z, y, ANY_ROW, w) & all_kinds(z, x, w));
}

static void check_input(noise *z, const tkg_node *n, int k) {
  char reads = tkg__op_reads(n->op, k);
  bool codes = node_of(z, n->in[k])->dtype == TKG_CODES;
  bool exact = reads == 'x' || ((reads == 's' || reads == 'q') && !codes);
  for (int w = 0; exact && w < z->words; w++) require_exact(z, w, all_kinds(z, n->in[k], w));
}

/* Inputs a and b are multiplied. */
static void check_product(noise *z, const tkg_node *n, int a, int b) {
  for (int w = 0; w < z->words; w++) require_exact(z, w, shared(z, n, a, b, w));
}

static void check(noise *z, const tkg_node *n) {
  for (int a = 0; a < n->inputs; a++) {
    check_input(z, n, a);
    for (int b = a + 1; b < n->inputs; b++)
      if (multiplied(n->op, a) && multiplied(n->op, b)) check_product(z, n, a, b);
  }
}

/* ---- where it goes ---- */

/* Whether noise stays in its row: row i of the output, a matrix, reads of this input row i alone.
 */
static bool keeps_rows(const noise *z, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  return n->rank == 2 && in[k]->rank == 2 && tkg__row_access(n, in, k) == TKG_ACCESS_ROW;
}

static bool goes_to_neighbours(const tkg_node *n, int k) {
  return (n->op == TKG_OP_AGGREGATE || n->op == TKG_OP_AGGREGATE_WHERE ||
          n->op == TKG_OP_AGGREGATE_MUL) &&
         k == 1 && n->i[3] & TKG_GRAPH_LOOPLESS;
}

static void pass_on(noise *z, int i) {
  const tkg_node *n = node_of(z, i);
  for (int k = 0; k < n->inputs; k++) {
    if (tkg__op_reads(n->op, k) == 's') continue; /* signs are exact */
    bool near = goes_to_neighbours(n, k);
    bool rows = keeps_rows(z, n, k);
    for (int w = 0; w < z->words; w++) {
      add_word(z, i,
               rows   ? SAME_ROW
               : near ? NEIGHBOUR
                      : ANY_ROW,
               w, word(z, n->in[k], SAME_ROW, w));
      add_word(z, i, rows ? NEIGHBOUR : ANY_ROW, w, word(z, n->in[k], NEIGHBOUR, w));
      add_word(z, i, ANY_ROW, w, word(z, n->in[k], ANY_ROW, w));
    }
  }
}

// must_be_exact is written through the struct that it becomes part of.
int tkg__find_bias(const tkg_tape *tape, int arrived, const int32_t *source,
                   bool *must_be_exact, // NOLINT(readability-non-const-parameter)
                   bool *found) {
  int count = 0, at = 0;
  for (int i = 0; i < tape->n; i++) count += source[i] >= 0;
  *found = false;
  if (!count) return TKG_OK;
  noise z = {.tape = tape, .source = source, .must_be_exact = must_be_exact};
  z.words = (count + 63) / 64;
  z.bits = calloc((size_t)tape->n * KINDS * (size_t)z.words, sizeof *z.bits);
  z.copies = calloc(64 * (size_t)z.words, sizeof *z.copies);
  bool ok = z.bits && z.copies;
  for (int i = 0; ok && i < tape->n; i++) {
    const tkg_node *n = node_of(&z, i);
    if (source[i] >= 0) {
      add_word(&z, i, SAME_ROW, at / 64, 1ULL << (at % 64));
      z.copies[at++] = i;
      continue;
    }
    if (i < arrived) check(&z, n);
    pass_on(&z, i);
  }
  *found = z.found;
  free(z.bits);
  free(z.copies);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "noise: no memory");
}
