/* The op table as data, and the small questions every pass asks of a node. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "op.h"
#include "shared/codec.h"

#define X(name, text, reads, rows, columns, flags, ...) {text, reads, rows, columns, flags},
const tkg_op_info tkg__ops[TKG_OP_COUNT] = {
#include "ops.def"
};
#undef X

bool tkg__op_is(int op, enum tkg_op_flag flag) { return tkg__ops[op].flags & flag; }

bool tkg__stays_finite(const tkg_node *n) {
  return tkg__op_is(n->op, TKG_FINITE) || (tkg__op_is(n->op, TKG_EPSILON) && n->f[0] > 0);
}

static char letter(int op, int input) {
  for (const char *r = tkg__ops[op].reads; *r; r++)
    if (*r != '|' && input-- == 0) return *r;
  return 0;
}

char tkg__op_reads(int op, int input) { return (char)tolower(letter(op, input)); }

/* Whether ids behind an input list the rows that the op reads. */
static bool lists_rows(int op, int input) {
  while (letter(op, ++input))
    if (letter(op, input) == 'i') return true;
  return false;
}

/* Whether the kernel of an op decodes all rows in turn, a slice of columns at a time. */
static bool decodes_in_turn(int op) { return op == TKG_OP_AGGREGATE_RELATION; }

bool tkg__takes_codes(const tkg_node *n, int input, const tkg_node *codes) {
  const char reads = letter(n->op, input);
  if (!isupper(reads)) return reads == 'q' || reads == 'k';
  return codes->rank == 2 && tkg__cols(codes) <= TKG_MOST_CODED_COLS &&
         (codes->i[1] != TKG_ROUND_DITHER_INDEPENDENT || lists_rows(n->op, input) ||
          decodes_in_turn(n->op));
}

void tkg__op_arity(int op, int *least, int *most) {
  *least = *most = 0;
  bool optional = false;
  for (const char *r = tkg__ops[op].reads; *r; r++) {
    if (*r == '|') {
      optional = true;
      continue;
    }
    *most += 1;
    if (!optional) *least += 1;
  }
}

int tkg__op_base(int op) {
  int least, most;
  tkg__op_arity(op, &least, &most);
  return tkg__op_is(op, TKG_BASE) ? most - 1 : -1;
}

/* Steps have a derivative of 0: a value that is compared stands as a constant in what reads it. */
static bool is_step(int op) {
  return op == TKG_OP_GREATER || op == TKG_OP_GREATER_EQUAL || op == TKG_OP_EQUAL ||
         op == TKG_OP_NOT_EQUAL;
}

bool tkg__passes_gradient(const tkg_node *n, int input) {
  if (n->op == TKG_OP_DETACH || n->dtype != TKG_F32 || is_step(n->op)) return false;
  if (n->op == TKG_OP_SELECT || n->op == TKG_OP_REJECT) return input == 0;
  return n->op != TKG_OP_CUSTOM_VJP || input == 0 || input == 2;
}

bool tkg__shape_fits(const int64_t *shape, int rank) {
  int64_t most = TKG_MOST_ELEMENTS;
  for (int d = 0; d < rank; d++) {
    if (shape[d] < 0) return false;
    most /= shape[d] > 1 ? shape[d] : 1;
  }
  return most > 0;
}

int64_t tkg__count(const tkg_node *n) {
  int64_t count = 1;
  for (int d = 0; d < n->rank; d++) count *= n->shape[d];
  return count;
}

int64_t tkg__cols(const tkg_node *n) { return n->rank ? n->shape[n->rank - 1] : 1; }

int64_t tkg__whole_cols(const tkg_node *n) {
  return n->whole_cols > 0 ? n->whole_cols : tkg__cols(n);
}

int64_t tkg__rows(const tkg_node *n) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < n->rank; d++) rows *= n->shape[d];
  return rows;
}

bool tkg__is_table(const tkg_node *n) {
  return n->rank == 2 && n->shape[0] > n->shape[1] && tkg__count(n) >= TKG_TABLE_LEAST;
}

