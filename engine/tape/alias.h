/* DETACH and CUSTOM_VJP nodes are aliases: they have the value of their first input. */
#ifndef TKG_ALIAS_H
#define TKG_ALIAS_H

#include "tape.h"

bool tkg__is_alias(const tkg_node *n);

/* Returns the node whose value node `i` has, through any number of aliases. */
int tkg__resolve_alias(const tkg_tape *tape, int i);

#endif
