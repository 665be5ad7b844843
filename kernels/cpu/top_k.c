/* The k largest numbers of each row, in the order of shared/ranks.h: their places, or a mask of
 * them. The k-th word is found a byte at a time from the top, by counting: a row is read a few
 * times whatever k is. Units are rows. */
#include <stdbool.h>

#include "isa.h"
#include "kernel.h"
#include "shared/ranks.h"

enum { DIGITS = 256 };

static int64_t units(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return tkg__rows(in[0]);
}

static int64_t work(const tkg_node *node, const tkg_node *const *in) {
  (void)node;
  return 8 * tkg__count(in[0]);
}

/* Returns a word that those of the k first numbers reach and no other; 1 <= k <= n. */
static uint64_t least_word(const float *x, int64_t n, int64_t k) {
  uint64_t known = 0, mask = 0;
  for (int shift = 56;; shift -= 8) {
    int64_t count[DIGITS] = {0};
    int digit = DIGITS - 1;
    for (int64_t j = 0; j < n; j++) {
      const uint64_t word = tkg__rank_word(x[j], j);
      if ((word & mask) == known) count[word >> shift & (DIGITS - 1)]++;
    }
    for (; count[digit] < k; digit--) k -= count[digit];
    known |= (uint64_t)digit << shift;
    mask |= (uint64_t)(DIGITS - 1) << shift;
    if (count[digit] == k) return known; /* at the latest when the whole word is known */
  }
}

/* ---- places ---- */

static bool is_before(const float *x, int32_t a, int32_t b) {
  return tkg__rank_word(x[a], a) > tkg__rank_word(x[b], b);
}

/* Lets a place sink in a heap of n whose root is the last in order. */
static void sink(const float *x, int32_t *heap, int64_t n, int64_t at) {
  const int32_t place = heap[at];
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && is_before(x, heap[child], heap[child + 1])) child++;
    if (is_before(x, heap[child], place)) break;
    heap[at] = heap[child];
  }
  heap[at] = place;
}

static void sort_places(const float *x, int32_t *places, int64_t k) {
  for (int64_t at = k / 2; at-- > 0;) sink(x, places, k, at);
  for (int64_t n = k - 1; n > 0; n--) {
    const int32_t last = places[0];
    places[0] = places[n];
    places[n] = last;
    sink(x, places, n, 0);
  }
}

static int top_k_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]), k = c->node->i[0];
  for (int64_t r = begin; r < end; r++) {
    const float *x = (const float *)c->data[0] + r * cols;
    int32_t *places = (int32_t *)c->out + r * k;
    const uint64_t least = least_word(x, cols, k);
    int64_t found = 0;
    for (int64_t j = 0; j < cols && found < k; j++)
      if (tkg__rank_word(x[j], j) >= least) places[found++] = (int32_t)j;
    sort_places(x, places, k);
  }
  return 0;
}

/* ---- a mask ---- */

static int mask_run(const tkg_call *c, int64_t begin, int64_t end) {
  const int64_t cols = tkg__cols(c->in[0]);
  for (int64_t r = begin; r < end; r++) {
    const float *x = (const float *)c->data[0] + r * cols;
    float *out = (float *)c->out + r * cols;
    const uint64_t least = least_word(x, cols, c->node->i[0]);
    for (int64_t j = 0; j < cols; j++) out[j] = tkg__rank_word(x[j], j) >= least ? 1.0F : 0.0F;
  }
  return 0;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_top_k)[] = {
    {.op = TKG_OP_TOP_K, .run = top_k_run, .units = units, .work = work},
    {.op = TKG_OP_TOP_K_MASK, .run = mask_run, .units = units, .work = work},
    {0},
};
