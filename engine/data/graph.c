#include "graph.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/op.h"
#include "csr.h"
#include "packed_graph.h"

int64_t tkg_graph_length(int64_t n, int64_t m, int64_t e, int64_t layout) {
  const int64_t sizes[] = {n, m, e};
  for (int k = 0; k < 3; k++)
    if (!tkg__shape_fits(&sizes[k], 1)) return -1;
  int64_t first = n + 1 + e + (layout & TKG_GRAPH_RELATIONS ? tkg__relation_words(e, layout) : 0);
  if (layout & TKG_GRAPH_ONE_WAY) return first;
  return first + e + (layout & TKG_GRAPH_SYMMETRIC ? 0 : m + 1 + e);
}

/* The edges that are packed, and where their parts go. */
typedef struct packing {
  int64_t n, m, e;
  const int32_t *heads, *relations, *tails;
  int64_t layout;
  int32_t *at;    /* the next part of the packed array */
  int32_t *order; /* source edge of each place, of the orientation made last */
} packing;

static int32_t *part(packing *p, int64_t count) {
  int32_t *at = p->at;
  p->at += count;
  return at;
}

static int check_ids(const char *what, const int32_t *ids, int64_t edges, int64_t below) {
  for (int64_t i = 0; i < edges; i++)
    if (ids[i] < 0 || ids[i] >= below)
      return tkg__fail(TKG_E_RANGE, "graph: %s %d of edge %lld is not in 0 .. %lld", what, ids[i],
                       (long long)i, (long long)below - 1);
  return TKG_OK;
}

/* Adds KINDS to the layout. */
static int count_kinds(packing *p) {
  int64_t kinds = 0;
  for (int64_t i = 0; p->relations && i < p->e; i++) {
    if (p->relations[i] < 0)
      return tkg__fail(TKG_E_RANGE, "graph: relation %d of edge %lld is negative", p->relations[i],
                       (long long)i);
    if (p->relations[i] >= kinds) kinds = p->relations[i] + INT64_C(1);
  }
  p->layout += kinds * TKG_GRAPH_KINDS;
  return TKG_OK;
}

static bool is_loopless(const packing *p) {
  for (int64_t i = 0; i < p->e; i++)
    if (p->heads[i] == p->tails[i]) return false;
  return true;
}

static void put_relations(packing *p) {
  if (!p->relations) return;
  const int64_t words = tkg__relation_words(p->e, p->layout);
  const int bytes = tkg__relation_bytes(p->layout);
  int32_t *to = part(p, words);
  if (words > 0) to[words - 1] = 0;
  for (int64_t i = 0; i < p->e; i++) {
    const int32_t relation = p->relations[p->order[i]];
    if (bytes == 1)
      ((uint8_t *)to)[i] = (uint8_t)relation;
    else if (bytes == 2)
      ((uint16_t *)to)[i] = (uint16_t)relation;
    else
      to[i] = relation;
  }
}

static int pack_forward(packing *p, int32_t *place) {
  int32_t *offsets = part(p, p->n + 1), *ids = part(p, p->e);
  int status = tkg_csr_build(p->e, p->heads, p->tails, p->n, offsets, ids, p->order);
  if (status) return status;
  put_relations(p);
  for (int64_t i = 0; i < p->e; i++) place[p->order[i]] = (int32_t)i;
  return TKG_OK;
}

/* Adds the second and third line; if the third has the offsets and ids of the first, the graph is
 * SYMMETRIC and the third is not counted. */
static int pack_backward(packing *p, const int32_t *packed, const int32_t *place) {
  int32_t *order = part(p, p->e), *offsets = part(p, p->m + 1), *ids = part(p, p->e);
  int status = tkg_csr_build(p->e, p->tails, p->heads, p->m, offsets, ids, p->order);
  if (status) return status;
  for (int64_t i = 0; i < p->e; i++) order[i] = place[p->order[i]];
  if (p->n == p->m && !memcmp(packed, offsets, (size_t)(p->n + 1 + p->e) * sizeof *packed))
    p->layout |= TKG_GRAPH_SYMMETRIC;
  return TKG_OK;
}

int tkg_graph_pack(int64_t n, int64_t m, int64_t e, const int32_t *heads, const int32_t *relations,
                   const int32_t *tails, int64_t layout, int32_t *packed, int64_t *found,
                   int32_t *place) {
  const int related = (layout & TKG_GRAPH_RELATIONS) != 0;
  TKG__NEEDS(packed && found && ((heads && tails) || e <= 0), TKG_E_ARGUMENT);
  if (related && !relations && e > 0)
    return tkg__fail(TKG_E_ARGUMENT, "graph: relations in the layout, but no array of them");
  if (n < 0 || m < 0 || n > INT32_MAX || m > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "graph: %lld heads and %lld tails: at most 2^31 - 1 of each",
                     (long long)n, (long long)m);
  if (e < 0 || e > TKG_GRAPH_MOST_EDGES)
    return tkg__fail(TKG_E_RANGE, "graph: %lld edges, with their inverses and loops: at most %d",
                     (long long)e, (int)TKG_GRAPH_MOST_EDGES);
  int32_t *spare = malloc((2 * (size_t)e + 1) * sizeof *spare);
  if (!spare) return tkg__fail(TKG_E_MEMORY, "graph: no memory for %lld edges", (long long)e);
  layout &= TKG_GRAPH_RELATIONS | TKG_GRAPH_ONE_WAY;
  if (!related) relations = NULL;
  packing p = {n, m, e, heads, relations, tails, layout, packed, spare + e};
  int32_t *places = place ? place : spare;
  int status = check_ids("head", heads, e, n);
  if (!status) status = check_ids("tail", tails, e, m);
  if (!status) status = count_kinds(&p);
  if (!status) status = pack_forward(&p, places);
  if (!status && !(layout & TKG_GRAPH_ONE_WAY)) status = pack_backward(&p, packed, places);
  *found = p.layout | (is_loopless(&p) ? TKG_GRAPH_LOOPLESS : 0);
  free(spare);
  return status;
}

/* A set of relations as bits: so few have ids of one byte. */
enum { BITS = 64 };

static void list_heads_by_bits(int64_t n, const int32_t *offsets, const uint8_t *relations,
                               int32_t *at, int32_t *list) {
  for (int64_t head = 0; head < n; head++) {
    uint64_t set = 0;
    for (int64_t edge = offsets[head]; edge < offsets[head + 1]; edge++)
      set |= UINT64_C(1) << relations[edge];
    for (; set; set &= set - 1) {
      const int r = __builtin_ctzll(set);
      if (list) list[at[r]] = (int32_t)head;
      at[r]++;
    }
  }
}

void tkg_graph_list_heads(int64_t n, const int32_t *offsets, const int32_t *relations,
                          int64_t layout, int32_t *seen, int32_t *at, int32_t *list) {
  TKG__NEEDS(offsets && seen && at && (relations || n <= 0 || offsets[n] == 0));
  if (tkg__graph_kinds(layout) <= BITS)
    return list_heads_by_bits(n, offsets, (const uint8_t *)relations, at, list);
  const tkg_relations of = {relations, tkg__relation_bytes(layout)};
  for (int64_t head = 0; head < n; head++) {
    for (int64_t edge = offsets[head]; edge < offsets[head + 1]; edge++) {
      const int32_t r = tkg__relation_at(of, edge);
      if (seen[r] == head) continue;
      seen[r] = (int32_t)head;
      if (list) list[at[r]] = (int32_t)head;
      at[r]++;
    }
  }
}
