/* Which ranks share a machine, and its cores. */
#ifndef TKG_MACHINE_H
#define TKG_MACHINE_H

#include <stdint.h>

enum { TKG_MOST_CORES = 4096 };

/* A rank's machine and the cores that its process may use, as ranks exchange them. */
typedef struct tkg_machine {
  char name[112];   /* of the host and of its boot, so that equal names are one machine */
  char network[40]; /* of containers of a machine, which are counted as machines */
  uint64_t cores[TKG_MOST_CORES / 64];
} tkg_machine;

void tkg__machine_describe(tkg_machine *out);

/* Of the ranks' machines and networks: how many there are, ranks on that of `rank`, those before
 * it, and threads for it so that no core of its machine has two, at least 1. */
typedef struct tkg_sharing {
  int machines, local_size, local_rank, threads;
} tkg_sharing;
tkg_sharing tkg__machine_sharing(const tkg_machine *of, int size, int rank);

#endif
