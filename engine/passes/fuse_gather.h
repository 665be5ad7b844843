#ifndef TKG_FUSE_GATHER_H
#define TKG_FUSE_GATHER_H

#include "program.h"

/* Run before the grad pass, whose nodes follow from what it fused, and again after it. */
void tkg__fuse_gather(const tkg_program *p);

#endif
