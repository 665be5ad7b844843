/* One vector-Jacobian product per op: given g = dL/d(output), what do the inputs gain?
 *
 * The nodes recorded here decide what must be saved for backward: each reads as little as the
 * mathematics allows - the sign of a ReLU, the output of a softmax, nothing for a sum. */
#include "vjp.h"

/* ---- broadcasting and its opposite ---- */

/* Sums a broadcast gradient back to the shape of the input it came from. */
static int shrunk(tkg_vjp *v, int a, int to) {
  if (a < 0) return a;
  const tkg_node *from = node_of(v, a), *want = node_of(v, to);
  int64_t dims = 0;
  for (int d = 0; d < from->rank; d++) {
    int w = d - (from->rank - want->rank);
    if (w < 0 || (want->shape[w] == 1 && from->shape[d] != 1)) dims |= 1LL << d;
  }
  if (!dims) return a;
  int sum = record(v, (tkg_node){.i = {dims, 1}}, TKG_OP_SUM, a, -1, -1);
  return sum < 0 ? sum : reshaped(v, sum, node_of(v, to));
}

static int additive(tkg_vjp *v, double sign) {
  int status = TKG_OK;
  if (wants(v, 0)) status = accumulate(v, 0, shrunk(v, v->g, in(v, 0)));
  if (!status && wants(v, 1))
    status = accumulate(v, 1, shrunk(v, sign < 0 ? scaled(v, v->g, sign) : v->g, in(v, 1)));
  return status;
}

int tkg__vjp_add(tkg_vjp *v) { return additive(v, 1); }
int tkg__vjp_sub(tkg_vjp *v) { return additive(v, -1); }

int tkg__vjp_mul(tkg_vjp *v) {
  int status = TKG_OK;
  if (wants(v, 0)) status = accumulate(v, 0, shrunk(v, times(v, v->g, in(v, 1)), in(v, 0)));
  if (!status && wants(v, 1))
    status = accumulate(v, 1, shrunk(v, times(v, v->g, in(v, 0)), in(v, 1)));
  return status;
}

/* a / b: da = g / b, db = -g y / b */
int tkg__vjp_div(tkg_vjp *v) {
  int status = TKG_OK, part = two(v, TKG_OP_DIV, v->g, in(v, 1));
  if (part < 0) return TKG_E_SHAPE;
  if (wants(v, 0)) status = accumulate(v, 0, shrunk(v, part, in(v, 0)));
  if (status || !wants(v, 1)) return status;
  int down = two(v, TKG_OP_MUL, part, v->self);
  return accumulate(v, 1, down < 0 ? -1 : shrunk(v, scaled(v, down, -1), in(v, 1)));
}

/* What is chosen gains where it was. */
static int chosen(tkg_vjp *v, int op) {
  return accumulate(v, 0, shrunk(v, two(v, op, v->g, in(v, 1)), in(v, 0)));
}

int tkg__vjp_select(tkg_vjp *v) { return chosen(v, TKG_OP_SELECT); }
int tkg__vjp_reject(tkg_vjp *v) { return chosen(v, TKG_OP_REJECT); }

/* A gradient that lost dimensions gets them back as 1, then broadcasts. */
int tkg__vjp_sum(tkg_vjp *v) {
  const tkg_node *x = node_of(v, in(v, 0));
  tkg_node kept = shaped(x);
  for (int d = 0; d < x->rank; d++)
    if ((self(v)->i[0] >> d) & 1) kept.shape[d] = 1;
  int g = reshaped(v, v->g, &kept);
  return g < 0 ? TKG_E_SHAPE
               : accumulate(v, 0,
                            record(v, shaped(node_of(v, in(v, 0))), TKG_OP_BROADCAST, g, -1, -1));
}

int tkg__vjp_broadcast(tkg_vjp *v) { return accumulate(v, 0, shrunk(v, v->g, in(v, 0))); }

int tkg__vjp_dot(tkg_vjp *v) {
  tkg_node column = shaped(self(v));
  column.shape[column.rank++] = 1;
  int g = reshaped(v, v->g, &column), status = g < 0 ? TKG_E_SHAPE : TKG_OK;
  if (!status && wants(v, 0)) status = accumulate(v, 0, two(v, TKG_OP_MUL, in(v, 1), g));
  if (!status && wants(v, 1)) status = accumulate(v, 1, two(v, TKG_OP_MUL, in(v, 0), g));
  return status;
}

/* ---- matrices and layout ---- */

static int product(tkg_vjp *v, int a, int b, bool ta, bool tb) {
  return record(v, (tkg_node){.i = {ta, tb}}, TKG_OP_MATMUL, a, b, -1);
}

