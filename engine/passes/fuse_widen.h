/* Lets ops that read rows of a bf16 parameter read it as it is. */
#ifndef TKG_FUSE_WIDEN_H
#define TKG_FUSE_WIDEN_H

#include "program.h"

void tkg__fuse_widen(const tkg_program *p);

#endif
