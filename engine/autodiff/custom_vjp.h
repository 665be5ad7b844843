/* Values with a gradient of their own, or none: DETACH and CUSTOM_VJP. See custom_vjp.c. */
#ifndef TKG_CUSTOM_VJP_H
#define TKG_CUSTOM_VJP_H

#include "vjp.h"

/* marks[i] = true for what gradient `dx` is made of behind `upstream`: that is what runs in
 * backward, from values before. marks has tape->n entries, cleared. */
void tkg__mark_custom_vjp(const tkg_tape *tape, int upstream, int dx, bool *marks);

#endif
