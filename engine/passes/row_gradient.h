/* Gradients of some rows of a table alone, for updates that take them as they are. */
#ifndef TKG_ROW_GRADIENT_H
#define TKG_ROW_GRADIENT_H

#include "program.h"
#include "tape/optimizer.h"

/* Replaces the gradient of parameter leaf `leaf`, if that is a matrix and the gradient a sum of
 * rows added by id, by one that has those rows alone, and sets *rows. Without `lazy` it does so for
 * large tables of which few rows are read. Other gradients stay as they are; both node numbers of
 * *rows are then -1. Returns a status: TKG_E_ARGUMENT if lazy and the gradient of a large table is
 * both, TKG_E_SHAPE if lazy and its rows are too long. */
int tkg__row_gradient(const tkg_program *p, const tkg_optimizer *optimizer, int leaf,
                      int32_t *gradient, tkg_rows *rows);

#endif