/* The matrix view (rows x cols) of a tensor of higher rank. */
static int as_matrix(tkg_vjp *v, int a) {
  const tkg_node *n = node_of(v, a);
  if (n->rank == 2) return a;
  tkg_node matrix = {.rank = 2, .shape = {tkg__rows(n), tkg__cols(n)}};
  return record(v, matrix, TKG_OP_RESHAPE, a, -1, -1);
}

/* dB = A^T g; the transpose asked for moves to the other side. */
static int matmul_right(tkg_vjp *v, bool ta, bool tb) {
  int a = as_matrix(v, in(v, 0)), g = as_matrix(v, v->g);
  if (a < 0 || g < 0) return TKG_E_SHAPE;
  return accumulate(v, 1, tb ? product(v, g, a, true, ta) : product(v, a, g, !ta, false));
}

/* y = A B: dA = g B^T, dB = A^T g. dB comes first: the kept copy of A is then gone before dA,
 * which is as large, is made. */
int tkg__vjp_matmul(tkg_vjp *v) {
  bool ta = self(v)->i[0], tb = self(v)->i[1];
  int status = wants(v, 1) ? matmul_right(v, ta, tb) : TKG_OK;
  if (status || !wants(v, 0)) return status;
  int b = in(v, 1);
  return accumulate(v, 0, ta ? product(v, b, v->g, tb, true) : product(v, v->g, b, false, !tb));
}

static int batched(tkg_vjp *v, int k, int a, int b, bool ta, bool tb) {
  return accumulate(v, k, record(v, (tkg_node){.i = {ta, tb}}, TKG_OP_BATCHED_MATMUL, a, b, -1));
}

/* The same, matrix by matrix. */
int tkg__vjp_batched_matmul(tkg_vjp *v) {
  const bool ta = self(v)->i[0], tb = self(v)->i[1];
  const int a = in(v, 0), b = in(v, 1);
  int status = TKG_OK;
  if (wants(v, 1))
    status = tb ? batched(v, 1, v->g, a, true, ta) : batched(v, 1, a, v->g, !ta, false);
  if (status || !wants(v, 0)) return status;
  return ta ? batched(v, 0, b, v->g, tb, true) : batched(v, 0, v->g, b, false, !tb);
}

int tkg__vjp_concat(tkg_vjp *v) {
  int64_t first = 0, dim = self(v)->i[0];
  for (int k = 0; k < self(v)->inputs; k++) {
    tkg_node part = shaped(node_of(v, in(v, k)));
    part.i[0] = dim;
    part.i[1] = first;
    first += part.shape[dim];
    if (!wants(v, k)) continue;
    int status = accumulate(v, k, record(v, part, TKG_OP_NARROW, v->g, -1, -1));
    if (status) return status;
  }
  return TKG_OK;
}

/* narrow and pad undo each other. */
static int part(tkg_vjp *v, int op) {
  tkg_node node = shaped(node_of(v, in(v, 0)));
  node.i[0] = self(v)->i[0];
  node.i[1] = self(v)->i[1];
  return accumulate(v, 0, record(v, node, op, v->g, -1, -1));
}

int tkg__vjp_narrow(tkg_vjp *v) { return part(v, TKG_OP_PAD); }
int tkg__vjp_pad(tkg_vjp *v) {
  int status = wants(v, 0) ? part(v, TKG_OP_NARROW) : TKG_OK;
  bool base = self(v)->inputs > 1;
  return !status && base && wants(v, 1) ? accumulate(v, 1, v->g) : status;
}

int tkg__vjp_reshape(tkg_vjp *v) {
  return accumulate(v, 0, reshaped(v, v->g, node_of(v, in(v, 0))));
}

int tkg__vjp_transpose(tkg_vjp *v) { return accumulate(v, 0, one(v, TKG_OP_TRANSPOSE, v->g)); }

/* ---- rows and elements by id ---- */

static int into_shape(tkg_vjp *v, int op, int a, int b, int c) {
  return accumulate(v, 0, record(v, shaped(node_of(v, in(v, 0))), op, a, b, c));
}

int tkg__vjp_gather(tkg_vjp *v) { return into_shape(v, TKG_OP_SCATTER_ADD, v->g, in(v, 1), -1); }

int tkg__vjp_take(tkg_vjp *v) { return into_shape(v, TKG_OP_TAKE_GRAD, v->g, in(v, 1), -1); }

int tkg__vjp_take_grad(tkg_vjp *v) { return accumulate(v, 0, two(v, TKG_OP_TAKE, v->g, in(v, 1))); }

