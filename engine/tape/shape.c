/* Shape and type of each op's output, and the checks that make a wrong call fail where it is
 * written. Messages name the op and the shapes met. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "data/packed_graph.h"
#include "shape.h"
#include "shared/moments.h"

static bool has_signs(const tkg_node *x) {
  return x->dtype == TKG_MASK || (x->dtype == TKG_CODES && x->i[3]);
}

/* Whether an input may have another type than f32: a parameter of 16 bits, or moments in codes. */
static bool is_packed(int op, int input, int dtype) {
  if (op == TKG_OP_WIDEN) return dtype == TKG_BF16;
  return op == TKG_OP_ADAM_BLOCKS &&
         ((input == 0 && dtype == TKG_BF16) || (input == 2 && dtype == TKG_I32));
}

/* f32 is expected unless the op's letter says ids, codes or (sign) a mask. A capital of its letter
 * lets it read codes too. */
static int check_types(const tkg_inference *s) {
  char text[TKG_SHAPE_TEXT];
  int op = s->out->op;
  bool any = op == TKG_OP_GATHER || op == TKG_OP_TAKE || op == TKG_OP_CONCAT ||
             op == TKG_OP_NARROW || op == TKG_OP_RESHAPE || op == TKG_OP_TRANSPOSE;
  for (int k = 0; k < s->out->inputs; k++) {
    char reads = tkg__op_reads(op, k);
    int dtype = s->in[k]->dtype, wanted = reads == 'i'   ? TKG_I32
                                          : reads == 'k' ? TKG_CODES
                                                         : TKG_F32;
    if (dtype == wanted || (reads == 's' && has_signs(s->in[k]))) continue;
    if (is_packed(op, k, dtype)) continue;
    if (dtype == TKG_CODES && tkg__takes_codes(s->out, k, s->in[k])) continue;
    if (any && reads != 'i' && dtype == TKG_I32) continue;
    return tkg__fail(TKG_E_DTYPE, "%s: input %d is %s, expected %s", tkg__name_of(s), k + 1,
                     tkg__shape_text(s->in[k], text),
                     wanted == TKG_I32 ? "int32 ids" : "f32 values");
  }
  return TKG_OK;
}

int tkg__shape_given(tkg_inference *s) {
  (void)s;
  return TKG_OK;
}

/* As it is asked for, by a kind that is there. */
int tkg__shape_random(tkg_inference *s) {
  if (s->out->i[0] >= 0 && s->out->i[0] < TKG_RANDOM_KINDS) return TKG_OK;
  return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " is no kind of number", tkg__name_of(s),
                   s->out->i[0]);
}

/* As the first input; a second one must be like it. */
int tkg__shape_same(tkg_inference *s) {
  tkg__set_shape(s->out, s->in[0]);
  if (s->out->inputs > 1 && !tkg__same_shape(s->in[0], s->in[1]))
    return tkg__misfit(s, 0, 1, "they must be equal");
  return TKG_OK;
}

int tkg__shape_widen(tkg_inference *s) { return tkg__shape_same(s); }

int tkg__shape_binary(tkg_inference *s) {
  const tkg_node *a = s->in[0], *b = s->in[1];
  tkg_node *out = s->out;
  out->rank = a->rank > b->rank ? a->rank : b->rank;
  for (int d = 0; d < out->rank; d++) {
    int da = d - (out->rank - a->rank), db = d - (out->rank - b->rank);
    int64_t na = da < 0 ? 1 : a->shape[da], nb = db < 0 ? 1 : b->shape[db];
    if (na != nb && na != 1 && nb != 1)
      return tkg__misfit(s, 0, 1, "each dimension must be equal or 1, counted from the last");
    out->shape[d] = na == 1 ? nb : na;
  }
  return TKG_OK;
}

int tkg__shape_sum(tkg_inference *s) {
  tkg_node *out = s->out;
  const tkg_node *x = s->in[0];
  if (out->i[0] < 0 || out->i[0] >= 1 << x->rank)
    return tkg__unfit(s, 0, "no such dimension to sum");
  out->rank = 0;
  memset(out->shape, 0, sizeof out->shape);
  for (int d = 0; d < x->rank; d++) {
    bool summed = (out->i[0] >> d) & 1;
    if (!summed)
      out->shape[out->rank++] = x->shape[d];
    else if (out->i[1])
      out->shape[out->rank++] = 1;
  }
  return TKG_OK;
}

