/* Shapes of the ops on whole graphs, and of products of rows with matrices of their own kind. */
#include <inttypes.h>

#include "data/packed_graph.h"
#include "shape.h"

/* Where an op on a graph has its operands: their input numbers, -1 for none. */
typedef struct operands {
  int x;      /* [m,d], or [b,d] where there is row_of: what is summed */
  int a;      /* [n,d], or [b,d] where there are rows: what it is compared with */
  int r;      /* [k,d]: relation vectors */
  int rows;   /* int32 [b]: heads */
  int row_of; /* int32 [m] */
  int values; /* [e]: of edges */
  int back;   /* [e]: of the edges that lead back */
} operands;

static operands operands_of(int op) {
  switch (op) {
  case TKG_OP_AGGREGATE:
    return (operands){1, -1, -1, -1, -1, 2, 3};
  case TKG_OP_AGGREGATE_ROWS:
    return (operands){1, -1, -1, 2, -1, 3, 4};
  case TKG_OP_AGGREGATE_INDEXED:
    return (operands){1, -1, -1, -1, 2, 3, -1};
  case TKG_OP_AGGREGATE_WHERE:
    return (operands){1, -1, -1, -1, -1, 3, -1};
  case TKG_OP_AGGREGATE_MUL:
    return (operands){1, -1, 2, -1, -1, 3, -1};
  case TKG_OP_AGGREGATE_MUL_ROWS:
    return (operands){1, -1, 2, 3, -1, 4, -1};
  case TKG_OP_AGGREGATE_MUL_INDEXED:
    return (operands){1, -1, 2, -1, 3, 4, -1};
  case TKG_OP_SDDMM:
    return (operands){2, 1, 3, -1, -1, -1, -1};
  case TKG_OP_SDDMM_RELATION:
    return (operands){2, 1, -1, 3, -1, 4, -1};
  case TKG_OP_AGGREGATE_RELATION:
    return (operands){2, 1, -1, -1, -1, 3, -1};
  case TKG_OP_AGGREGATE_RELATION_ROWS:
    return (operands){2, 1, -1, 3, -1, 4, -1};
  default:
    __builtin_trap(); /* ops.def gives these rules to no other op */
  }
}

static bool given(const tkg_inference *s, int k) { return k >= 0 && k < s->out->inputs; }

/* Heads and tails as the op goes through the graph; edges. */
typedef struct extents {
  int64_t n, m, e;
} extents;

static int check_graph(const tkg_inference *s, extents *x) {
  const int64_t *i = s->out->i;
  bool back = i[3] & TKG_GRAPH_BACKWARD;
  if (s->in[0]->rank != 1 || tkg__count(s->in[0]) != tkg_graph_length(i[0], i[1], i[2], i[3]))
    return tkg__unfit(s, 0, "it is no packed graph with those heads, tails and edges");
  if (back && (i[3] & TKG_GRAPH_ONE_WAY))
    return tkg__fail(TKG_E_UNSUPPORTED, "%s: this graph was made to be gone through one way only",
                     tkg__name_of(s));
  *x = back ? (extents){i[1], i[0], i[2]} : (extents){i[0], i[1], i[2]};
  return TKG_OK;
}

static int check_matrix(const tkg_inference *s, int k, int64_t rows, const char *why) {
  if (s->in[k]->rank == 2 && (rows < 0 || s->in[k]->shape[0] == rows)) return TKG_OK;
  return tkg__unfit(s, k, why);
}

static int check_vector(const tkg_inference *s, int k, int64_t count, const char *why) {
  if (s->in[k]->rank == 1 && (count < 0 || s->in[k]->shape[0] == count)) return TKG_OK;
  return tkg__unfit(s, k, why);
}

/* `rows` vectors or sums against the relations of the graph. */
static int check_relations(const tkg_inference *s, int64_t rows) {
  const int64_t kinds = tkg__graph_kinds(s->out->i[3]);
  if (!(s->out->i[3] & TKG_GRAPH_RELATIONS))
    return tkg__fail(TKG_E_ARGUMENT, "%s: this graph has no relations", tkg__name_of(s));
  if (rows >= kinds) return TKG_OK;
  return tkg__fail(TKG_E_SHAPE, "%s: %" PRId64 " rows for the relations 0..%" PRId64,
                   tkg__name_of(s), rows, kinds - 1);
}

