/* Gradients of some rows alone, for lazy updates. */
#ifndef TKG_LAZY_ROWS_H
#define TKG_LAZY_ROWS_H

#include "program.h"
#include "tape/optimizer.h"

/* Replaces the gradient of a matrix that is a sum of rows added by id by one that has those rows
 * alone, and sets *rows; rows->node is -1 for other gradients, which stay as they are. Returns a
 * status: TKG_E_ARGUMENT if the gradient of a large table is both, TKG_E_SHAPE if its rows are too
 * long. */
int tkg__lazy_rows(const tkg_program *p, int leaf, int32_t *gradient, tkg_rows *rows);

#endif
