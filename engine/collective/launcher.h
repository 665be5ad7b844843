/* The launcher that started this process, by the variables that it sets. */
#ifndef TKG_LAUNCHER_H
#define TKG_LAUNCHER_H

#include <stdbool.h>

typedef struct tkg_launcher {
  const char *name; /* "mpirun of Open MPI", ...; NULL: none */
  bool mpich;       /* its processes speak MPICH's language (PMI), else Open MPI's (PMIx) */
  bool wired;       /* false: it started several processes, but no MPI library can join them */
  int rank, size;
} tkg_launcher;

tkg_launcher tkg__launcher(void);

#endif
