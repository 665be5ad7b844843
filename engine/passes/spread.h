/* The spread pass: which rank has what of each value. */
#ifndef TKG_SPREAD_H
#define TKG_SPREAD_H

#include "program.h"

/* Rewrites the program for the ranks of its engine; with one rank, or without a divided tensor, it
 * changes nothing. Values that are dealt by rows have those of rank 0, so that all ranks plan the
 * same order of nodes, until tkg__take_own_rows. Returns a status. */
int tkg__spread(tkg_program *p);

/* Gives the values that are dealt by rows, and groups of them, the rows of this rank. */
void tkg__take_own_rows(tkg_program *p);

#endif
