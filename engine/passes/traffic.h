/* What an op has to move and to compute, whatever its kernel: for profiles, and for what
 * recomputing a value costs. */
#ifndef TKG_TRAFFIC_H
#define TKG_TRAFFIC_H

#include "base/op.h"

typedef struct tkg_traffic {
  /* Bytes that pass through memory at least once: of each input, and of the result and what else is
   * written. A value that lives in a tile of rows does not pass through memory; callers leave it
   * out. */
  double read[TKG_MAX_INPUTS], written;
  /* Bytes that pass through the processor's cache: all of these, and a row again for each edge or
   * id that reads it. */
  double cached;
  double flops;
} tkg_traffic;

/* The traffic of a node; in[k] are the nodes of its inputs. What only data tell is taken to be the
 * average: a listed node has as many edges as any node has. */
tkg_traffic tkg__traffic(const tkg_node *n, const tkg_node *const *in);

#endif
