/* Libraries that are opened when they are first needed, so that nothing needs them to be built or
 * to start. */
#ifndef TKG_CUDA_OPEN_LIBRARY_H
#define TKG_CUDA_OPEN_LIBRARY_H

#include <stddef.h>

/* Opens the library that the environment's `variable` names ("no": none), else the first of `files`
 * (ended by NULL) that the toolkit, the loader or NVIDIA's Python package has. Writes the addresses
 * of its functions. False if there is none, or one that lacks a function. */
bool tkg__open_library(const char *variable, const char *const *files, const char *const *functions,
                       size_t count, void **to);

#endif