int tkg__shape_broadcast(tkg_inference *s) {
  const tkg_node *x = s->in[0], *out = s->out;
  for (int d = 0; d < x->rank; d++) {
    int to = d + out->rank - x->rank;
    if (to < 0 || (x->shape[d] != 1 && x->shape[d] != out->shape[to]))
      return tkg__misasked(s, 0, "each dimension must be equal or 1, counted from the last");
  }
  return TKG_OK;
}

/* Drops the last dimension: one number per row. */
int tkg__shape_dot(tkg_inference *s) {
  const tkg_node *x = s->in[0];
  if (x->rank == 0) return tkg__unfit(s, 0, "it has no rows");
  if (s->out->inputs > 1 && !tkg__same_shape(x, s->in[1]))
    return tkg__misfit(s, 0, 1, "they must be equal");
  tkg__set_shape(s->out, x);
  s->out->rank = (uint8_t)(x->rank - 1);
  s->out->shape[s->out->rank] = 0;
  return TKG_OK;
}

int tkg__shape_argmax(tkg_inference *s) {
  s->out->dtype = TKG_I32;
  return tkg__shape_dot(s);
}

int tkg__shape_concat(tkg_inference *s) {
  const tkg_node *a = s->in[0];
  int64_t dim = s->out->i[0];
  if (dim < 0 || dim >= a->rank) return tkg__unfit(s, 0, "no such dimension to concatenate");
  tkg__set_shape(s->out, a);
  s->out->dtype = a->dtype;
  for (int k = 1; k < s->out->inputs; k++) {
    const tkg_node *b = s->in[k];
    bool fits = b->rank == a->rank && b->dtype == a->dtype;
    for (int d = 0; fits && d < a->rank; d++) fits = d == dim || b->shape[d] == a->shape[d];
    if (!fits) return tkg__misfit(s, 0, k, "all but the concatenated dimension must be equal");
    s->out->shape[dim] += b->shape[dim];
  }
  return TKG_OK;
}

/* What a scatter adds to begins with the shape of the result. */
static int base(const tkg_inference *s, int k) {
  if (s->out->inputs > k && !tkg__same_shape(s->in[k], s->out))
    return tkg__misasked(s, k, "the sums must begin with that shape");
  return TKG_OK;
}

/* narrow: `shape` comes in with the count at dimension i0; pad: with the total there. */
static int part(tkg_inference *s, bool narrow) {
  const tkg_node *x = s->in[0];
  int64_t dim = s->out->i[0], first = s->out->i[1];
  if (dim < 0 || dim >= x->rank) return tkg__unfit(s, 0, "no such dimension");
  int64_t count = s->out->shape[dim], inside = narrow ? count : x->shape[dim];
  int64_t whole = narrow ? x->shape[dim] : count;
  if (first < 0 || inside < 0 || first > whole - inside)
    return tkg__fail(TKG_E_RANGE, "%s: %.0f..%.0f is outside 1..%" PRId64, tkg__name_of(s),
                     (double)first + 1, (double)first + (double)inside, whole);
  tkg__set_shape(s->out, x);
  s->out->shape[dim] = count;
  s->out->dtype = x->dtype;
  return TKG_OK;
}

int tkg__shape_narrow(tkg_inference *s) { return part(s, true); }
int tkg__shape_pad(tkg_inference *s) {
  int status = part(s, false);
  return status ? status : base(s, 1);
}

/* One dimension may be -1, unless the others leave it open. */
int tkg__shape_reshape(tkg_inference *s) {
  int64_t known = 1, all = tkg__count(s->in[0]);
  int open = -1;
  bool fits = true;
  for (int d = 0; d < s->out->rank; d++)
    if (s->out->shape[d] == -1 && open < 0)
      open = d;
    else {
      fits &= s->out->shape[d] >= 0 && !__builtin_mul_overflow(known, s->out->shape[d], &known);
    }
  s->out->dtype = s->in[0]->dtype;
  fits &= open < 0 ? known == all : known > 0 && all % known == 0;
  if (!fits) return tkg__misasked(s, 0, "it must have as many elements");
  if (open >= 0) s->out->shape[open] = all / known;
  return TKG_OK;
}

/* ids' shape, then a row of x. */
int tkg__shape_gather(tkg_inference *s) {
  const tkg_node *x = s->in[0], *ids = s->in[1];
  if (x->rank < 1 || x->rank > 2)
    return tkg__unfit(s, 0, "rows of a matrix or elements of a vector are gathered");
  if (ids->rank + x->rank - 1 > TKG_MAX_RANK)
    return tkg__misfit(s, 0, 1, "the result has more than 4 dimensions");
  tkg__set_shape(s->out, ids);
  if (x->rank == 2) s->out->shape[s->out->rank++] = x->shape[1];
  s->out->dtype = x->dtype == TKG_I32 ? TKG_I32 : TKG_F32;
  return TKG_OK;
}

