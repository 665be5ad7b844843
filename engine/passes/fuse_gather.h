#ifndef TKG_FUSE_GATHER_H
#define TKG_FUSE_GATHER_H

#include "program.h"

/* Run on forward nodes, before the grad pass. */
void tkg__fuse_gather(const tkg_program *p);

#endif
