#ifndef TKG_NEIGHBORHOOD_H
#define TKG_NEIGHBORHOOD_H

#include "program.h"

/* Lets sums over edges and products leave out the rows that a batch does not reach. Runs on forward
 * and backward before save. Errors: no memory. */
int tkg__leave_out_rows(tkg_program *p);

#endif
