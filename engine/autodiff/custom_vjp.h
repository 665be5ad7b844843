/* Values with a gradient of their own, or none: DETACH and OWN_VJP. See own.c. */
#ifndef TKG_OWN_H
#define TKG_OWN_H

#include "grad.h"
#include "passes/program.h"

/* The node whose value `i` is, under whatever names. */
int tkg__named(const tkg_tape *tape, int i);

/* marks[i] = true for what gradient `dx` is made of behind `upstream`: that is what runs in
 * backward, from values before. marks has tape->n entries, cleared. */
void tkg__mark_own(const tkg_tape *tape, int upstream, int dx, bool *marks);

/* The vjp of an OWN_VJP node. */
int tkg__vjp_own(tkg_vjp *v);

/* Behind the grad pass: who reads a value by another name reads the value itself. */
void tkg__drop_names(tkg_program *p);

#endif
