/* Parts of what is concatenated, and of its gradient. */
#ifndef TKG_BY_PARTS_H
#define TKG_BY_PARTS_H

#include "program.h"

/* Lets parts be read, and their gradients be added up, without the whole. Same bits. */
void tkg__by_parts(const tkg_program *p);

#endif
