/* Sampling: which neighbours, which negatives, which tails. What is drawn from which random number
 * is written down in cpu/sample.c, and the draws here are the same: a thread does the work of a row
 * (or of an element), with the same counters. */
#include "csr_rows.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "philox.cuh"

/* ---- neighbours ---- */

static __device__ __forceinline__ bool contains(const int32_t *chosen, int64_t count,
                                                int32_t value) {
  for (int64_t j = 0; j < count; j++)
    if (chosen[j] == value) return true;
  return false;
}

/* k positions in 0..degree-1 for row r: each as often as k / degree rounds allow, then distinct
 * ones for what is left (Floyd). */
static __device__ void draw_positions(tkg_noise noise, int64_t r, int64_t k, int64_t degree,
                                      int32_t *chosen) {
  uint32_t words[4] = {0, 0, 0, 0};
  uint64_t block = (uint64_t)(r * ((k + 3) / 4));
  const int64_t rounds = k / degree * degree, rest = k - rounds;
  for (int64_t j = 0; j < rounds; j++) chosen[j] = (int32_t)(j % degree);
  chosen += rounds;
  for (int64_t j = 0; j < rest; j++) {
    const int at_word = (int)(j % 4);
    if (at_word == 0) tkg_draw(noise, block++, words);
    const uint32_t low = at_word % 2 ? words[1] : words[0],
                   high = at_word % 2 ? words[3] : words[2];
    const int64_t last = degree - rest + j;
    const int32_t at = (int32_t)tkg__below(at_word / 2 ? high : low, (uint32_t)last + 1);
    chosen[j] = contains(chosen, j, at) ? (int32_t)last : at;
  }
}

/* A thread a row. The positions drawn wait in the output for the tails that replace them. */
static __global__ void neighbors_kernel(int64_t m, int64_t k, table t, const int32_t *relations,
                                        const int32_t *ids, int32_t none, tkg_noise noise,
                                        int32_t *out, tkg_error_slot bad_id,
                                        tkg_error_slot bad_csr_row) {
  for (int64_t r = tkg_first(); r < m; r += tkg_stride()) {
    int32_t *tails = out + r * k, *kinds = out + (m + r) * k;
    const int32_t node = ids[r];
    int64_t first, degree;
    if (!tkg_check_id(node, t.rows, r, bad_id, true)) continue;
    if (!find_csr_row(t, node, r, bad_csr_row, &first, &degree)) continue;
    if (degree > 0) draw_positions(noise, r, k, degree, tails);
    for (int64_t j = 0; j < k; j++) {
      kinds[j] = degree ? relations[first + tails[j]] : none;
      tails[j] = degree ? t.entries[first + tails[j]] : node;
    }
  }
}

static int neighbors_run(const tkg_call *c, cudaStream_t stream) {
  const table t = csr_table_of(c);
  const int64_t m = tkg__count(c->in[3]);
  const tkg_error_slot bad_id = tkg__error_slot_ids(c, t.rows);
  const tkg_error_slot bad_csr_row = tkg__error_slot_csr_rows(c, t.offsets, t.count);
  tkg_launch(neighbors_kernel, tkg_flat(m), stream, m, c->node->i[0], t, tkg_in<int32_t>(c, 2),
             tkg_in<int32_t>(c, 3), (int32_t)c->node->i[2], tkg_noise_of(c, c->node->i[1]),
             tkg_out<int32_t>(c), bad_id, bad_csr_row);
  return TKG_OK;
}

/* ---- negatives ---- */

enum { MOST_TRIES = 64 };

/* Items to draw from: all alike, or after an alias table. */
typedef struct items {
  int64_t count;
  const float *probability;
  const int32_t *alias; /* NULL: all alike */
} items;

static __device__ __forceinline__ bool knows(const int32_t *known, int64_t count, int32_t item) {
  const int64_t at = lower_bound(known, count, item);
  return at < count && known[at] == item;
}

static __device__ __forceinline__ int32_t draw_item(const items &all, uint32_t word,
                                                    uint32_t coin) {
  const uint32_t slot = tkg__below(word, (uint32_t)all.count);
  return !all.alias || tkg__unit(coin) < all.probability[slot] ? (int32_t)slot : all.alias[slot];
}

/* The next item in cyclic order that is not known; `item` if all are. */
static __device__ int32_t walk(const int32_t *known, int64_t count, int32_t item, int64_t all) {
  int32_t next = item;
  for (int64_t step = 1; step < all; step++) {
    next = next + 1 < all ? next + 1 : 0;
    if (!knows(known, count, next)) return next;
  }
  return item;
}

/* Element e of the output, for a user whose `count` known items are these. */
static __device__ int32_t draw_negative(const items &all, tkg_noise noise, int64_t e,
                                        const int32_t *known, int64_t count) {
  uint32_t words[4];
  int32_t item = 0;
  for (int t = 0; t < MOST_TRIES; t += 2) {
    tkg_draw(noise, (uint64_t)e * (MOST_TRIES / 2) + (uint64_t)t / 2, words);
    item = draw_item(all, words[0], words[1]);
    if (!knows(known, count, item)) return item;
    item = draw_item(all, words[2], words[3]);
    if (!knows(known, count, item)) return item;
  }
  return walk(known, count, item, all.count);
}

