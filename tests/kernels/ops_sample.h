/* Cases of the ops that sample from sparse tables or look values up in them. */
#ifndef TKG_OPS_SAMPLE_H
#define TKG_OPS_SAMPLE_H

#include "ops.h"

extern "C" {
#include "data/packed_graph.h"
}

/* A random CSR table: empty rows, a hub, entries in ascending order. */
static void table(int64_t rows, int64_t limit, std::vector<int32_t> &offsets,
                  std::vector<int32_t> &entries) {
  const int64_t hub = below(rows);
  offsets.assign(1, 0);
  entries.clear();
  for (int64_t r = 0; r < rows; r++) {
    int64_t degree = r == hub ? limit : below(3) ? below(12) : 0;
    int32_t at = -1;
    for (int64_t e = 0; e < degree; e++) {
      at += (int32_t)(r == hub && below(30) ? 1 : 1 + below(5));
      if (at < limit) entries.push_back(at);
    }
    offsets.push_back((int32_t)entries.size());
  }
}

/* Relation ids 0..2 of one, two or four bytes, as the node is told. */
static array narrow_ids(tkg_node *node, size_t count) {
  static const int64_t kinds[] = {3, 300, 70000};
  node->i[3] = kinds[below(3)] * TKG_GRAPH_KINDS;
  const int bytes = tkg__relation_bytes(node->i[3]);
  array words = ids({tkg__relation_words((int64_t)count, node->i[3])}, 1);
  for (size_t k = 0; k < count; k++) words.bytes[k * (size_t)bytes] = (unsigned char)below(3);
  return words;
}

static void sampling(void) {
  const int64_t rows = 1 + below(50), m = some_rows(), k = 1 + below(12), limit = 2 + below(60);
  std::vector<int32_t> offsets, entries;
  table(rows, limit, offsets, entries);
  if (below(8) == 0) offsets[(size_t)below(rows)] = -3; /* a broken table */
  array who = ids({m}, rows);
  spoil(who, rows);
  tkg_node n = node_of(TKG_OP_SAMPLE_NEIGHBORS, TKG_I32, {2, m, k});
  n.i[0] = k;
  n.i[1] = 3;
  n.i[2] = 9;
  std::vector<array> in = {list(offsets), list(entries), narrow_ids(&n, entries.size()), who};
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_SAMPLE, TKG_I32, {1 + m});
  n.i[0] = 1 + m;
  n.i[1] = 5;
  n.i[2] = limit;
  in.clear();
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_SAMPLE_NEGATIVES, TKG_I32, {m, k});
  n.i[0] = k;
  n.i[1] = 4;
  n.i[2] = limit;
  in = {list(offsets), list(entries), who};
  if (below(2)) {
    in.push_back(floats({limit}, 0, 1));
    in.push_back(ids({limit}, limit));
  }
  compare(&n, in, 0, -1);
}

/* Heads that have some tails by several relations. */
static void tails_and_values(void) {
  const int64_t rows = 1 + below(50), m = some_rows(), k = 1 + below(9), limit = 2 + below(60);
  std::vector<int32_t> offsets, entries;
  table(rows, limit, offsets, entries);
  for (size_t at = 1; at < entries.size(); at++)
    if (below(4) == 0 && entries[at] > entries[at - 1]) entries[at] = entries[at - 1];
  for (int64_t r = 0; r < rows; r++) /* ascending again within each row */
    for (int64_t at = offsets[(size_t)r] + 1; at < offsets[(size_t)r + 1]; at++)
      entries[(size_t)at] = std::max(entries[(size_t)at], entries[(size_t)at - 1]);
  if (below(8) == 0) offsets[(size_t)below(rows)] = -3; /* a broken table */
  array who = ids({m}, rows);
  spoil(who, rows);
  tkg_node n = node_of(TKG_OP_SAMPLE_TAILS, TKG_I32, {m, k});
  n.i[0] = k;
  n.i[1] = 11;
  n.i[2] = below(3) ? limit : 1 + below(3);
  std::vector<array> in = {list(offsets), list(entries), narrow_ids(&n, entries.size()), who,
                           ids({m}, 3)};
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_LOOKUP, TKG_F32, {m, k});
  n.f[0] = -0.5;
  in = {list(offsets), list(entries), who, ids({m, k}, limit), floats({(int64_t)entries.size()})};
  compare(&n, in, 0, -1);
}

#endif
