/* Clipping of gradients by their global norm. */
#ifndef TKG_CLIP_H
#define TKG_CLIP_H

#include "tape.h"

/* Replaces n gradients (nodes) by min(1, most / norm) times them, where norm is the root of the sum
 * of the squares of all their elements (Pascanu, Mikolov and Bengio, ICML 2013). Records nothing if
 * no float is above `most`, which is at least FLT_MIN. Returns a status; TKG_E_MEMORY where a node
 * could not be recorded. */
int tkg__clip(tkg_tape *tape, int32_t *gradients, int n, double most);

#endif
