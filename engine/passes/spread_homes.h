/* Where the spread pass computes each value, and how its readers read it. */
#ifndef TKG_SPREAD_HOMES_H
#define TKG_SPREAD_HOMES_H

#include <stddef.h>

#include "base/placement.h"
#include "program.h"

typedef struct tkg_spread {
  tkg_program *p;
  const tkg_tape *old;
  tkg_tape *fresh;
  int rank, size;
  int coded;        /* exchanges in codes so far */
  bool backward;    /* nodes from p->forward on are being rewritten */
  uint8_t *home;    /* of old nodes: the placement that they are computed in */
  uint8_t *wanted;  /* of old nodes: a bit for each placement that they are read in */
  bool *joined;     /* old codes and masks that some reader needs as a whole */
  bool *returned;   /* old nodes that the caller gets, as a whole */
  bool *dealt;      /* or by columns */
  bool *gradient;   /* old nodes that depend on the loss's gradient */
  int32_t *at;      /* [TKG_PLACEMENTS, n]: new node of an old one in a placement, -1: none yet */
  int32_t *decoded; /* of old codes: the new node that decodes them, -1: none yet */
} tkg_spread;

/* The place in `at` of old value v in a placement. */
static inline int32_t *tkg__spread_at(const tkg_spread *s, int v, int placement) {
  return &s->at[(size_t)placement * (size_t)s->old->n + (size_t)v];
}

/* Sets `wanted`, `joined` and `returned`. */
void tkg__find_wanted(tkg_spread *s);

/* The placement that old node i is computed in: of those that it can run in, the one that exchanges
 * fewest bytes. Called for nodes in order, when those before it have a home and a place. */
int tkg__home_of(const tkg_spread *s, int i);

/* The placement in which an op that runs in `home` reads its input k. */
int tkg__placement_of(const tkg_spread *s, const tkg_node *n, int k, int home);

#endif