int tkg__shape_scatter_add(tkg_inference *s) {
  const tkg_node *g = s->in[0], *ids = s->in[1], *out = s->out;
  if (out->rank < 1 || out->rank > 2) return tkg__misasked(s, 0, "a matrix or a vector is made");
  if (out->rank == 2 && (g->rank < 1 || tkg__cols(g) != out->shape[1]))
    return tkg__misasked(s, 0, "columns must be equal");
  if (tkg__count(ids) != (out->rank == 2 ? tkg__rows(g) : tkg__count(g)))
    return tkg__misfit(s, 0, 1, "one id per row is needed");
  return base(s, 2);
}

static int rows_alike(const tkg_inference *s) {
  const tkg_node *x = s->in[0], *ids = s->in[1];
  if (x->rank == 2 && ids->rank == 2 && x->shape[0] == ids->shape[0]) return TKG_OK;
  return tkg__misfit(s, 0, 1, "two matrices with as many rows are needed");
}

int tkg__shape_take(tkg_inference *s) {
  tkg__set_shape(s->out, s->in[1]);
  s->out->dtype = s->in[0]->dtype;
  return rows_alike(s);
}

int tkg__shape_take_grad(tkg_inference *s) {
  int status = rows_alike(s);
  if (status) return status;
  if (!tkg__same_shape(s->in[0], s->in[1])) return tkg__misfit(s, 0, 1, "they must be equal");
  if (s->out->rank != 2 || s->out->shape[0] != s->in[0]->shape[0])
    return tkg__misasked(s, 0, "a matrix with as many rows is made");
  return TKG_OK;
}

int tkg__shape_relation_score(tkg_inference *s) {
  const tkg_node *u = s->in[0], *r = s->in[1], *ids = s->in[2];
  if (u->rank != 2 || r->rank != 2 || u->shape[1] != r->shape[1])
    return tkg__misfit(s, 0, 1, "two matrices with as many columns are needed");
  if (ids->rank != 2 || ids->shape[0] != u->shape[0])
    return tkg__misfit(s, 0, 2, "ids need a row for each row of the first");
  tkg__set_shape(s->out, ids);
  return TKG_OK;
}

int tkg__shape_neighbor_sum(tkg_inference *s) {
  const tkg_node *w = s->in[0], *x = s->in[1];
  if (w->rank != 2)
    return tkg__unfit(s, 0, "weights are a matrix: one row per node, one column per neighbour");
  bool ids = s->out->inputs > 2;
  if (x->rank < 2 || (ids && x->rank > 2)) return tkg__unfit(s, 1, "values are a matrix");
  if (ids && tkg__count(s->in[2]) != tkg__count(w))
    return tkg__misfit(s, 0, 2, "one id per weight is needed");
  if (!ids && tkg__rows(x) != tkg__count(w))
    return tkg__misfit(s, 0, 1, "without ids the values need a row for each weight");
  tkg__set_matrix(s->out, w->shape[0], tkg__cols(x));
  return TKG_OK;
}

int tkg__shape_neighbor_dot(tkg_inference *s) {
  const tkg_node *g = s->in[0], *x = s->in[1];
  int64_t n = tkg__count(s->in[s->out->inputs > 2 ? 2 : 1]), k = s->out->i[0];
  if (g->rank != 2 || x->rank != 2 || g->shape[1] != x->shape[1])
    return tkg__misfit(s, 0, 1, "two matrices with as many columns are needed");
  if (s->out->inputs == 2) n = x->shape[0];
  int64_t rows = g->shape[0];
  if (k < 0 || (rows > 0 && k > n / rows) || n != rows * k)
    return tkg__misfit(s, 0, s->out->inputs - 1, "k values per row are needed");
  tkg__set_matrix(s->out, g->shape[0], k);
  return TKG_OK;
}

int tkg__shape_neighbor_outer(tkg_inference *s) {
  int status = rows_alike(s); /* weights [n,k], a gradient [n,d] */
  if (!status) tkg__set_matrix(s->out, tkg__count(s->in[0]), s->in[1]->shape[1]);
  return status;
}

int tkg__shape_neighbor_scatter(tkg_inference *s) {
  int status = rows_alike(s); /* weights [n,k], a gradient [n,d] */
  if (status) return status;
  if (tkg__count(s->in[2]) != tkg__count(s->in[0]))
    return tkg__misfit(s, 0, 2, "one id per weight is needed");
  if (s->out->rank != 2 || s->out->shape[1] != s->in[1]->shape[1])
    return tkg__misasked(s, 1, "columns must be equal");
  return base(s, 3);
}

