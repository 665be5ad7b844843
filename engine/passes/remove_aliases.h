#ifndef TKG_REMOVE_ALIASES_H
#define TKG_REMOVE_ALIASES_H

#include "program.h"

/* Run after the grad pass. The rule that a recipe set for an alias becomes the value's. */
void tkg__remove_aliases(tkg_program *p);

#endif