/* u . r[ids]: gradients by relation first (a dense [b, m]), then two small products. */
int tkg__vjp_relation_score(tkg_vjp *v) {
  tkg_node by_relation = {.rank = 2};
  by_relation.shape[0] = node_of(v, in(v, 0))->shape[0];
  by_relation.shape[1] = node_of(v, in(v, 1))->shape[0];
  int g = record(v, by_relation, TKG_OP_TAKE_GRAD, v->g, in(v, 2), -1);
  int status = g < 0 ? TKG_E_SHAPE : TKG_OK;
  if (!status && wants(v, 0)) status = accumulate(v, 0, product(v, g, in(v, 1), false, false));
  if (!status && wants(v, 1)) status = accumulate(v, 1, product(v, g, in(v, 0), true, false));
  return status;
}

int tkg__vjp_neighbor_sum(tkg_vjp *v) {
  bool ids = self(v)->inputs > 2;
  int w = in(v, 0), x = in(v, 1), by = ids ? in(v, 2) : -1, status = TKG_OK;
  if (wants(v, 0)) {
    tkg_node node = {.i = {node_of(v, w)->shape[1]}};
    int rows = as_matrix(v, x);
    status = accumulate(v, 0, rows < 0 ? -1 : record(v, node, TKG_OP_NEIGHBOR_DOT, v->g, rows, by));
  }
  if (status || !wants(v, 1)) return status;
  if (!ids) {
    int outer = two(v, TKG_OP_NEIGHBOR_OUTER, w, v->g);
    return accumulate(v, 1, outer < 0 ? -1 : reshaped(v, outer, node_of(v, x)));
  }
  return accumulate(v, 1, record(v, shaped(node_of(v, x)), TKG_OP_NEIGHBOR_SCATTER, w, v->g, by));
}

/* The gradient of a sum of rows over k neighbours' weights: its own gradient is a sum again. */
int tkg__vjp_neighbor_dot(tkg_vjp *v) {
  bool ids = self(v)->inputs > 2;
  int g = in(v, 0), x = in(v, 1), by = ids ? in(v, 2) : -1, status = TKG_OK;
  if (wants(v, 0))
    status = accumulate(v, 0, record(v, (tkg_node){0}, TKG_OP_NEIGHBOR_SUM, v->g, x, by));
  if (status || !wants(v, 1)) return status;
  if (!ids) return accumulate(v, 1, two(v, TKG_OP_NEIGHBOR_OUTER, v->g, g));
  return accumulate(v, 1, record(v, shaped(node_of(v, x)), TKG_OP_NEIGHBOR_SCATTER, v->g, g, by));
}

/* Adding rows and fetching them undo each other; so do taking elements and putting them back. */
int tkg__vjp_scatter_add(tkg_vjp *v) {
  int status = TKG_OK;
  if (wants(v, 0)) {
    int part = two(v, TKG_OP_GATHER, v->g, in(v, 1));
    status = accumulate(v, 0, part < 0 ? -1 : reshaped(v, part, node_of(v, in(v, 0))));
  }
  bool base = self(v)->inputs > 2;
  return !status && base && wants(v, 2) ? accumulate(v, 2, v->g) : status;
}

/* ---- one input, elementwise or row by row ---- */

int tkg__vjp_widen(tkg_vjp *v) { return accumulate(v, 0, v->g); }

int tkg__vjp_affine(tkg_vjp *v) {
  double factor = self(v)->f[0];
  return accumulate(v, 0, factor == 1 ? v->g : scaled(v, v->g, factor));
}

/* ReLU and its kin: y has the sign of x when the slope is not negative, and y is the one that
 * is likely to be saved anyway. */
int tkg__vjp_leaky_relu(tkg_vjp *v) {
  double slope = self(v)->f[0];
  return accumulate_one(v, TKG_OP_LEAKY_RELU_GRAD, slope >= 0 ? v->self : in(v, 0), slope, 0);
}

int tkg__vjp_sigmoid(tkg_vjp *v) { return accumulate_one(v, TKG_OP_SIGMOID_GRAD, v->self, 0, 0); }
int tkg__vjp_tanh(tkg_vjp *v) { return accumulate_one(v, TKG_OP_TANH_GRAD, v->self, 0, 0); }

int tkg__vjp_elu(tkg_vjp *v) {
  return accumulate_one(v, TKG_OP_ELU_GRAD, v->self, self(v)->f[0], 0);
}

static int times_g(tkg_vjp *v, int factor) {
  return accumulate(v, 0, factor < 0 ? -1 : two(v, TKG_OP_MUL, v->g, factor));
}

int tkg__vjp_softplus(tkg_vjp *v) { return times_g(v, one(v, TKG_OP_SIGMOID, in(v, 0))); }
int tkg__vjp_exp(tkg_vjp *v) { return times_g(v, v->self); }

