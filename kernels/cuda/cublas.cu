#include "cublas.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The folders of the toolkit and of the Python package are run paths of this library (build.mk). */
static void *open_any(void) {
  static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};
  const char *asked = getenv("TKG_CUBLAS");
  if (asked) return strcmp(asked, "no") == 0 ? NULL : dlopen(asked, RTLD_NOW | RTLD_LOCAL);
  for (const char *name : names) {
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library) return library;
  }
  return NULL;
}

bool tkg__cublas_open(tkg_cublas *f) {
  static const char *const names[] = {
      "cublasCreate_v2",       "cublasDestroy_v2",     "cublasSetStream_v2",
      "cublasSetWorkspace_v2", "cublasSetAtomicsMode", "cublasSetMathMode",
      "cublasGetStatusString", "cublasSgemm_v2_64",    "cublasSgemmStridedBatched_64"};
  void **to = reinterpret_cast<void **>(f);
  static_assert(sizeof *f == sizeof names, "a name for each function");
  void *library = open_any();
  if (!library) return false;
  for (size_t k = 0; k < sizeof names / sizeof *names; k++)
    if (!(to[k] = dlsym(library, names[k]))) return false;
  return true;
}
