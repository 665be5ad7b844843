/* Sums over edges that are written over the matrix that they read. */
#ifndef TKG_SUMS_IN_PLACE_H
#define TKG_SUMS_IN_PLACE_H

#include "plan.h"

/* Whether node i is a sum over edges whose result may lie where the matrix is that it sums, if that
 * is read for the last time. */
bool tkg__may_sum_in_place(const tkg_planner *z, int i);

/* Whether some rows of node i, which p->slice says is such a sum, may lie beside what it reads. */
bool tkg__may_overlap(const tkg_planner *z, int i);

/* Says in p->slice how many columns each sum in place makes at a time, and moves the other readers
 * of what it sums before it: z->p->order, before groups are made. A sum whose matrix is needed
 * later is none. p->over: of how many rows that is so, z->beside leaves the others out. Nothing is
 * done with z->parts = 0. */
void tkg__sums_in_place(tkg_planner *z);

#endif