int tkg__vjp_log(tkg_vjp *v) { return accumulate(v, 0, two(v, TKG_OP_DIV, v->g, in(v, 0))); }

int tkg__vjp_sqrt(tkg_vjp *v) {
  return accumulate(v, 0, two(v, TKG_OP_DIV, scaled(v, v->g, 0.5), v->self));
}

int tkg__vjp_square(tkg_vjp *v) { return accumulate(v, 0, times(v, scaled(v, v->g, 2), in(v, 0))); }

int tkg__vjp_sin(tkg_vjp *v) { return times_g(v, one(v, TKG_OP_COS, in(v, 0))); }

int tkg__vjp_cos(tkg_vjp *v) {
  const int sine = one(v, TKG_OP_SIN, in(v, 0));
  return times_g(v, sine < 0 ? -1 : scaled(v, sine, -1));
}

/* g / sqrt(1 - x^2) */
int tkg__vjp_asin(tkg_vjp *v) {
  const int square = one(v, TKG_OP_SQUARE, in(v, 0));
  const tkg_node rest = {.f = {-1, 1}};
  int cosine = square < 0 ? -1 : record(v, rest, TKG_OP_AFFINE, square, -1, -1);
  if (cosine >= 0) cosine = one(v, TKG_OP_SQRT, cosine);
  return accumulate(v, 0, cosine < 0 ? -1 : two(v, TKG_OP_DIV, v->g, cosine));
}

/* Records x to a power, by the cheapest op that has it. */
static int power_of(tkg_vjp *v, int x, double p) {
  if (p == 1) return x;
  if (p == 2) return one(v, TKG_OP_SQUARE, x);
  if (p == 0.5) return one(v, TKG_OP_SQRT, x);
  return record(v, (tkg_node){.f = {p, p - (double)(float)p}}, TKG_OP_POW, x, -1, -1);
}

/* p x^(p - 1) g */
int tkg__vjp_pow(tkg_vjp *v) {
  const double p = self(v)->f[0];
  const int factor = power_of(v, in(v, 0), p - 1);
  return times_g(v, factor < 0 ? -1 : scaled(v, factor, p));
}

int tkg__vjp_clamp(tkg_vjp *v) {
  return accumulate_one(v, TKG_OP_CLAMP_GRAD, in(v, 0), self(v)->f[0], self(v)->f[1]);
}

int tkg__vjp_softmax(tkg_vjp *v) { return accumulate_one(v, TKG_OP_SOFTMAX_GRAD, v->self, 0, 0); }

int tkg__vjp_log_softmax(tkg_vjp *v) {
  return accumulate_one(v, TKG_OP_LOG_SOFTMAX_GRAD, v->self, 0, 0);
}

/* The products are formed again: only the sums are saved beside x and y. */
int tkg__vjp_product_logsumexp(tkg_vjp *v) {
  int status = TKG_OK;
  for (int k = 0; k < 2 && !status; k++) {
    if (!wants(v, k)) continue;
    tkg_node node = {.f = {self(v)->f[0]}, .i = {k}};
    int32_t inputs[] = {v->g, in(v, 0), in(v, 1), v->self};
    status = accumulate(v, k,
                        tkg__record(v->tape, &node, TKG_OP_PRODUCT_LOGSUMEXP_GRAD, 4, inputs,
                                    v->tape->side[v->self].where));
  }
  return status;
}

int tkg__vjp_dropout(tkg_vjp *v) {
  tkg_node node = {.f = {self(v)->f[0]}, .i = {self(v)->i[0]}};
  return accumulate(v, 0,
                    record(v, node, TKG_OP_DROPOUT, v->g, self(v)->inputs > 1 ? in(v, 1) : -1, -1));
}

/* Reads the result and the norms, not the row: the result may be kept in codes. With norms of
 * sqrt(|x|^2 + f0), f0 < 0 here: no norm is at a floor. */
int tkg__vjp_normalize(tkg_vjp *v) {
  tkg_node node = {.f = {self(v)->f[0]}};
  return accumulate(v, 0, record(v, node, TKG_OP_NORMALIZE_GRAD, v->g, v->self, in(v, 1)));
}

/* ---- from an op to its product ---- */

int tkg__vjp_none(tkg_vjp *v) {
  return tkg__fail(TKG_E_UNSUPPORTED, "backward: %s has no gradient", tkg__ops[self(v)->op].name);
}

#define X(name, text, reads, rows, columns, flags, shape, vjp, ...)                                \
  [TKG_OP_##name] = tkg__vjp_##vjp,
static int (*const products[TKG_OP_COUNT])(tkg_vjp *v) = {
#include "base/ops.def"
};
#undef X

int tkg__vjp(tkg_vjp *v) { return products[self(v)->op](v); }
