#include "open_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The folders of the toolkit and of the Python package are run paths of this library (build.mk). */
static void *open_any(const char *variable, const char *const *files) {
  const char *asked = getenv(variable);
  if (asked) return strcmp(asked, "no") == 0 ? NULL : dlopen(asked, RTLD_NOW | RTLD_LOCAL);
  for (; *files; files++) {
    void *library = dlopen(*files, RTLD_NOW | RTLD_LOCAL);
    if (library) return library;
  }
  return NULL;
}

bool tkg__open_library(const char *variable, const char *const *files, const char *const *functions,
                       size_t count, void **to) {
  void *library = open_any(variable, files);
  if (!library) return false;
  for (size_t k = 0; k < count; k++)
    if (!(to[k] = dlsym(library, functions[k]))) return false;
  return true;
}
