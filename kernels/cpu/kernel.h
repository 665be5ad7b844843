/* CPU kernels. A family of ops (shared/families.h) is one file with a table, one entry per op, and
 * is compiled once per instruction set.
 *
 * A kernel computes `begin..end` of its op's *units*: rows of the output unless `units` says
 * otherwise. Units are independent, so any split over threads gives the same bits. A reduction
 * over rows makes a fixed number of partial results in scratch, one per unit, which `combine`
 * adds in order: the same bits again. */
#ifndef TKG_CPU_KERNEL_H
#define TKG_CPU_KERNEL_H

#include "base/backend.h"

typedef int (*tkg_cpu_kernel)(const tkg_call *c, int64_t begin, int64_t end);

typedef struct tkg_cpu_op {
  int op;                                                            /* TKG_OP_... */
  tkg_cpu_kernel run;                                                /* returns a status */
  int64_t (*units)(const tkg_node *node, const tkg_node *const *in); /* NULL: rows of the output */
  int64_t (*work)(const tkg_node *node, const tkg_node *const *in);  /* in elements touched, for the
                                     choice of threads; NULL: elements of the output */
  int64_t (*scratch)(const tkg_node *node, const tkg_node *const *in); /* bytes; NULL: none */
  void (*combine)(const tkg_call *c); /* after all units, one thread; NULL: nothing */
  /* How often all units run, one time after the other (c->phase); NULL: once. */
  int (*phases)(const tkg_call *c);
  /* Rows first..last-1 of the output alone, for tiles (tile.c); NULL: by units, of `tkg_tile_unit`
   * elements or rows. */
  int (*rows)(const tkg_call *c, int64_t first, int64_t last);
  /* For a sum over rows: adds the sum of input rows first..last-1 to `part`, or begins it. Returns
   * a status. */
  int (*accumulate)(const tkg_call *c, int64_t first, int64_t last, float *part, bool begins);
} tkg_cpu_op;

/* Units of an op that is computed as a whole. */
static inline int64_t one_unit(const tkg_node *node, const tkg_node *const *in) {
  (void)node, (void)in;
  return 1;
}

/* A family ends with an entry whose run is NULL. */

#endif
