#ifndef TKG_PRUNE_ROWS_H
#define TKG_PRUNE_ROWS_H

#include "program.h"

/* Makes the program compute only the rows that are gathered; renumbers `loss`, unless it is -1. */
int tkg__prune_rows(tkg_program *p, int *loss);

#endif