/* Weights of the edges that lead back are by place, as those of the edges are. */
static int check_back(const tkg_inference *s, int k, int64_t e) {
  const int64_t layout = s->out->i[3];
  if (!(layout & TKG_GRAPH_SYMMETRIC) || (layout & TKG_GRAPH_BACKWARD))
    return tkg__fail(TKG_E_ARGUMENT,
                     "%s: weights of edges that lead back are of a graph where each edge has one, "
                     "not transposed",
                     tkg__name_of(s));
  return check_vector(s, k, e, "a weight for each edge is needed");
}

/* All operands against the graph and against the columns of the first. */
static int check_operands(const tkg_inference *s, const operands *o, const extents *x) {
  int64_t tails = given(s, o->row_of) ? -1 : x->m, status = TKG_OK;
  int64_t heads = given(s, o->rows) ? s->in[o->rows]->shape[0] : x->n;
  status = check_matrix(s, o->x, tails, "a row for each tail is needed");
  if (!status && given(s, o->rows))
    status = check_vector(s, o->rows, -1, "the ids of heads are a vector");
  if (!status && given(s, o->row_of))
    status = check_vector(s, o->row_of, x->m, "a row or -1 for each tail is needed");
  if (!status && given(s, o->a))
    status = check_matrix(s, o->a, heads, "a row for each head is needed");
  if (!status && given(s, o->r)) {
    status = check_matrix(s, o->r, -1, "relation vectors are a matrix");
    if (!status) status = check_relations(s, s->in[o->r]->shape[0]);
  }
  if (!status && given(s, o->values))
    status = check_vector(s, o->values, x->e, "a weight for each edge is needed");
  if (!status && given(s, o->back)) status = check_back(s, o->back, x->e);
  const int with[] = {o->a, o->r};
  for (int k = 0; k < 2 && !status; k++)
    if (given(s, with[k]) && tkg__cols(s->in[with[k]]) != tkg__cols(s->in[o->x]))
      status = tkg__misfit(s, o->x, with[k], "columns must be equal");
  return (int)status;
}

static int check_all(const tkg_inference *s, operands *o, extents *x) {
  *o = operands_of(s->out->op);
  int status = check_graph(s, x);
  return status ? status : check_operands(s, o, x);
}

int tkg__shape_aggregate(tkg_inference *s) {
  operands o;
  extents x;
  int status = check_all(s, &o, &x);
  if (status) return status;
  tkg__set_matrix(s->out, given(s, o.rows) ? s->in[o.rows]->shape[0] : x.n, tkg__cols(s->in[o.x]));
  return TKG_OK;
}

int tkg__shape_aggregate_where(tkg_inference *s) {
  const int status = tkg__shape_aggregate(s);
  return status ? status : check_vector(s, 2, s->out->shape[0], "a number for each head is needed");
}

int tkg__shape_neighborhood(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status) status = check_vector(s, 1, -1, "the ids of heads are a vector");
  if (!status && given(s, 2)) status = check_vector(s, 2, x.e, "a weight for each edge is needed");
  if (status) return status;
  s->out->dtype = TKG_I32;
  s->out->rank = 1;
  s->out->shape[0] = x.m;
  return TKG_OK;
}

int tkg__shape_merge_index(tkg_inference *s) {
  int status = check_vector(s, 0, -1, "numbers are a vector");
  if (!status) status = check_vector(s, 1, -1, "numbers are a vector");
  if (!status && s->in[1]->shape[0] > s->in[0]->shape[0])
    status = tkg__misfit(s, 0, 1, "the second has no more numbers than the first");
  if (status) return status;
  tkg__set_shape(s->out, s->in[0]);
  s->out->dtype = TKG_I32;
  return TKG_OK;
}