int tkg__shape_row_norm(tkg_inference *s) {
  if (s->in[0]->rank == 0) return tkg__unfit(s, 0, "it has no rows");
  tkg__set_shape(s->out, s->in[0]);
  s->out->shape[s->out->rank - 1] = 1;
  return TKG_OK;
}

/* Norms [.., 1] come last, beside the rows that they belong to. */
int tkg__shape_normalize(tkg_inference *s) {
  const tkg_node *x = s->in[0], *norm = s->in[s->out->inputs - 1];
  if (x->rank == 0) return tkg__unfit(s, 0, "it has no rows");
  tkg__set_shape(s->out, x);
  if (norm->rank == x->rank && tkg__cols(norm) == 1 && tkg__rows(norm) == tkg__rows(x))
    return TKG_OK;
  return tkg__misfit(s, 0, s->out->inputs - 1, "one norm per row is needed");
}

int tkg__shape_normalize_grad(tkg_inference *s) {
  if (s->in[0]->rank > 0 && !tkg__same_shape(s->in[0], s->in[1]))
    return tkg__misfit(s, 0, 1, "they must be equal");
  return tkg__shape_normalize(s);
}

/* With ids, row k is dropped as row ids[k] of a larger matrix would be. */
int tkg__shape_dropout(tkg_inference *s) {
  tkg__set_shape(s->out, s->in[0]);
  if (s->out->inputs == 1) return TKG_OK;
  if (s->in[0]->rank == 2 && tkg__count(s->in[1]) == s->in[0]->shape[0]) return TKG_OK;
  return tkg__misfit(s, 0, 1, "one id per row of a matrix is needed");
}

int tkg__shape_sample(tkg_inference *s) {
  const int64_t k = s->out->i[0], n = s->out->i[2];
  if (k < 1 || n < 1 || n > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " of %" PRId64 " numbers asked for",
                     tkg__name_of(s), k, n);
  s->out->dtype = TKG_I32;
  s->out->rank = 1;
  s->out->shape[0] = k;
  return TKG_OK;
}

/* k samples per row of what has `offsets`. */
static int check_samples(const tkg_inference *s, int64_t k) {
  if (k < 1)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " samples per row asked for", tkg__name_of(s),
                     k);
  return tkg__count(s->in[0]) < 1 ? tkg__unfit(s, 0, "offsets have one entry more than rows")
                                  : TKG_OK;
}

int tkg__shape_sample_negatives(tkg_inference *s) {
  s->out->dtype = TKG_I32;
  tkg__set_matrix(s->out, tkg__count(s->in[2]), s->out->i[0]);
  return check_samples(s, s->out->i[0]);
}

int tkg__shape_sample_neighbors(tkg_inference *s) {
  tkg_node *out = s->out;
  int status = check_samples(s, out->i[0]);
  if (status) return status;
  if (tkg__relation_words(tkg__count(s->in[1]), out->i[3]) != tkg__count(s->in[2]))
    return tkg__misfit(s, 1, 2, "tails and relations must be as many");
  tkg__set_matrix(out, 2, tkg__count(s->in[3]));
  out->shape[out->rank++] = out->i[0];
  out->dtype = TKG_I32;
  return TKG_OK;
}

/* All inputs have the shape of the parameter. */
int tkg__shape_update(tkg_inference *s) {
  tkg__set_shape(s->out, s->in[0]);
  for (int k = 1; k < s->out->inputs; k++)
    if (!tkg__same_shape(s->in[0], s->in[k])) return tkg__misfit(s, 0, k, "they must be equal");
  return TKG_OK;
}

/* Which rows of an update have which row of the gradient. */
static int check_rows(const tkg_inference *s, const tkg_moments *state) {
  const tkg_node *p = s->in[0], *g = s->in[1];
  const bool index = s->out->inputs == 5, listed = s->out->inputs == 6;
  const bool compact = index || (listed && s->out->i[3] != 0);
  if (compact ? tkg__cols(g) != tkg__cols(p) : !tkg__same_shape(p, g))
    return tkg__misfit(s, 0, 1, "a gradient has the parameter's rows");
  if ((index && tkg__count(s->in[4]) != state->blocks) ||
      ((index || listed) && state->length != tkg__cols(p)))
    return tkg__misfit(s, 0, 4, "one number per row is needed");
  if (listed && !tkg__same_shape(s->in[4], s->in[5]))
    return tkg__misfit(s, 4, 5, "one position per id is needed");
  if (listed && compact && tkg__rows(g) != tkg__count(s->in[4]))
    return tkg__misfit(s, 1, 4, "one row per id is needed");
  return TKG_OK;
}

