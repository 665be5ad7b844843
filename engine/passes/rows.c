#include "rows.h"

#include <stdlib.h>

#include "base/error.h"

bool tkg__gathers_rows(const rows *z, const tkg_node *n) {
  const tkg_node *x = node_of(z, n->in[0]);
  return n->op == TKG_OP_GATHER && x->rank == 2 && x->dtype == TKG_F32;
}

bool tkg__reads_own_row(const rows *z, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->old, n, in);
  return in[k]->rank == 2 && tkg__row_access(n, in, k) == TKG_ACCESS_ROW;
}

int tkg__emit(rows *z, const tkg_node *node, int like) {
  return tkg__append(z->fresh, node, z->old->side[like].where);
}

static int remember(rows *z, int v, int ids, int to) {
  if (z->memo_count == z->memo_capacity) {
    int capacity = z->memo_capacity ? 2 * z->memo_capacity : 64;
    moved *memo = realloc(z->memo, (size_t)capacity * sizeof *memo);
    if (!memo) return -1;
    z->memo = memo;
    z->memo_capacity = capacity;
  }
  z->memo[z->memo_count++] = (moved){v, ids, to};
  return to;
}

/* A new gather of the rows of new node x, shaped as a row-by-row value. */
static int emit_gather(rows *z, int x, int ids, const tkg_node *like, int v) {
  tkg_node node = {.op = TKG_OP_GATHER, .inputs = 2, .rank = 1};
  const tkg_node *from = &z->fresh->nodes[x];
  node.bits = like->bits;
  node.nth = like->nth;
  node.dtype = from->dtype;
  node.in[0] = x;
  node.in[1] = ids;
  node.shape[0] = tkg__count(&z->fresh->nodes[ids]);
  if (from->rank == 2) node.shape[node.rank++] = from->shape[1];
  return tkg__emit(z, &node, v);
}

/* Graph sums have the rows asked for behind their vectors; dropout behind what it drops. */
static void insert_rows(tkg_node *node, int ids) {
  int at = node->op == TKG_OP_AGGREGATE ? 2 : node->op == TKG_OP_AGGREGATE_MUL ? 3 : 1;
  memmove(node->in + at + 1, node->in + at, (size_t)(node->inputs - at) * sizeof *node->in);
  node->in[at] = ids;
  node->inputs++;
  if (node->op == TKG_OP_AGGREGATE) node->op = TKG_OP_AGGREGATE_ROWS;
  if (node->op == TKG_OP_AGGREGATE_MUL) node->op = TKG_OP_AGGREGATE_MUL_ROWS;
}

static int compute_rows(rows *z, int v, int ids) {
  const tkg_node *n = node_of(z, v);
  if (z->whole[v]) return emit_gather(z, z->map[v], ids, n, v);
  if (n->op == TKG_OP_GATHER) {
    int inner = emit_gather(z, z->map[n->in[1]], ids, n, v);
    return inner < 0 ? -1 : tkg__rows_of(z, n->in[0], inner);
  }
  tkg_node node = *n;
  for (int k = 0; k < n->inputs; k++) {
    node.in[k] = tkg__reads_own_row(z, n, k) ? tkg__rows_of(z, n->in[k], ids) : z->map[n->in[k]];
    if (node.in[k] < 0) return -1;
  }
  node.shape[0] = tkg__count(&z->fresh->nodes[ids]);
  if (n->op == TKG_OP_DROPOUT || is_sum(n)) insert_rows(&node, ids);
  return tkg__emit(z, &node, v);
}

int tkg__rows_of(rows *z, int v, int ids) {
  for (int i = 0; i < z->memo_count; i++)
    if (z->memo[i].v == v && z->memo[i].ids == ids) return z->memo[i].to;
  int to = compute_rows(z, v, ids);
  return to < 0 ? -1 : remember(z, v, ids, to);
}

/* A gather whose source is not whole: its rows, in the shape of the ids. */
static int emit_moved(rows *z, int i) {
  const tkg_node *n = node_of(z, i);
  int ids = z->map[n->in[1]];
  if (z->fresh->nodes[ids].rank != 1) {
    tkg_node flat = {.op = TKG_OP_RESHAPE, .dtype = TKG_I32, .rank = 1, .inputs = 1};
    flat.in[0] = ids;
    flat.shape[0] = tkg__count(&z->fresh->nodes[ids]);
    if ((ids = tkg__emit(z, &flat, i)) < 0) return -1;
  }
  int to = tkg__rows_of(z, n->in[0], ids);
  if (to < 0 || node_of(z, n->in[1])->rank == 1) return to;
  tkg_node shaped = {.op = TKG_OP_RESHAPE, .dtype = TKG_F32, .rank = n->rank, .inputs = 1};
  shaped.in[0] = to;
  memcpy(shaped.shape, n->shape, sizeof shaped.shape);
  return tkg__emit(z, &shaped, i);
}

static int emit_whole(rows *z, int i) {
  tkg_node node = *node_of(z, i);
  if (tkg__gathers_rows(z, &node) && !z->whole[node.in[0]]) return emit_moved(z, i);
  for (int k = 0; k < node.inputs; k++) node.in[k] = z->map[node.in[k]];
  int at = tkg__emit(z, &node, i);
  tkg_tensor *tensor = z->old->side[i].tensor;
  if (at < 0) return -1;
  if (tensor) z->fresh->side[at].tensor = tkg_tensor_retain(tensor);
  z->fresh->side[at].origin = z->old->side[i].origin;
  return at;
}

int tkg__emit_once(rows *z, int i) {
  if (z->map[i] >= 0 || !z->whole[i]) return TKG_OK;
  z->map[i] = emit_whole(z, i);
  return z->map[i] < 0 ? tkg__fail(TKG_E_MEMORY, "rows: no memory") : TKG_OK;
}

int tkg__emit_early(rows *z, int v) {
  const tkg_node *n = node_of(z, v);
  int status = TKG_OK;
  if (z->map[v] >= 0) return TKG_OK;
  for (int k = 0; k < n->inputs && !status; k++) status = tkg__emit_early(z, n->in[k]);
  return status ? status : tkg__emit_once(z, v);
}
