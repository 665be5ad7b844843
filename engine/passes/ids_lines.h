/* The recipe's lines to name where ids are wrong. */
#ifndef TKG_IDS_LINES_H
#define TKG_IDS_LINES_H

#include "program.h"

/* Fills p->ids_line of a planned program of this recorded tape. TKG_E_MEMORY. */
int tkg__ids_lines(tkg_program *p, const tkg_tape *recorded);

#endif
