#include "cublas.h"

#include "open_library.h"

bool tkg__cublas_open(tkg_cublas *f) {
  static const char *const files[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so", NULL};
  static const char *const names[] = {
      "cublasCreate_v2",       "cublasDestroy_v2",     "cublasSetStream_v2",
      "cublasSetWorkspace_v2", "cublasSetAtomicsMode", "cublasSetMathMode",
      "cublasGetStatusString", "cublasSgemm_v2_64",    "cublasSgemmStridedBatched_64"};
  static_assert(sizeof *f == sizeof names, "a name for each function");
  return tkg__open_library("TKG_CUBLAS", files, names, sizeof names / sizeof *names,
                           reinterpret_cast<void **>(f));
}
