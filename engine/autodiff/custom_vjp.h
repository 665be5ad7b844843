/* Gradients given by a recipe, or none: the ops CUSTOM_VJP and DETACH; see custom_vjp.c. */
#ifndef TKG_CUSTOM_VJP_H
#define TKG_CUSTOM_VJP_H

#include "vjp.h"

/* Sets marks[i] for the nodes behind `upstream` that gradient `dx` needs, which run in backward,
 * from values before. `marks` has tape->n entries, all false. */
void tkg__mark_custom_vjp(const tkg_tape *tape, int upstream, int dx, bool *marks);

#endif