static __global__ void negatives_kernel(int64_t n, int64_t per_row, table t, const int32_t *ids,
                                        items all, tkg_noise noise, int32_t *out,
                                        tkg_error_slot bad_id, tkg_error_slot bad_csr_row) {
  for (int64_t e = tkg_first(); e < n; e += tkg_stride()) {
    const int64_t r = e / per_row;
    int64_t first, count;
    if (!tkg_check_id(ids[r], t.rows, r, bad_id, true)) continue;
    if (!find_csr_row(t, ids[r], r, bad_csr_row, &first, &count)) continue;
    out[e] = draw_negative(all, noise, e, t.entries + first, count);
  }
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
  const table t = csr_table_of(c);
  const items all = {c->node->i[2], tkg_in<float>(c, 3), tkg_in<int32_t>(c, 4)};
  const int64_t per_row = c->node->i[0], n = tkg__count(c->in[2]) * per_row;
  const int status = check_items(c, all.count);
  if (status) return status;
  const tkg_error_slot bad_id = tkg__error_slot_ids(c, t.rows);
  const tkg_error_slot bad_csr_row = tkg__error_slot_csr_rows(c, t.offsets, t.count);
  tkg_launch(negatives_kernel, tkg_flat(n), stream, n, per_row, t, tkg_in<int32_t>(c, 2), all,
             tkg_noise_of(c, c->node->i[1]), tkg_out<int32_t>(c), bad_id, bad_csr_row);
  return TKG_OK;
}

/* ---- tails ---- */

/* The edges of a head, and the relation asked for. */
typedef struct fan {
  const int32_t *tails, *relations;
  int64_t count;
  int32_t relation;
} fan;

/* Equal tails lie together, one for each relation. */
static __device__ __forceinline__ bool has_tail(const fan &f, int32_t tail) {
  for (int64_t at = lower_bound(f.tails, f.count, tail); at < f.count && f.tails[at] == tail; at++)
    if (f.relations[at] == f.relation) return true;
  return false;
}

/* The next node in cyclic order that makes no triple; `tail` if all do. */
static __device__ int32_t walk_tails(const fan &f, int32_t tail, int64_t all) {
  int32_t next = tail;
  for (int64_t step = 1; step < all; step++) {
    next = next + 1 < all ? next + 1 : 0;
    if (!has_tail(f, next)) return next;
  }
  return tail;
}

/* Element e of the output. */
static __device__ int32_t draw_tail(int64_t all, tkg_noise noise, int64_t e, const fan &f) {
  uint32_t words[4];
  int32_t tail = 0;
  for (int t = 0; t < MOST_TRIES; t += 2) {
    tkg_draw(noise, (uint64_t)e * (MOST_TRIES / 2) + (uint64_t)t / 2, words);
    tail = (int32_t)tkg__below(words[0], (uint32_t)all);
    if (!has_tail(f, tail)) return tail;
    tail = (int32_t)tkg__below(words[2], (uint32_t)all);
    if (!has_tail(f, tail)) return tail;
  }
  return walk_tails(f, tail, all);
}

static __global__ void tails_kernel(int64_t n, int64_t per_row, table t, const int32_t *relations,
                                    const int32_t *heads, const int32_t *asked, int64_t all,
                                    tkg_noise noise, int32_t *out, tkg_error_slot bad_id,
                                    tkg_error_slot bad_csr_row) {
  for (int64_t e = tkg_first(); e < n; e += tkg_stride()) {
    const int64_t r = e / per_row;
    int64_t first, count;
    if (!tkg_check_id(heads[r], t.rows, r, bad_id, true)) continue;
    if (!find_csr_row(t, heads[r], r, bad_csr_row, &first, &count)) continue;
    out[e] = draw_tail(all, noise, e, {t.entries + first, relations + first, count, asked[r]});
  }
}

static int tails_run(const tkg_call *c, cudaStream_t stream) {
  const table t = csr_table_of(c);
  const int64_t per_row = c->node->i[0], n = tkg__count(c->node), all = c->node->i[2];
  if (all > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_tails: %" PRId64 " nodes to draw from", all);
  const tkg_error_slot bad_id = tkg__error_slot_ids(c, t.rows);
  const tkg_error_slot bad_csr_row = tkg__error_slot_csr_rows(c, t.offsets, t.count);
  tkg_launch(tails_kernel, tkg_flat(n), stream, n, per_row, t, tkg_in<int32_t>(c, 2),
             tkg_in<int32_t>(c, 3), tkg_in<int32_t>(c, 4), all, tkg_noise_of(c, c->node->i[1]),
             tkg_out<int32_t>(c), bad_id, bad_csr_row);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_sample[] = {
    {TKG_OP_SAMPLE_NEIGHBORS, neighbors_run, NULL},
    {TKG_OP_SAMPLE_NEGATIVES, negatives_run, NULL},
    {TKG_OP_SAMPLE_TAILS, tails_run, NULL},
    {0, NULL, NULL},
};
