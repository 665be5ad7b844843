/* What is drawn, and from which random numbers. Every draw is a pure function of (seed, step,
 * stream, row, draw): see ../philox.h for the counter.
 *
 * SAMPLE_NEIGHBORS: k neighbours of each id's row of a graph (CSR: offsets, tails, relations).
 *   Degree >= k: k distinct edges, every set of k equally likely (Floyd, in Bentley, "Programming
 *   pearls: a sample of brilliance", CACM 1987). Degree 1..k-1: every edge k / degree times, then
 *   k % degree distinct ones (KGCN's code draws with replacement, and misses some). Degree 0: the
 *   node itself, with relation i2. Draw j of row r is word j % 4 of block r ceil(k / 4) + j / 4.
 *
 * SAMPLE_NEGATIVES: `count` items a row that its user is not known to like (CSR: offsets, items in
 *   ascending order). Uniform over i2 items, or after an alias table (Vose, IEEE TSE 1991): item s
 *   with probability `probability[s]`, else `alias[s]`. A known item is drawn again, up to 64 times
 *   in all; then the next unknown item in cyclic order is taken, and the last draw itself for a
 * user who knows every item. Try t of element e = r count + c takes words 2 (t % 2) and the next of
 * block 32 e + t / 2: item, then the alias table's coin. */
#include "base/error.h"
#include "base/op.h"
#include "csr_rows.h"
#include "ids.h"
#include "isa.h"
#include "kernel.h"
#include "shared/philox.h"

static void draw_block(const tkg_call *c, uint64_t block, uint32_t words[4]) {
  tkg__philox_block(c->context->seed, block, c->context->step, (uint32_t)c->node->i[1], words);
}

/* ---- neighbours ---- */

static int64_t neighbor_rows(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[3]);
}

static int64_t neighbor_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node) * 4;
}

static bool contains(const int32_t *chosen, int64_t count, int32_t value) {
  for (int64_t j = 0; j < count; j++)
    if (chosen[j] == value) return true;
  return false;
}

/* k positions in 0..degree-1 for row r: every edge k / degree times, then k % degree distinct ones.
 */
static void draw_positions(const tkg_call *c, int64_t r, int64_t k, int64_t degree,
                           int32_t *chosen) {
  uint32_t words[4];
  uint64_t block = (uint64_t)(r * ((k + 3) / 4));
  int64_t rounds = k / degree * degree, rest = k - rounds;
  for (int64_t j = 0; j < rounds; j++) chosen[j] = (int32_t)(j % degree);
  chosen += rounds;
  for (int64_t j = 0; j < rest; j++) {
    if (j % 4 == 0) draw_block(c, block++, words);
    int64_t last = degree - rest + j;
    int32_t at = (int32_t)tkg__below(words[j % 4], (uint32_t)last + 1);
    chosen[j] = contains(chosen, j, at) ? (int32_t)last : at;
  }
}

static int sample_row(const tkg_call *c, int64_t r, int32_t node, int32_t *tails,
                      int32_t *relations) {
  int64_t k = c->node->i[0];
  span s;
  int status = find_span("sample_neighbors", c->data[0], node, tkg__count(c->in[1]), &s);
  if (status) return status;
  if (s.count > 0) draw_positions(c, r, k, s.count, tails);
  for (int64_t j = 0; j < k; j++) {
    int64_t edge = s.first + tails[j];
    relations[j] = s.count ? ((const int32_t *)c->data[2])[edge] : (int32_t)c->node->i[2];
    tails[j] = s.count ? ((const int32_t *)c->data[1])[edge] : node;
  }
  return TKG_OK;
}

static int sample_neighbors(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t n = tkg__count(c->in[0]) - 1, m = tkg__count(c->in[3]), k = c->node->i[0];
  const int32_t *ids = c->data[3];
  int32_t *out = c->out;
  int status = check_ids("sample_neighbors", ids, begin, end, n);
  for (int64_t r = begin; !status && r < end; r++)
    status = sample_row(c, r, ids[r], out + r * k, out + (m + r) * k);
  return status;
}

/* ---- negatives ---- */

enum { MOST_TRIES = 64 };

static int64_t negative_rows(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[2]);
}

static int64_t negative_work(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  return tkg__count(node) * 16;
}

static bool knows(const int32_t *items, int64_t count, int32_t item) {
  const int64_t at = place_in_span(items, count, item);
  return at < count && items[at] == item;
}

static int32_t draw_item(const tkg_call *c, const uint32_t words[2]) {
  const float *probability = c->data[3];
  const int32_t *alias = c->data[4];
  uint32_t slot = tkg__below(words[0], (uint32_t)c->node->i[2]);
  return !alias || tkg__unit(words[1]) < probability[slot] ? (int32_t)slot : alias[slot];
}

