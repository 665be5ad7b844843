#include "launcher.h"

#include <stddef.h>
#include <stdlib.h>

/* The number in a variable; -1: it is not set. */
static int number(const char *name) {
  const char *text = getenv(name);
  return text && *text ? (int)strtol(text, NULL, 10) : -1;
}

/* srun sets these for each task of a step, whatever wires them: PMIx, PMI2 or nothing. The script
 * of a batch job has no step. */
static tkg_launcher slurm(void) {
  tkg_launcher l = {"srun", false, true, number("SLURM_PROCID"), number("SLURM_STEP_NUM_TASKS")};
  l.mpich = number("PMI_RANK") >= 0;
  l.wired = l.mpich || getenv("PMIX_RANK");
  return l;
}

tkg_launcher tkg__launcher(void) {
  if (number("OMPI_COMM_WORLD_SIZE") > 0)
    return (tkg_launcher){"mpirun of Open MPI", false, true, number("OMPI_COMM_WORLD_RANK"),
                          number("OMPI_COMM_WORLD_SIZE")};
  if (number("SLURM_STEP_NUM_TASKS") > 0) return slurm();
  if (number("PMI_SIZE") > 0)
    return (tkg_launcher){"mpiexec of MPICH", true, true, number("PMI_RANK"), number("PMI_SIZE")};
  return (tkg_launcher){.wired = true, .size = 1};
}
