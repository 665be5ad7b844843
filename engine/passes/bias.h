/* Which saved copies would bias a gradient by their rounding noise, and which need noise that is
 * independent by element. */
#ifndef TKG_BIAS_H
#define TKG_BIAS_H

#include "tape/tape.h"

/* What is found of each value, by its node before the save pass. */
typedef struct tkg_bias {
  bool *must_be_exact;     /* its noise would bias a gradient */
  bool *needs_independent; /* its noise may not be pairwise */
} tkg_bias;

/* source[i] is the value that node i, an ENCODE, makes noisy; -1 for every other node. Sets the
 * flags of those values that do not have yet what they need, and *found if there are any. */
int tkg__find_bias(const tkg_tape *tape, const int32_t *source, tkg_bias bias, bool *found);

#endif
