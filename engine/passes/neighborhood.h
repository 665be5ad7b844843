#ifndef TKG_NEIGHBORHOOD_H
#define TKG_NEIGHBORHOOD_H

#include "program.h"

/* Sums over graphs whose readings of layers are followed; a layer with more is made as a whole. */
enum { TKG_MOST_READERS = 32 };

/* Lets sums over edges and products leave out the rows that a batch does not reach. Runs on forward
 * and backward before save. Errors: no memory. */
int tkg__leave_out_rows(tkg_program *p);

#endif
