/* Sampling numbers: SAMPLE; from CSR tables: SAMPLE_NEIGHBORS, SAMPLE_NEGATIVES, SAMPLE_TAILS.
 * shared/sample.h says what is drawn; both backends run that code, so they draw the same.
 *
 * One thread per row draws a node's neighbours or all numbers (a draw depends on those before it);
 * one thread per output element draws a negative or a tail. A draw is a few dozen integer
 * operations and a binary search in the row, whose reads are scattered: many threads hide their
 * latency. */
#include "csr_rows.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "philox.cuh"

static __device__ __forceinline__ tkg_sampler sampler_of(tkg_noise n) {
  return {__ldg(&n.run->seed), __ldg(&n.run->step), n.stream};
}

/* ---- numbers: -> int32 [k] ---- */

static int64_t slots_bytes(const tkg_node *node, const tkg_node *const *) {
  return tkg__sample_slots(node->i[0]) * (int64_t)sizeof(int32_t);
}

static __global__ void clear_kernel(int64_t slots, int32_t *table) {
  for (int64_t i = tkg_first(); i < slots; i += tkg_stride()) table[i] = -1;
}

static __global__ void sample_kernel(int64_t k, int64_t n, tkg_noise noise, tkg_chosen table,
                                     int32_t *out) {
  if (tkg_first() == 0) tkg__sample_positions(sampler_of(noise), 0, k, n, table, out);
}

static int sample_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t k = c->node->i[0], slots = tkg__sample_slots(k);
  const tkg_chosen table = {(int32_t *)c->scratch, (uint32_t)slots - 1};
  tkg_launch(clear_kernel, tkg_flat(slots), stream, slots, table.slots);
  tkg_launch(sample_kernel, tkg_flat(1), stream, k, c->node->i[2], tkg_noise_of(c, c->node->i[1]),
             table, tkg_out<int32_t>(c));
  return TKG_OK;
}

/* Input 2, in as many bytes as the layout says. */
static tkg_relations relations_of(const tkg_call *c) {
  return {c->data[2], tkg__relation_bytes(c->node->i[3])};
}

/* ---- neighbours: offsets, tails, relations, ids[m] -> tails and relations, [2,m,k] ---- */

/* The drawn positions wait in the output until the tails replace them. */
static __global__ void neighbors_kernel(int64_t m, int64_t k, csr_table t, tkg_relations relations,
                                        const int32_t *ids, int32_t none, tkg_noise noise,
                                        int32_t *out) {
  for (int64_t r = tkg_first(); r < m; r += tkg_stride()) {
    int32_t *tails = out + r * k, *kinds = out + (m + r) * k;
    const int32_t node = ids[r];
    int64_t first, degree;
    if (!find_csr_row(t, node, r, &first, &degree)) continue;
    if (degree > 0) tkg__sample_positions(sampler_of(noise), r, k, degree, {}, tails);
    for (int64_t j = 0; j < k; j++) {
      kinds[j] = degree ? tkg__relation_at(relations, first + tails[j]) : none;
      tails[j] = degree ? t.entries[first + tails[j]] : node;
    }
  }
}

static int neighbors_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t m = tkg__count(c->in[3]);
  tkg_launch(neighbors_kernel, tkg_flat(m), stream, m, c->node->i[0], csr_table_of(c),
             relations_of(c), tkg_in<int32_t>(c, 3), (int32_t)c->node->i[2],
             tkg_noise_of(c, c->node->i[1]), tkg_out<int32_t>(c));
  return TKG_OK;
}

/* ---- negatives and tails: `per_row` items for each row, outside of that row of a table ---- */

/* asked: NULL, or the relation asked for in each row. */
typedef struct outside {
  int64_t per_row;
  const int32_t *rows;
  tkg_relations relations;
  const int32_t *asked;
  tkg_items all;
} outside;

static __global__ void outside_kernel(int64_t n, outside s, csr_table t, tkg_noise noise,
                                      int32_t *out) {
  for (int64_t e = tkg_first(); e < n; e += tkg_stride()) {
    const int64_t r = e / s.per_row;
    int64_t first, count;
    if (!find_csr_row(t, s.rows[r], r, &first, &count)) continue;
    const tkg_excluded x = {t.entries + first, count, first, s.relations, s.asked ? s.asked[r] : 0};
    out[e] = tkg__sample_outside(sampler_of(noise), e, &s.all, &x);
  }
}

static void outside_launch(const tkg_call *c, const outside &s, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(outside_kernel, tkg_flat(n), stream, n, s, csr_table_of(c),
             tkg_noise_of(c, c->node->i[1]), tkg_out<int32_t>(c));
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

static int negatives_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_items all = {c->node->i[2], tkg_in<float>(c, 3), tkg_in<int32_t>(c, 4)};
  const int status = check_items(c, all.count);
  if (!status) outside_launch(c, {c->node->i[0], tkg_in<int32_t>(c, 2), {}, NULL, all}, stream);
  return status;
}

static int tails_run(const tkg_call *c, cudaStream_t stream) {
  const tkg_items all = {c->node->i[2], NULL, NULL};
  if (all.count > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_tails: %" PRId64 " nodes to draw from", all.count);
  const outside s = {c->node->i[0], tkg_in<int32_t>(c, 3), relations_of(c), tkg_in<int32_t>(c, 4),
                     all};
  const int64_t kinds = (int64_t)c->node->f[0];
  if (kinds)
    tkg__check_ids(s.asked, tkg__count(c->in[4]), kinds,
                   tkg__error_slot_named(c, "sample_tails: relations", kinds), stream);
  outside_launch(c, s, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_sample[] = {
    {TKG_OP_SAMPLE, sample_run, slots_bytes},
    {TKG_OP_SAMPLE_NEIGHBORS, neighbors_run, NULL},
    {TKG_OP_SAMPLE_NEGATIVES, negatives_run, NULL},
    {TKG_OP_SAMPLE_TAILS, tails_run, NULL},
    {0, NULL, NULL},
};
