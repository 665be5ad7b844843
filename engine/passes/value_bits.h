/* Bits of single values. */
#ifndef TKG_VALUE_BITS_H
#define TKG_VALUE_BITS_H

#include "program.h"

/* Numbers the ops of each recipe line of the program and gives those on the policy's list their
 * bits. What a recipe asks for by bits (tkg_tape_set_bits) stays. */
void tkg__set_value_bits(tkg_program *p, const tkg_policy *policy);

#endif
