/* Relation ids of edges, in as many bytes as the largest needs. */
#ifndef TKG_RELATIONS_H
#define TKG_RELATIONS_H

#include <stdint.h>

typedef struct tkg_relations {
  const void *ids; /* by number of the edge; NULL: there are none */
  int bytes;       /* of each: 1, 2 or 4 */
} tkg_relations;

/* Of a graph that has relations: shapes say so before a kernel runs. */
static inline int32_t tkg__relation_at(tkg_relations r, int64_t edge) {
  if (r.bytes == 1) return ((const uint8_t *)r.ids)[edge];  /* NOLINT: there are ids */
  if (r.bytes == 2) return ((const uint16_t *)r.ids)[edge]; /* NOLINT */
  return ((const int32_t *)r.ids)[edge];                    /* NOLINT */
}

#endif