/* The next item in cyclic order that is not known; `item` if all are. */
static int32_t walk(const int32_t *items, int64_t count, int32_t item, int64_t all) {
  int32_t next = item;
  for (int64_t step = 1; step < all; step++) {
    next = next + 1 < all ? next + 1 : 0;
    if (!knows(items, count, next)) return next;
  }
  return item;
}

/* Element e of the output, for a user whose `count` known items are these. */
static int32_t draw_negative(const tkg_call *c, int64_t e, const int32_t *items, int64_t count) {
  uint32_t words[4];
  int32_t item = 0;
  for (int t = 0; t < MOST_TRIES; t++) {
    if (t % 2 == 0) draw_block(c, (uint64_t)e * (MOST_TRIES / 2) + (uint64_t)t / 2, words);
    item = draw_item(c, words + t % 2 * 2);
    if (!knows(items, count, item)) return item;
  }
  return walk(items, count, item, c->node->i[2]);
}

static int check_table(const tkg_call *c) {
  int64_t items = c->node->i[2];
  if (items < 1 || items > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_negatives: %" PRId64 " items to draw from", items);
  if (!c->data[3]) return TKG_OK;
  if (!c->data[4] || tkg__count(c->in[3]) != items || tkg__count(c->in[4]) != items)
    return tkg__fail(
        TKG_E_SHAPE,
        "sample_negatives: an alias table needs a probability and an alias for each of "
        "%" PRId64 " items",
        items);
  return TKG_OK;
}

static int sample_negatives(const tkg_call *c, int64_t begin, int64_t end) {
  int64_t users = tkg__count(c->in[0]) - 1, known = tkg__count(c->in[1]), per_row = c->node->i[0];
  const int32_t *ids = c->data[2];
  int32_t *out = c->out;
  int status = check_table(c);
  if (!status) status = check_ids("sample_negatives", ids, begin, end, users);
  for (int64_t r = begin; !status && r < end; r++) {
    span s;
    status = find_span("sample_negatives", c->data[0], ids[r], known, &s);
    for (int64_t e = r * per_row; !status && e < (r + 1) * per_row; e++)
      out[e] = draw_negative(c, e, (const int32_t *)c->data[1] + s.first, s.count);
  }
  return status;
}

/* ---- tails ---- */

/* The edges of a head, and the relation asked for. */
typedef struct fan {
  const int32_t *tails, *relations;
  int64_t count;
  int32_t relation;
} fan;

/* Equal tails lie together, one for each relation. */
static bool has_tail(const fan *f, int32_t tail) {
  for (int64_t at = place_in_span(f->tails, f->count, tail); at < f->count && f->tails[at] == tail;
       at++)
    if (f->relations[at] == f->relation) return true;
  return false;
}

/* The next node in cyclic order that makes no triple; `tail` if all do. */
static int32_t walk_tails(const fan *f, int32_t tail, int64_t all) {
  int32_t next = tail;
  for (int64_t step = 1; step < all; step++) {
    next = next + 1 < all ? next + 1 : 0;
    if (!has_tail(f, next)) return next;
  }
  return tail;
}

/* Element e of the output. */
static int32_t draw_tail(const tkg_call *c, int64_t e, const fan *f) {
  uint32_t words[4];
  int32_t tail = 0;
  for (int t = 0; t < MOST_TRIES; t++) {
    if (t % 2 == 0) draw_block(c, (uint64_t)e * (MOST_TRIES / 2) + (uint64_t)t / 2, words);
    tail = (int32_t)tkg__below(words[t % 2 * 2], (uint32_t)c->node->i[2]);
    if (!has_tail(f, tail)) return tail;
  }
  return walk_tails(f, tail, c->node->i[2]);
}

static int64_t tail_rows(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__count(in[3]);
}

static int sample_tails(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t per_row = c->node->i[0], edges = tkg__count(c->in[1]);
  const int32_t *tails = c->data[1], *relations = c->data[2], *heads = c->data[3],
                *asked = c->data[4];
  int32_t *out = c->out;
  int status = check_ids("sample_tails", heads, begin, end, tkg__count(c->in[0]) - 1);
  if (c->node->i[2] > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "sample_tails: %" PRId64 " nodes to draw from", c->node->i[2]);
  for (int64_t r = begin; !status && r < end; r++) {
    span s;
    status = find_span("sample_tails", c->data[0], heads[r], edges, &s);
    const fan f = {tails + s.first, relations + s.first, s.count, asked[r]};
    for (int64_t e = r * per_row; !status && e < (r + 1) * per_row; e++)
      out[e] = draw_tail(c, e, &f);
  }
  return status;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_sample)[] = {
    {.op = TKG_OP_SAMPLE_NEIGHBORS,
     .run = sample_neighbors,
     .units = neighbor_rows,
     .work = neighbor_work},
    {.op = TKG_OP_SAMPLE_NEGATIVES,
     .run = sample_negatives,
     .units = negative_rows,
     .work = negative_work},
    {.op = TKG_OP_SAMPLE_TAILS, .run = sample_tails, .units = tail_rows, .work = negative_work},
    {0},
};
