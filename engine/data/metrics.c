#include "metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "csr.h"
#include "shared/best.h"

/* ---- AUC ---- */

/* Returns an integer in the order of the scores (Herf's flip), with the label in its lowest bit. */
static uint64_t auc_key(float score, float label) {
  float f = score == 0 ? 0 : score; /* -0 and 0 tie */
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31;
  return (uint64_t)bits << 1 | (label > 0);
}

/* Sorts keys by their bits 1..32, least significant digit first; after four passes the result is in
 * `keys`. */
static void auc_sort(uint64_t *keys, uint64_t *other, int64_t n) {
  for (int shift = 1; shift < 33; shift += 8) {
    int64_t place[256] = {0};
    for (int64_t i = 0; i < n; i++) place[keys[i] >> shift & 255]++;
    for (int64_t digit = 0, sum = 0; digit < 256; digit++) {
      int64_t count = place[digit];
      place[digit] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) other[place[keys[i] >> shift & 255]++] = keys[i];
    uint64_t *swap = keys;
    keys = other;
    other = swap;
  }
}

/* Counts the pairs of a positive and a negative in the right order, ties as one half. */
static double auc_ordered_pairs(const uint64_t *keys, int64_t n) {
  double pairs = 0, negatives_below = 0;
  for (int64_t i = 0; i < n;) {
    uint64_t score = keys[i] >> 1;
    double tied[2] = {0, 0};
    for (; i < n && keys[i] >> 1 == score; i++) tied[keys[i] & 1]++;
    pairs += tied[1] * (negatives_below + tied[0] / 2);
    negatives_below += tied[0];
  }
  return pairs;
}

static int auc_check(const float *scores, const float *labels, int64_t n, int64_t *positives) {
  *positives = 0;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(scores[i]))
      return tkg__fail(TKG_E_ARGUMENT, "auc: score at index %lld of %lld is NaN", (long long)i,
                       (long long)n);
    if (labels[i] != 0 && labels[i] != 1)
      return tkg__fail(TKG_E_ARGUMENT, "auc: label at index %lld is %g, expected 0 or 1",
                       (long long)i, (double)labels[i]);
    *positives += labels[i] > 0;
  }
  if (*positives == 0 || *positives == n)
    return tkg__fail(TKG_E_ARGUMENT,
                     "auc: %lld labels, %lld of them positive; it is defined only where both "
                     "classes occur",
                     (long long)n, (long long)*positives);
  return TKG_OK;
}

int tkg_metrics_auc(const float *scores, const float *labels, int64_t n, double *auc) {
  TKG__NEEDS(auc && ((scores && labels) || n <= 0), TKG_E_ARGUMENT);
  if (n < 0) return tkg__fail(TKG_E_ARGUMENT, "auc: %lld values", (long long)n);
  int64_t positives;
  int status = auc_check(scores, labels, n, &positives);
  if (status) return status;
  uint64_t *keys = malloc((size_t)n * 2 * sizeof *keys);
  if (!keys) return tkg__fail(TKG_E_MEMORY, "auc: no memory to sort %lld scores", (long long)n);
  for (int64_t i = 0; i < n; i++) keys[i] = auc_key(scores[i], labels[i]);
  auc_sort(keys, keys + n, n);
  *auc = auc_ordered_pairs(keys, n) / ((double)positives * (double)(n - positives));
  free(keys);
  return TKG_OK;
}

/* ---- the k best of each row ---- */

struct span {
  const int32_t *ids;
  int32_t n;
};

static int32_t row_user(const int32_t *users, int64_t row) {
  return users ? users[row] : (int32_t)row;
}

/* Returns the items of a user, none without offsets; n < 0 if the user id or the offsets are wrong,
 * or there are no items where the offsets say that there are. */
static struct span user_items(const int32_t *offsets, const int32_t *items, int32_t user) {
  if (!offsets) return (struct span){NULL, 0};
  if (user < 0) return (struct span){NULL, -1};
  int32_t n = offsets[user + 1] - offsets[user];
  if (n <= 0) return (struct span){NULL, n};
  return items ? (struct span){items + offsets[user], n} : (struct span){NULL, -1};
}

/* Overwrites the scores of known items with -inf; false on an id out of range or a NaN. */
static bool mask_items(float *scores, int64_t cols, struct span known) {
  for (int32_t i = 0; i < known.n; i++) {
    int32_t id = known.ids[i];
    if (id < 0 || id >= cols || isnan(scores[id])) return false;
    scores[id] = -INFINITY;
  }
  return known.n >= 0;
}

