/* Shapes of the ops that compare rows with all rows of another matrix, or rank what is in a row. */
#include <inttypes.h>

#include "shape.h"

/* Rows of two matrices, each with each. */
static int check_products(const tkg_inference *s, int a, int b) {
  const tkg_node *x = s->in[a], *y = s->in[b];
  if (x->rank == 2 && y->rank == 2 && x->shape[1] == y->shape[1]) return TKG_OK;
  return tkg__misfit(s, a, b, "two matrices with as many columns are needed");
}

int tkg__shape_product_logsumexp(tkg_inference *s) {
  tkg__set_matrix(s->out, s->in[0]->shape[0], 1);
  return check_products(s, 0, 1);
}

int tkg__shape_product_logsumexp_grad(tkg_inference *s) {
  int status = check_products(s, 1, 2);
  for (int k = 0; k < 4 && !status; k += 3)
    if (s->in[k]->rank != 2 || s->in[k]->shape[1] != 1 || s->in[k]->shape[0] != s->in[1]->shape[0])
      status = tkg__misfit(s, k, 1, "one number per row is needed");
  if (!status) tkg__set_shape(s->out, s->in[s->out->i[0] ? 2 : 1]);
  return status;
}

/* The number asked for against what there is. */
static int check_best(const tkg_inference *s, int64_t of) {
  const int64_t k = s->out->i[0];
  if (k >= 1 && k <= of && of <= INT32_MAX) return TKG_OK;
  return tkg__fail(TKG_E_ARGUMENT, "%s: %" PRId64 " of %" PRId64 " asked for", tkg__name_of(s), k,
                   of);
}

int tkg__shape_top_k(tkg_inference *s) {
  const tkg_node *x = s->in[0];
  if (x->rank != 2) return tkg__unfit(s, 0, "a matrix is needed");
  tkg__set_matrix(s->out, x->shape[0], s->out->i[0]);
  s->out->dtype = TKG_I32;
  return check_best(s, x->shape[1]);
}

int tkg__shape_top_k_mask(tkg_inference *s) {
  if (s->in[0]->rank == 0) return tkg__unfit(s, 0, "it has no rows");
  tkg__set_shape(s->out, s->in[0]);
  return check_best(s, tkg__cols(s->in[0]));
}
