/* Which saved copies would bias a gradient by their rounding noise. */
#ifndef TKG_BIAS_H
#define TKG_BIAS_H

#include "tape/tape.h"

/* Nodes before `arrived` make gradients; noise in what those after it read is no bias. source[i] is
 * the value that node i, an ENCODE, makes noisy; -1 for every other node. Sets must_be_exact[value]
 * for those whose noise would bias a gradient, and *found if there are any. */
int tkg__find_bias(const tkg_tape *tape, int arrived, const int32_t *source, bool *must_be_exact,
                   bool *found);

#endif
