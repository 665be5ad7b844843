/* The k best of a row of scores, kept while the row goes by in pieces: best first once sorted,
 * equal scores by lower id.
 *
 * A binary heap has the worst of them at its root, so one comparison tells whether another score
 * enters; most pieces have none that does. */
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

/* Scores at or below it do not enter: ids ascend, so an equal score ranks below. */
TKG_INLINE float tkg__best_bound(const tkg_best *b) {
  return b->n < b->k ? -INFINITY : b->scores[0];
}

/* Whether a score exceeds the bound or is NaN. */
TKG_INLINE bool tkg__any_above(const float *scores, int64_t n, float bound) {
  int any = 0;
#pragma omp simd reduction(| : any)
  for (int64_t i = 0; i < n; i++) any |= !(scores[i] <= bound);
  return any != 0;
}

/* Offers n scores, of the ids from `first` on, larger than those offered before. Returns the place
 * of a NaN among them, or -1. */
static inline int64_t tkg__best_offer(tkg_best *b, const float *scores, int64_t n, int32_t first) {
  enum { PIECE = 64 };
  for (int64_t from = 0; from < n; from += PIECE) {
    int64_t end = from + PIECE < n ? from + PIECE : n;
    if (!tkg__any_above(scores + from, end - from, tkg__best_bound(b))) continue;
    for (int64_t i = from; i < end; i++) {
      if (scores[i] <= tkg__best_bound(b)) continue;
      if (isnan(scores[i])) return i;
      if (b->n < b->k)
        tkg__best_rise(b, scores[i], first + (int32_t)i);
      else
        tkg__best_sink(b, b->k, scores[i], first + (int32_t)i);
    }
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
