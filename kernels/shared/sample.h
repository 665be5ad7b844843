/* What the sampling ops draw, and from which random numbers. A draw is a function of (seed, step,
 * stream, row, number of the draw) alone (philox.h), so CPU and GPU draw the same.
 *
 * SAMPLE draws k of n numbers as SAMPLE_NEIGHBORS draws those of row 0's n edges.
 *
 * SAMPLE_NEIGHBORS draws k edges of a row. Degree >= k: k distinct edges, every set of k equally
 *   likely (Floyd, in Bentley, "Programming pearls: a sample of brilliance", CACM 1987). Degree
 *   1..k-1: every edge k / degree times, then k % degree distinct ones (KGCN's code draws with
 *   replacement, and misses some). Degree 0: the node itself, with relation i2. Draw j of row r is
 *   word j % 4 of block r ceil(k / 4) + j / 4.
 *
 * SAMPLE_NEGATIVES and SAMPLE_TAILS draw items outside of a row: items that a user is not known to
 *   like; tails that make no triple with a head and a relation. Items are uniform, or follow an
 *   alias table (Vose, IEEE TSE 1991): item s with probability `probability[s]`, else `alias[s]`.
 *   An item of the row is drawn again, up to 64 times in all. Then the next item in cyclic order
 *   that is outside is taken, or the last draw if there is none. Try t of element e uses words
 *   2 (t % 2), for the item, and 2 (t % 2) + 1, for the alias table's coin, of block 32 e + t / 2.
 */
#ifndef TKG_SAMPLE_H
#define TKG_SAMPLE_H

#include <stdbool.h>

#include "philox.h"
#include "relations.h"
#include "search.h"

/* The random numbers of one op in one step. */
typedef struct tkg_sampler {
  uint64_t seed;
  uint32_t step, stream;
} tkg_sampler;

/* The positions that were chosen so far: a hash table of `mask` + 1 slots, each -1 at first. */
typedef struct tkg_chosen {
  int32_t *slots; /* NULL: the few that there are lie in a list, which is searched */
  uint32_t mask;
} tkg_chosen;

/* Returns the slots for k positions, a power of two: at most half of them fill. */
static inline int64_t tkg__sample_slots(int64_t k) {
  int64_t slots = 16;
  while (slots < 2 * k) slots *= 2;
  return slots;
}

/* Adds a value to the table, unless it is there. Returns whether it was. */
static inline bool tkg__choose(tkg_chosen c, int32_t value) {
  uint32_t at = (uint32_t)value * 0x9E3779B1u;
  at = (at ^ at >> 15) & c.mask;
  while (c.slots[at] >= 0 && c.slots[at] != value) at = (at + 1) & c.mask;
  const bool there = c.slots[at] == value;
  c.slots[at] = value;
  return there;
}

static inline bool tkg__contains(const int32_t *chosen, int64_t count, int32_t value) {
  for (int64_t j = 0; j < count; j++)
    if (chosen[j] == value) return true;
  return false;
}

/* Writes k positions in 0..degree-1, degree > 0, for row r. */
static inline void tkg__sample_positions(tkg_sampler s, int64_t r, int64_t k, int64_t degree,
                                         tkg_chosen table, int32_t *chosen) {
  uint32_t words[4] = {0, 0, 0, 0};
  uint64_t block = (uint64_t)(r * ((k + 3) / 4));
  const int64_t rounds = k / degree * degree, rest = k - rounds;
  for (int64_t j = 0; j < rounds; j++) chosen[j] = (int32_t)(j % degree);
  chosen += rounds;
  for (int64_t j = 0; j < rest; j++) {
    if (j % 4 == 0) tkg__philox_block(s.seed, block++, s.step, s.stream, words);
    /* words[j % 4], without an index: a GPU keeps no indexed array in registers */
    const uint32_t low = j % 2 ? words[1] : words[0], high = j % 2 ? words[3] : words[2];
    const int64_t last = degree - rest + j;
    const int32_t at = (int32_t)tkg__below(j % 4 < 2 ? low : high, (uint32_t)last + 1);
    const bool there = table.slots ? tkg__choose(table, at) : tkg__contains(chosen, j, at);
    chosen[j] = there ? (int32_t)last : at;
    if (there && table.slots) tkg__choose(table, (int32_t)last);
  }
}

/* Items to draw from: 0..count-1. */
typedef struct tkg_items {
  int64_t count;
  const float *probability;
  const int32_t *alias; /* NULL: all equally likely */
} tkg_items;

/* What a draw must not give: a row's entries, ascending; of those, with `relations`, the ones of
 * this relation. */
typedef struct tkg_excluded {
  const int32_t *items;
  int64_t count, first;    /* of the row's entries, the number of the first */
  tkg_relations relations; /* by entry */
  int32_t relation;
} tkg_excluded;

static inline bool tkg__is_excluded(const tkg_excluded *x, int32_t item) {
  int64_t at = tkg__lower_bound(x->items, x->count, item);
  for (; at < x->count && x->items[at] == item; at++)
    if (!x->relations.ids || tkg__relation_at(x->relations, x->first + at) == x->relation)
      return true;
  return false;
}

static inline int32_t tkg__sample_item(const tkg_items *all, uint32_t word, uint32_t coin) {
  const uint32_t item = tkg__below(word, (uint32_t)all->count);
  return !all->alias || tkg__unit(coin) < all->probability[item] ? (int32_t)item : all->alias[item];
}

/* Element e of the output. */
static inline int32_t tkg__sample_outside(tkg_sampler s, int64_t e, const tkg_items *all,
                                          const tkg_excluded *x) {
  enum { MOST_TRIES = 64 };
  uint32_t words[4];
  int32_t item = 0;
  for (int t = 0; t < MOST_TRIES; t += 2) {
    const uint64_t block = (uint64_t)e * (MOST_TRIES / 2) + (uint64_t)t / 2;
    tkg__philox_block(s.seed, block, s.step, s.stream, words);
    item = tkg__sample_item(all, words[0], words[1]);
    if (!tkg__is_excluded(x, item)) return item;
    item = tkg__sample_item(all, words[2], words[3]);
    if (!tkg__is_excluded(x, item)) return item;
  }
  int32_t next = item;
  for (int64_t step = 1; step < all->count; step++) {
    next = next + 1 < all->count ? next + 1 : 0;
    if (!tkg__is_excluded(x, next)) return next;
  }
  return item;
}

#endif
