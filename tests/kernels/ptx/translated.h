/* The kernels that translate.py made of PTX: what their C++ files give to the runtime. */
#ifndef TKG_PTX_TRANSLATED_H
#define TKG_PTX_TRANSLATED_H

#include <stdint.h>

struct machine;

struct translated {
  const char *name; /* mangled, as the host code registers it */
  void (*run)(const machine &m);
  int registers;      /* per thread */
  int shared;         /* bytes of its own; a launch's dynamic memory follows */
  int parameters[32]; /* bytes of each */
  int count;
};

/* Adds a file's kernels to the table; another kernel of the same name ends the program. */
bool add_translated(const translated *kernels, int count);

/* Whether the bytes at an address lie in live blocks of device memory. */
bool is_device_memory(uint64_t address, int64_t bytes);

#endif
