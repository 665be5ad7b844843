/* Sampling numbers: SAMPLE; from CSR tables: SAMPLE_NEIGHBORS, SAMPLE_NEGATIVES, SAMPLE_TAILS.
 * shared/sample.h says what is drawn. Units are rows of the batch. */
#include "shared/sample.h"

#include <stddef.h>
#include <string.h>

#include "csr_rows.h"
#include "data/packed_graph.h"
#include "ids.h"
#include "isa.h"
#include "kernel.h"

static tkg_sampler sampler_of(const tkg_call *c) {
  return (tkg_sampler){c->context->seed, c->context->step, (uint32_t)c->node->i[1]};
}

/* ---- numbers: -> int32 [k]; a draw depends on those before it ---- */

static int64_t slots_bytes(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__sample_slots(node->i[0]) * (int64_t)sizeof(int32_t);
}

static int sample(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_chosen table = {c->scratch, (uint32_t)tkg__sample_slots(c->node->i[0]) - 1};
  if (begin == end) return TKG_OK;
  memset(table.slots, -1, (size_t)slots_bytes(c->node, c->in));
  tkg__sample_positions(sampler_of(c), 0, c->node->i[0], c->node->i[2], table, c->out);
  return TKG_OK;
}

/* Input 2, in as many bytes as the layout says. */
static tkg_relations relations_of(const tkg_call *c) {
  return (tkg_relations){c->data[2], tkg__relation_bytes(c->node->i[3])};
}

/* ---- neighbours: offsets, tails, relations, ids[m] -> tails and relations, [2,m,k] ---- */

/* The drawn positions wait in `tails` until the tails replace them. */
static int sample_row(const tkg_call *c, int64_t r, int32_t node, int32_t *tails,
                      int32_t *relations) {
  const int64_t k = c->node->i[0];
  const int32_t *all_tails = c->data[1];
  const tkg_relations all_relations = relations_of(c);
  csr_row row;
  int status = find_csr_row("sample_neighbors", c->data[0], node, tkg__count(c->in[1]), &row);
  if (status) return status;
  if (row.count > 0) tkg__sample_positions(sampler_of(c), r, k, row.count, (tkg_chosen){0}, tails);
  for (int64_t j = 0; j < k; j++) {
    const int64_t edge = row.first + tails[j];
    relations[j] = row.count ? tkg__relation_at(all_relations, edge) : (int32_t)c->node->i[2];
    tails[j] = row.count ? all_tails[edge] : node;
  }
  return TKG_OK;
}

static int sample_neighbors(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t n = tkg__count(c->in[0]) - 1, m = tkg__count(c->in[3]), k = c->node->i[0];
  const int32_t *ids = c->data[3];
  int32_t *out = c->out;
  int status = check_ids("sample_neighbors", ids, begin, end, n);
  for (int64_t r = begin; !status && r < end; r++)
    status = sample_row(c, r, ids[r], out + r * k, out + (m + r) * k);
  return status;
}

static int64_t neighbor_rows(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[3]);
}

static int64_t neighbor_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node) * 4;
}

/* ---- negatives and tails: `per_row` items for each row, outside of that row of a table ---- */

/* Rows of the table lie anywhere: what tells where a row begins, and then its first entries. */
TKG_PREFETCH void prefetch_outside(const tkg_call *c, const int32_t *rows, int64_t r, int64_t end) {
  const int32_t *offsets = c->data[0], *entries = c->data[1];
  if (r + 2 * ROWS_AHEAD < end) __builtin_prefetch(offsets + rows[r + 2 * ROWS_AHEAD]);
  if (r + ROWS_AHEAD < end) __builtin_prefetch(entries + offsets[rows[r + ROWS_AHEAD]]);
}

/* asked: NULL, or the relation asked for in each row. */
static int sample_outside(const char *op, const tkg_call *c, int64_t begin, int64_t end,
                          const int32_t *rows, tkg_relations relations, const int32_t *asked,
                          const tkg_items *all) {
  const int64_t per_row = c->node->i[0], entries = tkg__count(c->in[1]);
  int32_t *out = c->out;
  int status = check_ids(op, rows, begin, end, tkg__count(c->in[0]) - 1);
  for (int64_t r = begin; !status && r < end; r++) {
    csr_row row;
    prefetch_outside(c, rows, r, end);
    status = find_csr_row(op, c->data[0], rows[r], entries, &row);
    if (status) return status;
    const tkg_excluded x = {(const int32_t *)c->data[1] + row.first, row.count, row.first,
                            relations, asked ? asked[r] : 0};
    for (int64_t e = r * per_row; e < (r + 1) * per_row; e++)
      out[e] = tkg__sample_outside(sampler_of(c), e, all, &x);
  }
  return status;
}

static int check_items(const tkg_call *c, int64_t count) {
  if (count < 1 || count > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_negatives: %" PRId64 " items to draw from", count);
  if (!c->data[3]) return TKG_OK;
  if (!c->data[4] || tkg__count(c->in[3]) != count || tkg__count(c->in[4]) != count)
    return tkg__fail(
        TKG_E_SHAPE,
        "sample_negatives: an alias table needs a probability and an alias for each of "
        "%" PRId64 " items",
        count);
  return TKG_OK;
}

static int sample_negatives(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_items all = {c->node->i[2], c->data[3], c->data[4]};
  const int status = check_items(c, all.count);
  if (status) return status;
  return sample_outside("sample_negatives", c, begin, end, c->data[2], (tkg_relations){0}, NULL,
                        &all);
}

static int sample_tails(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_items all = {c->node->i[2], NULL, NULL};
  if (all.count > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_tails: %" PRId64 " nodes to draw from", all.count);
  const int64_t kinds = (int64_t)c->node->f[0];
  if (kinds) {
    const int status = check_ids("sample_tails: relations", c->data[4], begin, end, kinds);
    if (status) return status;
  }
  return sample_outside("sample_tails", c, begin, end, c->data[3], relations_of(c), c->data[4],
                        &all);
}

static int64_t outside_rows(const tkg_node *node, const tkg_node *const *in) {
  return tkg__count(in[node->op == TKG_OP_SAMPLE_TAILS ? 3 : 2]);
}

/* A draw takes some hundred nanoseconds. */
static int64_t outside_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node) * 256;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_sample)[] = {
    {.op = TKG_OP_SAMPLE, .run = sample, .units = one_unit, .scratch = slots_bytes},
    {.op = TKG_OP_SAMPLE_NEIGHBORS,
     .run = sample_neighbors,
     .units = neighbor_rows,
     .work = neighbor_work},
    {.op = TKG_OP_SAMPLE_NEGATIVES,
     .run = sample_negatives,
     .units = outside_rows,
     .work = outside_work},
    {.op = TKG_OP_SAMPLE_TAILS, .run = sample_tails, .units = outside_rows, .work = outside_work},
    {0},
};