int tkg__shape_edge_where(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status) status = check_vector(s, 1, x.e, "a weight for each edge is needed");
  if (!status) status = check_vector(s, 2, x.n, "a number for each head is needed");
  if (!status) tkg__set_shape(s->out, s->in[1]);
  return status;
}

int tkg__shape_sddmm(tkg_inference *s) {
  operands o;
  extents x;
  int status = check_all(s, &o, &x);
  if (status) return status;
  s->out->rank = 1;
  s->out->shape[0] = x.e;
  return TKG_OK;
}

int tkg__shape_sddmm_relation(tkg_inference *s) {
  operands o;
  extents x;
  int status = check_all(s, &o, &x);
  const double relation = s->out->f[0], kinds = (double)tkg__graph_kinds(s->out->i[3]);
  if (!status && (s->out->i[3] & TKG_GRAPH_BACKWARD))
    status = tkg__fail(TKG_E_UNSUPPORTED, "%s: forward only", tkg__name_of(s));
  if (!status) status = check_relations(s, INT64_MAX);
  if (!status && !(relation >= 0 && relation < kinds))
    status = tkg__fail(TKG_E_ARGUMENT, "%s: no edge has relation %g", tkg__name_of(s), relation);
  if (!status) tkg__set_shape(s->out, s->in[o.values]);
  return status;
}

int tkg__shape_aggregate_relation(tkg_inference *s) {
  operands o;
  extents x;
  int status = check_all(s, &o, &x);
  if (status) return status;
  if (s->out->rank != 2 || s->out->shape[1] != tkg__cols(s->in[o.x]))
    return tkg__misasked(s, o.x, "columns must be equal");
  return check_relations(s, s->out->shape[0]);
}

int tkg__shape_edges(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  for (int k = 1; k < s->out->inputs && !status; k++)
    status = check_vector(s, k, x.e, "a value for each edge is needed");
  if (!status) tkg__set_shape(s->out, s->in[1]);
  return status;
}

int tkg__shape_triples(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status && (s->out->i[3] & TKG_GRAPH_BACKWARD))
    status = tkg__fail(TKG_E_UNSUPPORTED, "%s: forward only", tkg__name_of(s));
  if (!status && given(s, 1)) status = check_vector(s, 1, -1, "numbers of edges are a vector");
  if (status) return status;
  s->out->dtype = TKG_I32;
  tkg__set_matrix(s->out, 3, given(s, 1) ? s->in[1]->shape[0] : x.e);
  return TKG_OK;
}

int tkg__shape_aggregate_argmax(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status) status = check_matrix(s, 1, x.m, "a row for each node is needed");
  if (status) return status;
  s->out->dtype = TKG_I32;
  tkg__set_matrix(s->out, x.n, tkg__cols(s->in[1]));
  return TKG_OK;
}

/* Rows of heads or tails, and the edges picked for each head and column. */
static int check_picked(const tkg_inference *s, const extents *x, int64_t rows) {
  int status = check_matrix(s, 1, rows, "a row for each node is needed");
  if (!status) status = check_matrix(s, 2, x->n, "the picked edges are a row for each head");
  if (!status && tkg__cols(s->in[2]) != tkg__cols(s->in[1]))
    status = tkg__misfit(s, 1, 2, "columns must be equal");
  return status;
}

int tkg__shape_aggregate_max(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status) status = check_picked(s, &x, x.m);
  if (!status) tkg__set_matrix(s->out, x.n, tkg__cols(s->in[1]));
  return status;
}

/* Goes to tails from their heads. */
int tkg__shape_aggregate_max_grad(tkg_inference *s) {
  extents x;
  int status = check_graph(s, &x);
  if (!status && (s->out->i[3] & TKG_GRAPH_ONE_WAY))
    status = tkg__fail(TKG_E_UNSUPPORTED, "%s: this graph was made to be gone through one way only",
                       tkg__name_of(s));
  if (!status) status = check_picked(s, &x, x.n);
  if (!status) tkg__set_matrix(s->out, x.m, tkg__cols(s->in[1]));
  return status;
}

