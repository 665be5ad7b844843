#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nccl.h"

/* The folders of the toolkit and of the Python package are run paths of this library (build.mk).
 * The emulation takes none but the one that is named. */
static void *open_any(void) {
  const char *asked = getenv("TKG_NCCL");
  if (asked) return strcmp(asked, "no") == 0 ? NULL : dlopen(asked, RTLD_NOW | RTLD_LOCAL);
#ifdef __CUDACC__
  return dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
#else
  return NULL;
#endif
}

const char *tkg__nccl_open(tkg_nccl *f) {
  static const char *const names[] = {
      "ncclGetVersion",   "ncclGetUniqueId", "ncclCommInitRankConfig", "ncclCommGetAsyncError",
      "ncclCommFinalize", "ncclCommDestroy", "ncclCommAbort",          "ncclGetErrorString",
      "ncclGetLastError", "ncclGroupStart",  "ncclGroupEnd",           "ncclSend",
      "ncclRecv"};
  static char why[200];
  void **to = reinterpret_cast<void **>(f);
  static_assert(sizeof *f == sizeof names, "a name for each function");
  void *library = open_any();
  if (!library) return "no libnccl.so.2 is found";
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    if ((to[k] = dlsym(library, names[k]))) continue;
    snprintf(why, sizeof why, "NCCL has no %s: it is older than 2.17", names[k]);
    return why;
  }
  return NULL;
}
