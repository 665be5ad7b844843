/* Sums over edges straight from packed codes. */
#ifndef TKG_CPU_AGGREGATE_CODES_H
#define TKG_CPU_AGGREGATE_CODES_H

#include "isa.h"
#include "kernel.h"

/* What an AGGREGATE op does whose input 1 is codes: rows first..last-1 of its output, of all heads
 * or, if `list` is not NULL, of those: one behind the other or, of AGGREGATE_WHERE, each in
 * its place. r and w as in aggregate.c; relations and ids are checked. */
void TKG_ISA_NAME(tkg__aggregate_codes)(const tkg_call *c, const float *r, const float *w,
                                        const int32_t *list, int64_t first, int64_t last);

#endif
