/* One vector-Jacobian product an op: given g = dL/d(output), what do the inputs gain?
 *
 * The nodes recorded here decide what must be kept for backward: each reads as little as the
 * mathematics allows - the sign of a ReLU, the output of a softmax, nothing for a sum. */
#include "vjp.h"

#include "custom_vjp.h"

/* ---- families ---- */

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

static int mul(tkg_vjp *v) {
  int status = TKG_OK;
  if (wants(v, 0))
    status = accumulate(v, 0, shrunk(v, two(v, TKG_OP_MUL, v->g, in(v, 1)), in(v, 0)));
  if (!status && wants(v, 1))
    status = accumulate(v, 1, shrunk(v, two(v, TKG_OP_MUL, v->g, in(v, 0)), in(v, 1)));
  return status;
}

/* a / b: da = g / b, db = -g y / b */
static int quotient(tkg_vjp *v) {
  int status = TKG_OK, part = two(v, TKG_OP_DIV, v->g, in(v, 1));
  if (part < 0) return TKG_E_SHAPE;
  if (wants(v, 0)) status = accumulate(v, 0, shrunk(v, part, in(v, 0)));
  if (status || !wants(v, 1)) return status;
  int down = two(v, TKG_OP_MUL, part, v->self);
  return accumulate(v, 1, down < 0 ? -1 : shrunk(v, scaled(v, down, -1), in(v, 1)));
}

/* ReLU and its kin: y has the sign of x when the slope is not negative, and y is the one that
 * is likely to be kept anyway. */
static int leaky_relu(tkg_vjp *v) {
  double slope = self(v)->f[0];
  return accumulate_one(v, TKG_OP_LEAKY_RELU_GRAD, slope >= 0 ? v->self : in(v, 0), slope, 0);
}

static int times_g(tkg_vjp *v, int factor) {
  return accumulate(v, 0, factor < 0 ? -1 : two(v, TKG_OP_MUL, v->g, factor));
}

/* A gradient that lost dimensions gets them back as 1, then broadcasts. */
static int sum(tkg_vjp *v) {
  const tkg_node *x = node_of(v, in(v, 0));
  tkg_node kept = shaped(x);
  for (int d = 0; d < x->rank; d++)
    if ((self(v)->i[0] >> d) & 1) kept.shape[d] = 1;
  int g = reshaped(v, v->g, &kept);
  return g < 0 ? TKG_E_SHAPE
               : accumulate(v, 0,
                            record(v, shaped(node_of(v, in(v, 0))), TKG_OP_BROADCAST, g, -1, -1));
}

static int dot(tkg_vjp *v) {
  tkg_node column = shaped(self(v));
  column.shape[column.rank++] = 1;
  int g = reshaped(v, v->g, &column), status = g < 0 ? TKG_E_SHAPE : TKG_OK;
  if (!status && wants(v, 0)) status = accumulate(v, 0, two(v, TKG_OP_MUL, in(v, 1), g));
  if (!status && wants(v, 1)) status = accumulate(v, 1, two(v, TKG_OP_MUL, in(v, 0), g));
  return status;
}

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
static int matmul(tkg_vjp *v) {
  bool ta = self(v)->i[0], tb = self(v)->i[1];
  int status = wants(v, 1) ? matmul_right(v, ta, tb) : TKG_OK;
  if (status || !wants(v, 0)) return status;
  int b = in(v, 1);
  return accumulate(v, 0, ta ? product(v, b, v->g, tb, true) : product(v, v->g, b, false, !tb));
}