static bool topk_row(float *scores, int64_t cols, struct span known, int k,
                     int32_t *top,        // NOLINT(readability-non-const-parameter): written
                     float *top_scores) { // NOLINT(readability-non-const-parameter): written
  tkg_best best = {top_scores, top, k, 0};
  if (!mask_items(scores, cols, known) || tkg__best_offer(&best, scores, cols, 0) >= 0)
    return false;
  tkg__best_sort(&best);
  return true;
}

/* Sets the message for a row that failed and returns its status; called after the parallel loop. */
static int topk_explain(const float *scores, int64_t cols, int64_t row, int32_t user,
                        struct span known) {
  if (known.n < 0)
    return tkg__fail(TKG_E_RANGE, "topk: row %lld: user %d has no place in the known items",
                     (long long)row, user);
  for (int32_t i = 0; i < known.n; i++)
    if (known.ids[i] < 0 || known.ids[i] >= cols)
      return tkg__fail(TKG_E_RANGE, "topk: known item %d of user %d is out of range: %lld items",
                       known.ids[i], user, (long long)cols);
  int64_t col = 0;
  while (col < cols && !isnan(scores[col])) col++;
  return tkg__fail(TKG_E_ARGUMENT, "topk: score at row %lld (user %d), column %lld is NaN",
                   (long long)row, user, (long long)col);
}

int tkg_metrics_topk(float *scores, int64_t rows, int64_t cols, const int32_t *users,
                     const int32_t *known_offsets, const int32_t *known_items, int k, int32_t *top,
                     float *top_scores) {
  TKG__NEEDS(((scores || cols <= 0) && top) || rows <= 0, TKG_E_ARGUMENT);
  if (k < 1) return tkg__fail(TKG_E_ARGUMENT, "topk: k is %d, expected 1 or more", k);
  if (rows < 0 || cols < 0 || cols > INT32_MAX)
    return tkg__fail(TKG_E_SHAPE, "topk: scores of %lld x %lld", (long long)rows, (long long)cols);
  float *own = top_scores ? NULL : malloc(((size_t)rows * (size_t)k + 1) * sizeof *own);
  float *best = top_scores ? top_scores : own;
  if (!best) return tkg__fail(TKG_E_MEMORY, "topk: no memory for %lld lists", (long long)rows);
  int64_t bad = INT64_MAX;
#pragma omp parallel for schedule(dynamic, 4) reduction(min : bad) if (rows > 1)
  for (int64_t r = 0; r < rows; r++) {
    struct span known = user_items(known_offsets, known_items, row_user(users, r));
    if (!topk_row(scores + r * cols, cols, known, k, top + r * k, best + r * k) && r < bad) bad = r;
  }
  free(own);
  if (bad == INT64_MAX) return TKG_OK;
  int32_t user = row_user(users, bad);
  return topk_explain(scores + bad * cols, cols, bad, user,
                      user_items(known_offsets, known_items, user));
}

/* ---- ranking metrics ---- */

/* gain[r] = 1/log2(r + 1) at rank r from 1; ideal[n] = gain[1] + ... + gain[n]. */
struct cuts {
  const int32_t *ks;
  int n_ks, k_max;
  const double *gain, *ideal;
};

static bool contains(struct span items, int32_t id) {
  return tkg_csr_contains((const int32_t[]){0, items.n}, items.ids, 0, id);
}

static int least(int a, int b) { return a < b ? a : b; }

/* Sums over the first `rank` items of a list. */
struct list_sums {
  int rank, hits, first;
  double dcg, precisions;
};

static void add_to_rank(struct list_sums *w, const struct cuts *c, int k, const int32_t *top,
                        struct span test) {
  while (w->rank < least(k, c->k_max) && top[w->rank] >= 0) {
    int32_t id = top[w->rank++];
    if (!contains(test, id)) continue;
    w->hits++;
    if (!w->first) w->first = w->rank;
    w->dcg += c->gain[w->rank];
    w->precisions += (double)w->hits / w->rank;
  }
}

static void rank_row(const struct cuts *c, const int32_t *top, struct span test, double *out) {
  struct list_sums w = {0, 0, 0, 0, 0};
  for (int i = 0; i < c->n_ks; i++) {
    int k = c->ks[i];
    double *m = out + i * TKG_METRIC_COUNT;
    add_to_rank(&w, c, k, top, test);
    m[TKG_METRIC_RECALL] = (double)w.hits / test.n;
    m[TKG_METRIC_PRECISION] = (double)w.hits / k;
    m[TKG_METRIC_HIT] = w.hits > 0;
    m[TKG_METRIC_MRR] = w.first ? 1.0 / w.first : 0;
    m[TKG_METRIC_MAP] = w.precisions / least(k, test.n);
    m[TKG_METRIC_NDCG] = w.dcg / c->ideal[least(k, test.n)];
    m[TKG_METRIC_NDCG_KGAT] = w.dcg; /* divided once the whole list is known */
    m[TKG_METRIC_F1] = 2.0 * w.hits / ((double)k + test.n);
  }
  add_to_rank(&w, c, c->k_max, top, test);
  for (int i = 0; w.hits && i < c->n_ks; i++)
    out[i * TKG_METRIC_COUNT + TKG_METRIC_NDCG_KGAT] /= c->ideal[least(c->ks[i], w.hits)];
}

