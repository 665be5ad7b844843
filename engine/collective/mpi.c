/* MPI by dlopen: no MPI is needed to build or to run alone, and one build runs under Open MPI and
 * MPICH, whose ABIs differ. A handle (of a communicator, a type, a request) is a pointer in Open
 * MPI, those of constants to symbols of the library, and an int in MPICH (its mpi.h numbers them);
 * either is passed as uintptr_t, whose low half an int parameter takes. Only MPI's point-to-point
 * messages are used: what waits can then look for ranks that have failed. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "launcher.h"
#include "transport.h"

enum { FUNNELED = 1, ANY_TAG = -1, TEXT = 8192 }; /* TEXT: MPICH's MPI_MAX_LIBRARY_VERSION_STRING */

typedef uintptr_t handle;

/* The functions of MPI: X(name, parameters), each returns 0 or an error. */
#define MPI_FUNCTIONS(X)                                                                           \
  X(Init_thread, (int *, char ***, int, int *))                                                    \
  X(Finalize, (void))                                                                              \
  X(Abort, (handle, int))                                                                          \
  X(Comm_rank, (handle, int *))                                                                    \
  X(Comm_size, (handle, int *))                                                                    \
  X(Comm_set_errhandler, (handle, handle))                                                         \
  X(Isend, (const void *, int, handle, int, int, handle, handle *))                                \
  X(Irecv, (void *, int, handle, int, int, handle, handle *))                                      \
  X(Test, (handle *, int *, void *))                                                               \
  X(Iprobe, (int, int, handle, int *, void *))                                                     \
  X(Get_count, (const void *, handle, int *))                                                      \
  X(Error_class, (int, int *))                                                                     \
  X(Get_library_version, (char *, int *))                                                          \
  X(Error_string, (int, char *, int *))

#define DECLARE(name, parameters) int(*name) parameters;
static struct {
  MPI_FUNCTIONS(DECLARE)
  handle world, byte, errors_return;
  int tag_at;    /* which int of an MPI_Status is its tag */
  int truncated; /* MPI_ERR_TRUNCATE */
} mpi;
#undef DECLARE

/* Larger than an MPI_Status of either library, which are of ints. */
typedef int64_t mpi_result[8];

static tkg_transport transport;

/* ---- calls ---- */

static int mpi_status(int code, const char *what) {
  if (!code) return TKG_OK;
  char text[TEXT];
  int length = 0;
  if (mpi.Error_string(code, text, &length)) length = 0;
  return tkg__fail(TKG_E_DEVICE, "MPI: %s failed: %.*s", what, length, text);
}

static int mpi_send(const void *from, tkg_message *m) {
  const int bytes = (int)m->bytes;
  return mpi_status(mpi.Isend(from, bytes, mpi.byte, m->rank, m->tag, mpi.world, &m->handle),
                    "MPI_Isend");
}

static int mpi_receive(void *to, tkg_message *m) {
  const int bytes = (int)m->bytes;
  return mpi_status(mpi.Irecv(to, bytes, mpi.byte, m->rank, m->tag, mpi.world, &m->handle),
                    "MPI_Irecv");
}

static int mpi_test(tkg_message *m, bool *done) {
  mpi_result result = {0};
  int flag = 0, count = 0, kind = 0, code = mpi.Test(&m->handle, &flag, result);
  *done = flag != 0;
  if (!code && flag && m->is_received) {
    code = mpi.Get_count(result, mpi.byte, &count);
    m->is_other = !code && count != m->bytes;
  }
  if (!code || mpi.Error_class(code, &kind) || kind != mpi.truncated)
    return mpi_status(code, "MPI_Test");
  m->is_other = true;
  return TKG_OK;
}

static int mpi_waiting(int rank) {
  mpi_result result = {0};
  int flag = 0;
  if (mpi.Iprobe(rank, ANY_TAG, mpi.world, &flag, result) || !flag) return -1;
  return ((const int *)result)[mpi.tag_at];
}

static int mpi_finish(void) { return mpi_status(mpi.Finalize(), "MPI_Finalize"); }
static void mpi_abort(int code) { mpi.Abort(mpi.world, code); }

/* ---- finding the library ---- */

/* Opens the first library that is there: the one that is named, else those of the launcher's kind,
 * then the others. Its symbols are global: plug-ins of Open MPI look for them. */
