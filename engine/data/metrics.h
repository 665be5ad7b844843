/* Evaluation metrics: AUC for click-through, and the ranking metrics of top-K recommendation.
 *
 * Each function returns a tkg_status and writes its outputs only on success, except the
 * `scores` of tkg_metrics_topk. Results do not depend on the number of threads. */
#ifndef TKG_METRICS_H
#define TKG_METRICS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/* Columns of `sums` in tkg_metrics_ranking, for a user with T test items and a list cut at k with h
 * of them at ranks r1 < r2 < ... (from 1); D(n) = sum over i = 1..n of 1/log2(i + 1):
 *   RECALL     h / T
 *   PRECISION  h / k, also where fewer than k items could be listed
 *   HIT        1 if h > 0, else 0
 *   MRR        1 / r1, 0 if h = 0
 *   MAP        (sum over hits of the precision at the hit's own rank) / min(k, T)
 *   NDCG       (sum over hits of 1/log2(r + 1)) / D(min(k, T)): Järvelin and Kekäläinen 2002 with
 *              binary gains. KGIN, RecBole and most papers report this one.
 *   NDCG_KGAT  the same numerator over D(min(k, H)), H = hits in the whole list of k_max: what
 *              KGAT's own evaluation reports. Missed items cost nothing and the value depends on
 *              k_max, so it is never below NDCG and must not be compared with it.
 *   F1         2 h / (k + T), the harmonic mean of the user's precision and recall */
enum {
  TKG_METRIC_RECALL,
  TKG_METRIC_PRECISION,
  TKG_METRIC_HIT,
  TKG_METRIC_MRR,
  TKG_METRIC_MAP,
  TKG_METRIC_NDCG,
  TKG_METRIC_NDCG_KGAT,
  TKG_METRIC_F1,
  TKG_METRIC_COUNT
};

/* Computes the area under the ROC curve of n scores: the probability that a positive scores above a
 * negative, with ties counted as one half (Mann and Whitney, with midranks). Exact while
 * 2 * positives * negatives < 2^53. `labels` are 0 or 1; -0 ties with 0. TKG_E_ARGUMENT, with the
 * index, for a NaN score or another label; also if one of the classes is absent. */
int tkg_metrics_auc(const float *scores, const float *labels, int64_t n, double *auc);

/* Lists the k best columns of each row of scores[rows x cols], best first, equal scores by lower
 * id. Row r is of user users[r] (users NULL: user r). Items known to user u, known_items[
 * known_offsets[u] .. known_offsets[u + 1]) in any order, are first overwritten with -inf (both
 * NULL: there are none); an item at -inf is never listed. top[rows x k] is padded with -1 and
 * top_scores[rows x k] (may be NULL) with -inf. TKG_E_ARGUMENT for a NaN, masked or not, with row
 * and column; TKG_E_RANGE for known ids outside 0..cols-1. */
int tkg_metrics_topk(float *scores, int64_t rows, int64_t cols, const int32_t *users,
                     const int32_t *known_offsets, const int32_t *known_items, int k, int32_t *top,
                     float *top_scores);

/* Adds to sums[n_ks x TKG_METRIC_COUNT] the metrics of each row of top[rows x k_max] at each cut in
 * ks (ascending from 1; k_max items are all that a list has for a larger one), and to *counted the
 * number of rows that were added: those of users with a test item. A user's test_items must ascend
 * and be distinct, else TKG_E_ARGUMENT. Callers zero both outputs, call this once per block of
 * users, and divide at the end. Rows are added in order, so that any division into blocks gives the
 * same bits. */
int tkg_metrics_ranking(const int32_t *top, int64_t rows, int k_max, const int32_t *users,
                        const int32_t *test_offsets, const int32_t *test_items, const int32_t *ks,
                        int n_ks, double *sums, int64_t *counted);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