/* The state that the format asks for. */
int tkg__shape_adam_blocks(tkg_inference *s) {
  const tkg_node *p = s->in[0];
  const int format = (int)s->out->i[1];
  const tkg_moments state = tkg__moments_of(tkg__count(p), tkg__cols(p), format);
  tkg__set_shape(s->out, p);
  s->out->dtype = p->dtype;
  if ((s->in[2]->dtype == TKG_I32) != (format & TKG_MOMENTS_8) ||
      tkg__count(s->in[2]) != state.first)
    return tkg__misfit(s, 0, 2, "it is not the first moment");
  if (tkg__count(s->in[3]) != state.second) return tkg__misfit(s, 0, 3, "it is not the second");
  return check_rows(s, &state);
}

int tkg__shape_transpose(tkg_inference *s) {
  if (s->in[0]->rank != 2) return tkg__unfit(s, 0, "a matrix is needed");
  tkg__set_matrix(s->out, s->in[0]->shape[1], s->in[0]->shape[0]);
  s->out->dtype = s->in[0]->dtype;
  return TKG_OK;
}

/* y, what stands for its gradient, x and x's gradient. */
int tkg__shape_custom_vjp(tkg_inference *s) {
  if (s->in[1]->op != TKG_OP_UPSTREAM) return tkg__unfit(s, 1, "an upstream is needed");
  if (!tkg__same_shape(s->in[0], s->in[1])) return tkg__misfit(s, 0, 1, "they must be equal");
  tkg__set_shape(s->out, s->in[0]);
  return tkg__same_shape(s->in[2], s->in[3])
             ? TKG_OK
             : tkg__misfit(s, 2, 3, "the second is the gradient of the first");
}

/* Codes have one of these widths. */
static int check_bits(const tkg_inference *s) {
  const int64_t bits = s->out->i[0];
  if (bits == 8 || bits == 4 || bits == 2 || bits == 1) return TKG_OK;
  return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " bits: one of 8, 4, 2, 1", tkg__name_of(s),
                   bits);
}

int tkg__shape_encode(tkg_inference *s) {
  s->out->dtype = TKG_CODES;
  int status = check_bits(s);
  return status ? status : tkg__shape_same(s);
}

int tkg__shape_decode(tkg_inference *s) {
  int status = check_bits(s);
  return status ? status : tkg__shape_same(s);
}

int tkg__shape_sign_mask(tkg_inference *s) {
  s->out->dtype = TKG_MASK;
  return tkg__shape_same(s);
}

/* ---- from an op to its rule ---- */

#define X(name, text, reads, rows, columns, flags, shape, ...) [TKG_OP_##name] = tkg__shape_##shape,
static int (*const rules[TKG_OP_COUNT])(tkg_inference *s) = {
#include "base/ops.def"
};
#undef X

static int check_size(const tkg_inference *s) {
  char text[TKG_SHAPE_TEXT];
  if (tkg__shape_fits(s->out->shape, s->out->rank)) return TKG_OK;
  return tkg__fail(TKG_E_SHAPE, "%s: %s has more than 2^%d elements", tkg__name_of(s),
                   tkg__shape_text(s->out, text), TKG_MOST_ELEMENTS_BITS);
}

/* The shape asked for, where an op is told one; only reshape may leave a dimension open (and looks
 * itself at what is negative), which counts as 1 here. */
static int check_asked(const tkg_inference *s) {
  char text[TKG_SHAPE_TEXT];
  bool reshapes = s->out->op == TKG_OP_RESHAPE;
  tkg_node asked = *s->out;
  for (int d = 0; d < asked.rank; d++) {
    if (asked.shape[d] < 0 && reshapes) asked.shape[d] = 1;
    if (asked.shape[d] < 0)
      return tkg__fail(TKG_E_SHAPE, "%s: %s is asked for, but no dimension can be negative",
                       tkg__name_of(s), tkg__shape_text(s->out, text));
  }
  const tkg_inference of = {&asked, {0}};
  return check_size(&of);
}

int tkg__infer(const tkg_tape *tape, tkg_node *node) {
  static const tkg_node none = {0}; /* stands for inputs that an op does not have */
  tkg_inference s = {node, {&none, &none, &none, &none, &none, &none}};
  node->dtype = TKG_F32;
  for (int k = 0; k < node->inputs; k++) s.in[k] = &tape->nodes[node->in[k]];
  int status = check_asked(&s);
  if (!status) status = check_types(&s);
  if (!status) status = rules[node->op](&s);
  return status ? status : check_size(&s);
}
