#ifndef TKG_SAVE_H
#define TKG_SAVE_H

#include "program.h"

/* Makes backward read saved copies of forward values. */
int tkg__save(tkg_program *p, const tkg_policy *policy);

#endif