/* Rows x[n,.] and one id per row. */
static int check_grouped(const tkg_inference *s) {
  const tkg_node *x = s->in[0], *ids = s->in[2];
  if (x->rank != 2) return tkg__unfit(s, 0, "rows of a matrix are needed");
  if (ids->rank != 1 || ids->shape[0] != x->shape[0])
    return tkg__misfit(s, 0, 2, "one id per row is needed");
  return TKG_OK;
}

/* Row i of x goes through matrix ids[i] of a stack. */
int tkg__shape_grouped_matmul(tkg_inference *s) {
  const tkg_node *x = s->in[0], *w = s->in[1];
  int status = check_grouped(s);
  if (status) return status;
  if (w->rank != 3)
    return tkg__unfit(s, 1, "a stack of matrices [kinds, inputs, outputs] is needed");
  bool t = s->out->i[0];
  if (w->shape[t ? 2 : 1] != x->shape[1])
    return tkg__misfit(s, 0, 1, "columns must equal the matrices' inputs");
  tkg__set_matrix(s->out, x->shape[0], w->shape[t ? 1 : 2]);
  return TKG_OK;
}

int tkg__shape_grouped_outer(tkg_inference *s) {
  const tkg_node *x = s->in[0], *g = s->in[1], *out = s->out;
  int status = check_grouped(s);
  if (status) return status;
  if (g->rank != 2 || g->shape[0] != x->shape[0])
    return tkg__misfit(s, 0, 1, "two matrices with as many rows are needed");
  if (out->rank == 3 && out->shape[1] == x->shape[1] && out->shape[2] == g->shape[1]) return TKG_OK;
  return tkg__misasked(s, 0, "a stack of matrices, columns by columns, is made");
}

int tkg__shape_inverse_index(tkg_inference *s) {
  s->out->dtype = TKG_I32;
  if (s->in[0]->rank != 1) return tkg__unfit(s, 0, "ids are a vector");
  return s->out->rank == 1 ? TKG_OK : tkg__misasked(s, 0, "a vector is made");
}

int tkg__shape_first_index(tkg_inference *s) {
  const int64_t rows = s->out->i[0];
  if (s->in[0]->rank != 1) return tkg__unfit(s, 0, "ids are a vector");
  if (rows < 0)
    return tkg__fail(TKG_E_ARGUMENT, "%s: ids of %" PRId64 " rows", tkg__name_of(s), rows);
  tkg__set_shape(s->out, s->in[0]);
  s->out->dtype = TKG_I32;
  return TKG_OK;
}

int tkg__shape_lookup(tkg_inference *s) {
  if (s->in[3]->rank != 2 || tkg__count(s->in[2]) != s->in[3]->shape[0])
    return tkg__misfit(s, 2, 3, "a row of ids for each row is needed");
  if (tkg__count(s->in[1]) != tkg__count(s->in[4]))
    return tkg__misfit(s, 1, 4, "a value for each column id is needed");
  if (tkg__count(s->in[0]) < 1) return tkg__unfit(s, 0, "offsets have one entry more than rows");
  tkg__set_shape(s->out, s->in[3]);
  return TKG_OK;
}

int tkg__shape_sample_tails(tkg_inference *s) {
  int64_t count = s->out->i[0];
  if (count < 1 || s->out->i[2] < 1)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " of %" PRId64 " nodes asked for",
                     tkg__name_of(s), count, s->out->i[2]);
  if (tkg__count(s->in[0]) < 1) return tkg__unfit(s, 0, "offsets have one entry more than rows");
  if (tkg__relation_words(tkg__count(s->in[1]), s->out->i[3]) != tkg__count(s->in[2]))
    return tkg__misfit(s, 1, 2, "tails and relations must be as many");
  if (tkg__count(s->in[3]) != tkg__count(s->in[4]))
    return tkg__misfit(s, 3, 4, "heads and their relations must be as many");
  s->out->dtype = TKG_I32;
  tkg__set_matrix(s->out, tkg__count(s->in[3]), count);
  return TKG_OK;
}