int64_t tkg__bytes(const tkg_node *n) {
  switch (n->dtype) {
  case TKG_CODES: {
    const int64_t signs = n->i[3] ? (tkg__count(n) + 7) / 8 : 0;
    return tkg__codec_bytes((int)n->i[0], tkg__rows(n), tkg__cols(n)) + signs;
  }
  case TKG_MASK:
    return (tkg__count(n) + 7) / 8;
  case TKG_BF16:
    return tkg__count(n) * 2;
  default:
    return tkg__count(n) * 4;
  }
}

/* Letter of an input in a text of one letter per input, the last one repeated by `*`; 0 if there is
 * none. */
static char letter_of(const char *text, int input) {
  for (; *text && input > 0; text++, input--)
    if (text[1] == '*') return *text;
  return *text;
}

static char rows_letter(int op, int input) { return letter_of(tkg__ops[op].rows, input); }

/* Whether the op's attributes and shapes are such that what ops.def says of its rows holds. */
static bool rows_hold(const tkg_node *n, const tkg_node *const *in) {
  switch (n->op) {
  case TKG_OP_MATMUL:
  case TKG_OP_PRODUCT_LOGSUMEXP_GRAD:
    return !n->i[0];
  case TKG_OP_CONCAT:
  case TKG_OP_NARROW:
  case TKG_OP_PAD:
    return n->i[0] == 1;
  case TKG_OP_SUM:
    return in[0]->rank == 2 && n->i[0] == 2;
  case TKG_OP_GATHER:
    return in[1]->rank == 1;
  default:
    return !strchr(tkg__ops[n->op].rows, 'p');
  }
}

static bool sums_rows(const tkg_node *n, const tkg_node *const *in) {
  if (n->op == TKG_OP_SUM) return in[0]->rank == 2 && n->i[0] == 1;
  return n->op == TKG_OP_MATMUL && n->i[0] && !n->i[1] && in[0]->rank == 2 && in[1]->rank == 2;
}

/* Whether an input has one row per row of the result; a list of ids may have rank 1. */
static bool has_its_rows(const tkg_node *n, const tkg_node *x, char reads) {
  return (x->rank == 2 || (x->rank == 1 && reads == 'i')) && n->rank > 0 &&
         x->shape[0] == n->shape[0];
}

bool tkg__sums_all(const tkg_node *n, const tkg_node *const *in) {
  return n->op == TKG_OP_SUM &&
         ((in[0]->rank == 2 && n->i[0] == 3) || (in[0]->rank == 1 && n->i[0] == 1));
}

enum tkg_row_access tkg__row_access(const tkg_node *n, const tkg_node *const *in, int input) {
  if (sums_rows(n, in) || tkg__sums_all(n, in)) return TKG_ACCESS_REDUCES;
  bool row = rows_letter(n->op, input) == 'r' && rows_hold(n, in) &&
             has_its_rows(n, in[input], tkg__op_reads(n->op, input));
  return row ? TKG_ACCESS_ROW : TKG_ACCESS_WHOLE;
}

bool tkg__rows_by_position(const tkg_node *n) {
  return strchr(tkg__ops[n->op].rows, 'p') && n->rank == 2 && n->first_row == 0 &&
         n->whole_rows == 0;
}

bool tkg__row_of_position(const tkg_node *n, const tkg_node *const *in, int input) {
  return tkg__rows_by_position(n) && rows_letter(n->op, input) == 'r' && in[input]->rank == 2 &&
         in[input]->shape[0] == n->shape[0];
}

bool tkg__column_access(const tkg_node *n, const tkg_node *const *in, int input) {
  const bool moves_rows = n->op == TKG_OP_NARROW || n->op == TKG_OP_PAD || n->op == TKG_OP_CONCAT;
  if (letter_of(tkg__ops[n->op].columns, input) != 'c' || (moves_rows && n->i[0] == n->rank - 1))
    return false;
  const tkg_node *x = in[input];
  const bool numbers = x->dtype == TKG_F32 || x->dtype == TKG_CODES;
  return numbers && x->rank > (n->op == TKG_OP_GATHER) && tkg__cols(x) == tkg__cols(n);
}

