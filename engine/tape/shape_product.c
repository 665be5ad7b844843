/* Shapes of matrix products. */
#include "shape.h"

/* Checks that the inner dimensions of op(a) and op(b) are equal. */
static int check_inner(const tkg_inference *s, int64_t a, int64_t b) {
  if (a == b) return TKG_OK;
  return tkg__misfit(s, 0, 1,
                     s->out->i[0] || s->out->i[1]
                         ? "inner dimensions differ (with the transposes asked for)"
                         : "columns of the first must equal rows of the second");
}

int tkg__shape_matmul(tkg_inference *s) {
  const tkg_node *a = s->in[0], *b = s->in[1];
  bool ta = s->out->i[0], tb = s->out->i[1];
  if (a->rank < 2 || (ta && a->rank != 2)) return tkg__unfit(s, 0, "a matrix is needed");
  if (b->rank != 2) return tkg__unfit(s, 1, "a matrix is needed");
  if (s->out->inputs > 2 && (a->rank != 2 || tkg__count(s->in[2]) != a->shape[0]))
    return tkg__misfit(s, 0, 2, "a number for each row is needed");
  tkg__set_shape(s->out, a);
  if (ta) s->out->shape[0] = a->shape[1];
  s->out->shape[s->out->rank - 1] = tb ? b->shape[0] : b->shape[1];
  return check_inner(s, ta ? a->shape[0] : tkg__cols(a), tb ? b->shape[1] : b->shape[0]);
}

/* Matrices lie in the last two dimensions. */
int tkg__shape_batched_matmul(tkg_inference *s) {
  const tkg_node *a = s->in[0], *b = s->in[1];
  const int row = a->rank - 2, col = a->rank - 1;
  bool ta = s->out->i[0], tb = s->out->i[1], fits = a->rank == b->rank;
  if (a->rank < 3) return tkg__unfit(s, 0, "matrices of 3 dimensions or more are needed");
  for (int d = 0; d < row; d++) fits = fits && a->shape[d] == b->shape[d];
  if (!fits)
    return tkg__misfit(s, 0, 1, "as many matrices are needed: equal dimensions before them");
  tkg__set_shape(s->out, a);
  s->out->shape[row] = a->shape[ta ? col : row];
  s->out->shape[col] = b->shape[tb ? row : col];
  return check_inner(s, a->shape[ta ? row : col], b->shape[tb ? col : row]);
}
