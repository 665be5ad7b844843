/* SDDMM, a sampled dense-dense matrix product (SDDMM): out[e] = a[head] . (b[tail]
 * r[relation]) for each edge e of a graph; r is optional. Units are slices of edges (edges.h). Rows
 * of b lie anywhere and are prefetched some edges ahead. Both may be codes. */
#include "base/error.h"
#include "coded_rows.h"
#include "edges.h"
#include "ids.h"
#include "isa.h"
#include "wide.h"

static int sddmm(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_graph g = edges_graph(c);
  const int64_t d = tkg__cols(c->in[1]);
  const float *r = c->node->i[3] & TKG_GRAPH_RELATIONS ? c->data[3] : NULL;
  float *out = c->out;
  coded_rows a, b;
  int64_t first, last;
  edges_range(c, &g, begin, end, &first, &last);
  const int64_t edges_end = g.offsets[last];
  int status = r ? check_ids("sddmm", g.relations, g.offsets[first], edges_end, tkg__rows(c->in[3]))
                 : TKG_OK;
  if (status) return status;
  TKG_ISA_NAME(tkg__coded_open)(&a, c, 1, NULL);
  TKG_ISA_NAME(tkg__coded_open)(&b, c, 2, g.ids);
  for (int64_t row = first; row < last; row++) {
    if (g.offsets[row] == g.offsets[row + 1]) continue;
    const float *left = coded_row(&a, row);
    for (int64_t p = g.offsets[row]; p < g.offsets[row + 1]; p++) {
      const float *right = coded_at(&b, p, edges_end);
      out[edges_number(&g, p)] =
          r ? wide_dot3(left, right, r + g.relations[p] * d, d) : wide_dot(left, right, d);
    }
  }
  return TKG_OK;
}

static int64_t dot_work(const tkg_node *node, const tkg_node *const *in) {
  return node->i[2] * (tkg__cols(in[1]) + 1);
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_sddmm)[] = {
    {.op = TKG_OP_SDDMM, .run = sddmm, .units = edges_units, .work = dot_work},
    {0},
};