/* An input that is read by row and has no row per row of the result must be the same for all rows.
 */
static bool is_same_for_all_rows(const tkg_node *x) {
  return x->rank < 2 || (x->rank == 2 && x->shape[0] == 1);
}

static bool rows_apart(const tkg_node *n, const tkg_node *const *in, bool lists) {
  if (n->rank != 2 || !*tkg__ops[n->op].rows || !rows_hold(n, in)) return false;
  for (int k = 0; k < n->inputs; k++) {
    bool row = tkg__row_access(n, in, k) == TKG_ACCESS_ROW;
    bool list = lists && tkg__op_reads(n->op, k) == 'i';
    if (row && in[k]->rank != 2 && !list) return false;
    if (!row && rows_letter(n->op, k) == 'r' && !is_same_for_all_rows(in[k])) return false;
  }
  return true;
}

bool tkg__rows_apart(const tkg_node *n, const tkg_node *const *in) {
  return rows_apart(n, in, false);
}

bool tkg__rows_apart_by_list(const tkg_node *n, const tkg_node *const *in) {
  return rows_apart(n, in, true);
}

bool tkg__same_attributes(const tkg_node *a, const tkg_node *b) {
  for (size_t k = 0; k < sizeof a->f / sizeof a->f[0]; k++)
    if (a->f[k] != b->f[k]) return false;
  return memcmp(a->i, b->i, sizeof a->i) == 0;
}

static int64_t part_units(int64_t rows) { return (rows + TKG_PART_UNIT - 1) / TKG_PART_UNIT; }

int tkg__parts_of(int64_t rows) {
  int64_t units = part_units(rows);
  return units < TKG_MOST_PARTS ? (int)units : TKG_MOST_PARTS;
}

int64_t tkg__part_begin(int64_t rows, int parts, int part) {
  return part == parts ? rows : part_units(rows) * part / parts * TKG_PART_UNIT;
}

tkg_row_range tkg__row_range(const tkg_node *x) {
  return (tkg_row_range){x->first_row, x->rank ? x->shape[0] : 1, x->whole_rows};
}

/* The part of the whole that begins with a row, or ends before it. */
static int part_at(int64_t rows, int64_t row) {
  const int parts = tkg__parts_of(rows);
  int part = 0;
  while (part < parts && tkg__part_begin(rows, parts, part) < row) part++;
  return part;
}

int tkg__parts_in(const tkg_row_range *r) {
  if (r->whole == 0) return tkg__parts_of(r->rows);
  return part_at(r->whole, r->first + r->rows) - part_at(r->whole, r->first);
}

int64_t tkg__part_row(const tkg_row_range *r, int parts, int part) {
  if (r->whole == 0) return tkg__part_begin(r->rows, parts, part);
  const int first = part_at(r->whole, r->first);
  return tkg__part_begin(r->whole, tkg__parts_of(r->whole), first + part) - r->first;
}

int tkg__row_parts(const tkg_node *n, const tkg_node *const *in) {
  if (!sums_rows(n, in) || tkg__count(n) > TKG_MOST_PARTED) return 0;
  const tkg_row_range range = tkg__row_range(in[0]);
  const int64_t rows = range.whole > 0 ? range.whole : range.rows;
  return rows < TKG_PARTED_ROWS ? 0 : tkg__parts_in(&range);
}

char *tkg__shape_text(const tkg_node *n, char out[TKG_SHAPE_TEXT]) {
  static const char *const names[] = {"f32", "i32", "codes", "mask", "bf16"};
  int at = snprintf(out, TKG_SHAPE_TEXT, "%s [", names[n->dtype]);
  for (int d = 0; d < n->rank; d++)
    at += snprintf(out + at, (size_t)(TKG_SHAPE_TEXT - at), "%s%lld", d ? ", " : "",
                   (long long)n->shape[d]);
  snprintf(out + at, (size_t)(TKG_SHAPE_TEXT - at), "]");
  return out;
}
