#include "cusparse.h"

#include "open_library.h"

bool tkg__cusparse_open(tkg_cusparse *f) {
  static const char *const files[] = {"libcusparse.so.12", "libcusparse.so", NULL};
  static const char *const names[] = {
      "cusparseCreate",          "cusparseDestroy",         "cusparseSetStream",
      "cusparseGetErrorString",  "cusparseCreateCsr",       "cusparseDestroySpMat",
      "cusparseCreateDnMat",     "cusparseDestroyDnMat",    "cusparseDnMatSetValues",
      "cusparseSpMM_bufferSize", "cusparseSpMM_preprocess", "cusparseSpMM"};
  static_assert(sizeof *f == sizeof names, "a name for each function");
  return tkg__open_library("TKG_CUSPARSE", files, names, sizeof names / sizeof *names,
                           reinterpret_cast<void **>(f));
}
