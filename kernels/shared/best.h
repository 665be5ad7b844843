/* The k best of a row of scores, kept while the row goes by in pieces: best first once sorted,
 * equal scores by lower id.
 *
 * A binary heap has the worst of them at its root, so one comparison tells whether another score
 * enters. Most pieces have none that does, and the maxima of a piece, found without a branch, say
 * so. */
#ifndef TKG_BEST_H
#define TKG_BEST_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmath.h"

typedef struct tkg_best {
  float *scores; /* of the caller, k long as the ids are */
  int32_t *ids;
  int k, n; /* n are in it */
} tkg_best;

/* Whether entry a ranks below entry b. */
TKG_INLINE bool tkg__best_below(const tkg_best *b, float score, int32_t id, int other) {
  return score < b->scores[other] || (score == b->scores[other] && id > b->ids[other]);
}

TKG_INLINE void tkg__best_put(tkg_best *b, int at, float score, int32_t id) {
  b->scores[at] = score;
  b->ids[at] = id;
}

/* Puts an entry at the root of the first n, from where it sinks to its place. */
static inline void tkg__best_sink(tkg_best *b, int n, float score, int32_t id) {
  int at = 0;
  for (int child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && tkg__best_below(b, b->scores[child + 1], b->ids[child + 1], child))
      child++;
    if (tkg__best_below(b, score, id, child)) break;
    tkg__best_put(b, at, b->scores[child], b->ids[child]);
  }
  tkg__best_put(b, at, score, id);
}

/* Puts an entry behind the others, from where it rises to its place. */
static inline void tkg__best_rise(tkg_best *b, float score, int32_t id) {
  int at = b->n++;
  for (int parent; at > 0; at = parent) {
    parent = (at - 1) / 2;
    if (!tkg__best_below(b, score, id, parent)) break;
    tkg__best_put(b, at, b->scores[parent], b->ids[parent]);
  }
  tkg__best_put(b, at, score, id);
}

/* Puts an entry in its place, or leaves it out. */
TKG_INLINE void tkg__best_enter(tkg_best *b, float score, int32_t id) {
  if (b->n < b->k)
    tkg__best_rise(b, score, id);
  else if (!tkg__best_below(b, score, id, 0))
    tkg__best_sink(b, b->k, score, id);
}

/* ---- pieces: their maxima tell which few scores to look at ---- */

enum { TKG_LANES = 64, TKG_PIECE = 1024 };

/* Finds the largest of scores j, j + TKG_LANES, ... for each lane j. Returns whether none is NaN.
 */
TKG_INLINE bool tkg__lane_maxima(const float *scores, int64_t n, float max[TKG_LANES]) {
  int nan = 0;
  for (int j = 0; j < TKG_LANES; j++) max[j] = -INFINITY;
  for (int64_t i = 0; i < n; i += TKG_LANES) {
    const int lanes = n - i < TKG_LANES ? (int)(n - i) : TKG_LANES;
#pragma omp simd reduction(| : nan)
    for (int j = 0; j < lanes; j++) {
      const float x = scores[i + j];
      max[j] = x > max[j] ? x : max[j];
      nan |= x != x;
    }
  }
  return nan == 0;
}

TKG_INLINE int tkg__lanes_from(const float max[TKG_LANES], float bound) {
  int count = 0;
#pragma omp simd reduction(+ : count)
  for (int j = 0; j < TKG_LANES; j++) count += max[j] >= bound;
  return count;
}

/* A number that k lanes reach: so do k scores, and none below it is among the k best. Found by
 * bisection, a little lower than it might be. */
TKG_INLINE float tkg__reached_by(const float max[TKG_LANES], int k) {
  enum { STEPS = 8 };
  float low = max[0], high = max[0];
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int j = 0; j < TKG_LANES; j++) {
    low = max[j] < low ? max[j] : low;
    high = max[j] > high ? max[j] : high;
  }
  if (k > TKG_LANES || !isfinite(low) || !isfinite(high)) return -INFINITY;
  for (int step = 0; step < STEPS; step++) {
    const float middle = low / 2 + high / 2;
    if (tkg__lanes_from(max, middle) >= k)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Lists the places of a piece whose score reaches the bound; no branch depends on a score. Returns
 * how many there are. */
TKG_INLINE int tkg__places_from(const float *scores, int n, const float max[TKG_LANES], float bound,
                                int32_t places[TKG_PIECE]) {
  int32_t lane[TKG_LANES];
  int lanes = 0, count = 0;
  for (int j = 0; j < TKG_LANES; j++) {
    lane[lanes] = j;
    lanes += max[j] >= bound;
  }
  for (int l = 0; l < lanes; l++)
    for (int i = lane[l]; i < n; i += TKG_LANES) {
      places[count] = i;
      count += scores[i] >= bound;
    }
  return count;
}

/* Offers a piece of scores. Returns whether none is NaN. */
TKG_INLINE bool tkg__offer_piece(tkg_best *b, const float *scores, int n, int32_t first) {
  float max[TKG_LANES], bound = b->n < b->k ? -INFINITY : b->scores[0];
  int32_t places[TKG_PIECE];
  if (!tkg__lane_maxima(scores, n, max)) return false;
  const int lanes = tkg__lanes_from(max, bound);
  if (lanes == 0) return true;
  if (lanes > b->k) {
    const float reached = tkg__reached_by(max, b->k);
    if (reached > bound) bound = reached;
  }
  const int count = tkg__places_from(scores, n, max, bound, places);
  for (int c = 0; c < count; c++) {
    const float score = scores[places[c]];
    if (score > -INFINITY) tkg__best_enter(b, score, first + places[c]);
  }
  return true;
}

/* Offers n scores, of the ids from `first` on. Returns the place of a NaN among them, or -1. */
static inline int64_t tkg__best_offer(tkg_best *b, const float *scores, int64_t n, int32_t first) {
  for (int64_t from = 0; from < n; from += TKG_PIECE) {
    const int64_t end = from + TKG_PIECE < n ? from + TKG_PIECE : n;
    if (tkg__offer_piece(b, scores + from, (int)(end - from), first + (int32_t)from)) continue;
    int64_t at = from;
    while (!isnan(scores[at])) at++;
    return at;
  }
  return -1;
}

/* Sorts what was offered, best first, by moving the root behind the others again and again, and
 * fills the rest with -1 and -inf. */
static inline void tkg__best_sort(tkg_best *b) {
  for (int n = b->n - 1; n > 0; n--) {
    const float score = b->scores[n];
    const int32_t id = b->ids[n];
    tkg__best_put(b, n, b->scores[0], b->ids[0]);
    tkg__best_sink(b, n, score, id);
  }
  for (int i = b->n; i < b->k; i++) tkg__best_put(b, i, -INFINITY, -1);
}

#endif