static bool ascends(struct span items) {
  for (int32_t i = 1; i < items.n; i++)
    if (items.ids[i - 1] >= items.ids[i]) return false;
  return true;
}

static int ranking_check(int64_t rows, int k_max, const int32_t *ks, int n_ks) {
  if (rows < 0 || k_max < 1 || n_ks < 1)
    return tkg__fail(TKG_E_ARGUMENT, "ranking: %lld lists of %d items at %d cuts", (long long)rows,
                     k_max, n_ks);
  for (int i = 0; i < n_ks; i++)
    if (ks[i] < 1 || (i && ks[i] <= ks[i - 1]))
      return tkg__fail(TKG_E_ARGUMENT, "ranking: cut %d is k = %d, expected ascending k from 1",
                       i + 1, ks[i]);
  return TKG_OK;
}

/* Returns the most items that a list or its ideal has: k_max, or where the last cut is larger and a
 * user has more test items, as many of them as that cut has. */
static int longest_list(int64_t rows, int k_max, const int32_t *users, const int32_t *offsets,
                        const int32_t *items, int k_last) {
  int most = k_max;
  for (int64_t r = 0; r < rows && most < k_last; r++) {
    struct span test = user_items(offsets, items, row_user(users, r));
    if (test.n > most) most = least(test.n, k_last);
  }
  return most;
}

/* Ranks each row into values[row][cut][metric]; returns the first bad row or INT64_MAX. */
static int64_t rank_rows(const struct cuts *c, const int32_t *top, int64_t rows,
                         const int32_t *users, const int32_t *offsets, const int32_t *items,
                         double *values) {
  int64_t bad = INT64_MAX, width = (int64_t)c->n_ks * TKG_METRIC_COUNT;
#pragma omp parallel for schedule(static) reduction(min : bad) if (rows > 64)
  for (int64_t r = 0; r < rows; r++) {
    struct span test = user_items(offsets, items, row_user(users, r));
    if (test.n > 0) rank_row(c, top + r * c->k_max, test, values + r * width);
    if ((test.n < 0 || !ascends(test)) && r < bad) bad = r;
  }
  return bad;
}

int tkg_metrics_ranking(const int32_t *top, int64_t rows, int k_max, const int32_t *users,
                        const int32_t *test_offsets, const int32_t *test_items, const int32_t *ks,
                        int n_ks, double *sums, int64_t *counted) {
  TKG__NEEDS(ks && sums && counted && ((top && test_offsets) || rows <= 0), TKG_E_ARGUMENT);
  int status = ranking_check(rows, k_max, ks, n_ks);
  if (status) return status;
  int longest = longest_list(rows, k_max, users, test_offsets, test_items, ks[n_ks - 1]);
  size_t width = (size_t)n_ks * TKG_METRIC_COUNT, tables = (size_t)longest + 1;
  double *scratch = calloc(2 * tables + (size_t)rows * width, sizeof *scratch);
  if (!scratch)
    return tkg__fail(TKG_E_MEMORY, "ranking: no memory for %lld lists", (long long)rows);
  double *gain = scratch, *ideal = gain + tables, *values = ideal + tables;
  for (int i = 1; i <= longest; i++) {
    gain[i] = 1 / log2(i + 1.0);
    ideal[i] = ideal[i - 1] + gain[i];
  }
  struct cuts cuts = {ks, n_ks, k_max, gain, ideal};
  int64_t bad = rank_rows(&cuts, top, rows, users, test_offsets, test_items, values);
  for (int64_t r = 0; bad == INT64_MAX && r < rows; r++) {
    for (size_t i = 0; i < width; i++) sums[i] += values[(size_t)r * width + i];
    *counted += user_items(test_offsets, test_items, row_user(users, r)).n > 0;
  }
  free(scratch);
  if (bad == INT64_MAX) return TKG_OK;
  return tkg__fail(TKG_E_ARGUMENT,
                   "ranking: test items of user %d (row %lld) must ascend without repeats",
                   row_user(users, bad), (long long)bad);
}