static void *open_library(bool mpich, char *why, size_t size) {
  static const char *const names[2][4] = {
      {"libmpi.so.40", "libmpi.so", "libmpich.so.12", "libmpi.so.12"},
      {"libmpich.so.12", "libmpi.so.12", "libmpich.so", "libmpi.so"}};
  const char *named = getenv("TINYKG_MPI");
  void *library = NULL;
  for (int i = 0; i < (named ? 1 : 4) && !library; i++) {
    library = dlopen(named ? named : names[mpich][i], RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!library && i == 0) snprintf(why, size, "%s", dlerror());
  }
  return library;
}

static int find_functions(void *library) {
#define FIND(name, parameters)                                                                     \
  {                                                                                                \
    void *symbol = dlsym(library, "MPI_" #name);                                                   \
    if (!symbol) return tkg__fail(TKG_E_UNSUPPORTED, "the MPI library has no MPI_" #name);         \
    memcpy(&mpi.name, &symbol, sizeof symbol);                                                     \
  }
  MPI_FUNCTIONS(FIND)
#undef FIND
  return TKG_OK;
}

/* Sets the constants: Open MPI's are symbols, MPICH's numbers (mpi.h of MPICH 3 and 4). */
static void set_constants(void *library) {
  void *world = dlsym(library, "ompi_mpi_comm_world");
  mpi.world = world ? (handle)world : 0x44000000;
  mpi.byte = world ? (handle)dlsym(library, "ompi_mpi_byte") : 0x4c00010d;
  mpi.errors_return = world ? (handle)dlsym(library, "ompi_mpi_errors_return") : 0x54000001;
  mpi.tag_at = world ? 1 : 3;
  mpi.truncated = world ? 15 : 14;
}

/* 'Open MPI v4.1.4' or 'MPICH 4.0.2' of what the library says of itself. */
static void name_library(char *out, size_t size) {
  char text[TEXT + 1] = "";
  int length = 0;
  mpi.Get_library_version(text, &length);
  const char *version = strstr(text, "Version:");
  if (strncmp(text, "MPICH", 5) == 0 && version) {
    char number[32] = "";
    sscanf(version + 8, " %31[0-9.]", number);
    snprintf(out, size, "MPICH %s", number);
    return;
  }
  text[strcspn(text, ",\n")] = 0;
  snprintf(out, size, "%.80s", text);
}

/* A library of another kind than the launcher's takes the process as one alone. */
static int check_size(const tkg_launcher *launcher) {
  if (transport.size == launcher->size || !launcher->name) return TKG_OK;
  return tkg__fail(TKG_E_UNSUPPORTED,
                   "%s started %d processes, but %s sees %d: take the launcher of that library, or "
                   "name the launcher's library in TINYKG_MPI",
                   launcher->name, launcher->size, transport.name, transport.size);
}

static int join(const tkg_launcher *launcher) {
  int given;
  int status = mpi_status(mpi.Init_thread(NULL, NULL, FUNNELED, &given), "MPI_Init_thread");
  if (status) return status;
  mpi.Comm_set_errhandler(mpi.world, mpi.errors_return);
  mpi.Comm_rank(mpi.world, &transport.rank);
  mpi.Comm_size(mpi.world, &transport.size);
  return check_size(launcher);
}

/* Loads the library that fits a launcher. */
static int load(const tkg_launcher *launcher) {
  char why[300] = "";
  void *library = open_library(launcher->mpich, why, sizeof why);
  if (!library)
    return tkg__fail(TKG_E_UNSUPPORTED,
                     "no MPI library (%s): apt-get install %s, or name one in TINYKG_MPI", why,
                     launcher->mpich ? "libmpich12" : "libopenmpi3");
  int status = find_functions(library);
  if (status) return status;
  set_constants(library);
  name_library(transport.name, sizeof transport.name);
  return TKG_OK;
}

int tkg__mpi_describe(char name[TKG_TRANSPORT_NAME]) {
  const tkg_launcher launcher = tkg__launcher();
  int status = transport.name[0] ? TKG_OK : load(&launcher);
  memcpy(name, transport.name, sizeof transport.name);
  return status;
}

int tkg__mpi_open(const tkg_transport **out) {
  const tkg_launcher launcher = tkg__launcher();
  if (!launcher.wired)
    return tkg__fail(
        TKG_E_UNSUPPORTED,
        "srun started %d tasks that cannot find each other: srun --mpi=pmix (Open MPI) "
        "or --mpi=pmi2 (MPICH)",
        launcher.size);
  int status = load(&launcher);
  if (status) return status;
  transport.most = 1 << 30;
  transport.send = mpi_send;
  transport.receive = mpi_receive;
  transport.test = mpi_test;
  transport.waiting = mpi_waiting;
  transport.finish = mpi_finish;
  transport.abort = mpi_abort;
  *out = &transport;
  return join(&launcher);
}
