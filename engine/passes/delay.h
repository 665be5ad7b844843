/* delay: a forward pass computes sums and rows of layers late, in the memory of what they read. */
#ifndef TKG_DELAY_H
#define TKG_DELAY_H

#include "plan.h"

/* Moves nodes of a program without gradients down its order: z->p->order, in order of recording. */
void tkg__delay(tkg_planner *z);

#endif