static int concat(tkg_vjp *v) {
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

static int into_shape(tkg_vjp *v, int op, int a, int b, int c) {
  return accumulate(v, 0, record(v, shaped(node_of(v, in(v, 0))), op, a, b, c));
}

/* u . r[ids]: gradients by relation first (a dense [b, m]), then two small products. */
static int edge_dot(tkg_vjp *v) {
  tkg_node by_relation = {.rank = 2};
  by_relation.shape[0] = node_of(v, in(v, 0))->shape[0];
  by_relation.shape[1] = node_of(v, in(v, 1))->shape[0];
  int g = record(v, by_relation, TKG_OP_TAKE_GRAD, v->g, in(v, 2), -1);
  int status = g < 0 ? TKG_E_SHAPE : TKG_OK;
  if (!status && wants(v, 0)) status = accumulate(v, 0, product(v, g, in(v, 1), false, false));
  if (!status && wants(v, 1)) status = accumulate(v, 1, product(v, g, in(v, 0), true, false));
  return status;
}

static int mix(tkg_vjp *v) {
  bool ids = self(v)->inputs > 2;
  int w = in(v, 0), x = in(v, 1), by = ids ? in(v, 2) : -1, status = TKG_OK;
  if (wants(v, 0))
    status = accumulate(
        v, 0, record(v, (tkg_node){.i = {node_of(v, w)->shape[1]}}, TKG_OP_MIX_DOT, v->g, x, by));
  if (status || !wants(v, 1)) return status;
  if (!ids) return accumulate(v, 1, two(v, TKG_OP_MIX_OUTER, w, v->g));
  return accumulate(v, 1, record(v, shaped(node_of(v, x)), TKG_OP_MIX_SCATTER, w, v->g, by));
}

/* The gradient of a sum of rows over k neighbours' weights: its own gradient is a sum again. */
static int mix_dot(tkg_vjp *v) {
  bool ids = self(v)->inputs > 2;
  int g = in(v, 0), x = in(v, 1), by = ids ? in(v, 2) : -1, status = TKG_OK;
  if (wants(v, 0)) status = accumulate(v, 0, record(v, (tkg_node){0}, TKG_OP_MIX, v->g, x, by));
  if (status || !wants(v, 1)) return status;
  if (!ids) return accumulate(v, 1, two(v, TKG_OP_MIX_OUTER, v->g, g));
  return accumulate(v, 1, record(v, shaped(node_of(v, x)), TKG_OP_MIX_SCATTER, v->g, g, by));
}

static int dropout(tkg_vjp *v) {
  tkg_node node = {.f = {self(v)->f[0]}, .i = {self(v)->i[0]}};
  return accumulate(v, 0,
                    record(v, node, TKG_OP_DROPOUT, v->g, self(v)->inputs > 1 ? in(v, 1) : -1, -1));
}

/* Reads the result and the norms, not the row: the result may be kept in codes. */
static int normalize(tkg_vjp *v) {
  tkg_node node = {.f = {self(v)->f[0]}};
  return accumulate(v, 0, record(v, node, TKG_OP_NORMALIZE_GRAD, v->g, v->self, in(v, 1)));
}

/* Adding rows and fetching them undo each other; so do taking elements and putting them back. */
static int scatter_add(tkg_vjp *v) {
  int status = TKG_OK;
  if (wants(v, 0)) {
    int part = two(v, TKG_OP_GATHER, v->g, in(v, 1));
    status = accumulate(v, 0, part < 0 ? -1 : reshaped(v, part, node_of(v, in(v, 0))));
  }
  bool base = self(v)->inputs > 2;
  return !status && base && wants(v, 2) ? accumulate(v, 2, v->g) : status;
}

static int none(const tkg_vjp *v) {
  return tkg__fail(TKG_E_UNSUPPORTED, "backward: %s has no gradient", tkg__ops[self(v)->op].name);
}

/* One input, elementwise or row by row. */
static int unary(tkg_vjp *v) {
  const tkg_node *n = self(v);
  switch (n->op) {
  case TKG_OP_AFFINE:
    return accumulate(v, 0, n->f[0] == 1 ? v->g : scaled(v, v->g, n->f[0]));
  case TKG_OP_LEAKY_RELU:
    return leaky_relu(v);
  case TKG_OP_SIGMOID:
    return accumulate_one(v, TKG_OP_SIGMOID_GRAD, v->self, 0, 0);
  case TKG_OP_TANH:
    return accumulate_one(v, TKG_OP_TANH_GRAD, v->self, 0, 0);
  case TKG_OP_SOFTPLUS:
    return times_g(v, one(v, TKG_OP_SIGMOID, in(v, 0)));
  case TKG_OP_EXP:
    return times_g(v, v->self);
  case TKG_OP_LOG:
    return accumulate(v, 0, two(v, TKG_OP_DIV, v->g, in(v, 0)));
  case TKG_OP_SQRT:
    return accumulate(v, 0, two(v, TKG_OP_DIV, scaled(v, v->g, 0.5), v->self));
  case TKG_OP_SQUARE:
    return accumulate(v, 0, two(v, TKG_OP_MUL, scaled(v, v->g, 2), in(v, 0)));
  case TKG_OP_CLAMP:
    return accumulate_one(v, TKG_OP_CLAMP_GRAD, in(v, 0), n->f[0], n->f[1]);
  case TKG_OP_DROPOUT:
    return dropout(v);
  case TKG_OP_NORMALIZE:
    return normalize(v);
  case TKG_OP_SOFTMAX:
    return accumulate_one(v, TKG_OP_SOFTMAX_GRAD, v->self, 0, 0);
  case TKG_OP_LOG_SOFTMAX:
    return accumulate_one(v, TKG_OP_LOG_SOFTMAX_GRAD, v->self, 0, 0);
  default:
    return none(v);
  }
}

int tkg__vjp(tkg_vjp *v) {
  switch (self(v)->op) {
  case TKG_OP_ADD:
    return additive(v, 1);
  case TKG_OP_SUB:
    return additive(v, -1);
  case TKG_OP_MUL:
    return mul(v);
  case TKG_OP_DIV:
    return quotient(v);
  case TKG_OP_SUM:
    return sum(v);
  case TKG_OP_BROADCAST:
    return accumulate(v, 0, shrunk(v, v->g, in(v, 0)));
  case TKG_OP_DOT:
    return dot(v);
  case TKG_OP_MATMUL:
    return matmul(v);
  case TKG_OP_CONCAT:
    return concat(v);
  case TKG_OP_NARROW:
    return part(v, TKG_OP_PAD);
  case TKG_OP_PAD:
    return part(v, TKG_OP_NARROW);
  case TKG_OP_RESHAPE:
    return accumulate(v, 0, reshaped(v, v->g, node_of(v, in(v, 0))));
  case TKG_OP_TRANSPOSE:
    return accumulate(v, 0, one(v, TKG_OP_TRANSPOSE, v->g));
  case TKG_OP_GATHER:
    return into_shape(v, TKG_OP_SCATTER_ADD, v->g, in(v, 1), -1);
  case TKG_OP_SCATTER_ADD:
    return scatter_add(v);
  case TKG_OP_TAKE_GRAD:
    return accumulate(v, 0, two(v, TKG_OP_TAKE, v->g, in(v, 1)));
  case TKG_OP_TAKE:
    return into_shape(v, TKG_OP_TAKE_GRAD, v->g, in(v, 1), -1);
  case TKG_OP_EDGE_DOT:
    return edge_dot(v);
  case TKG_OP_MIX:
    return mix(v);
  case TKG_OP_MIX_DOT:
    return mix_dot(v);
  case TKG_OP_CUSTOM_VJP:
    return tkg__custom_vjp(v);
  case TKG_OP_GROUPED_MATMUL:
  case TKG_OP_AGGREGATE:
  case TKG_OP_AGGREGATE_ROWS:
  case TKG_OP_AGGREGATE_MUL:
  case TKG_OP_AGGREGATE_MUL_ROWS:
  case TKG_OP_AGGREGATE_DOT:
  case TKG_OP_EDGE_SOFTMAX:
  case TKG_OP_AGGREGATE_PICK:
    return tkg__vjp_graph(v);
  default:
    return unary(v);
  }
}
