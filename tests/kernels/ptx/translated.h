/* The kernels that translate.py made of PTX: what their C++ files give to the runtime. */
#ifndef TKG_PTX_TRANSLATED_H
#define TKG_PTX_TRANSLATED_H

#include <stdint.h>

struct machine;

enum instruction_kind { /* KINDS in translate.py */
                        GLOBAL_LOAD,
                        GLOBAL_STORE,
                        SHARED_ACCESS,
                        EITHER_ACCESS, /* by an address that may be global or shared */
                        PARAMETER_LOAD,
                        ARITHMETIC,
                        DIVISION, /* of integers: a dozen instructions or more to ptxas */
                        BRANCH,
                        AMONG_THREADS, /* barriers, shuffles, votes */
                        MOVE,          /* between registers: ptxas removes most */
                        INSTRUCTION_KINDS
};

struct instruction_counts {
  unsigned short of[INSTRUCTION_KINDS];
};

struct translated {
  const char *name; /* mangled, as the host code registers it */
  void (*run)(const machine &m);
  int registers;      /* per thread */
  int shared;         /* bytes of its own; a launch's dynamic memory follows */
  int parameters[32]; /* bytes of each */
  int count;
  const instruction_counts *stretches; /* of straight code; machine.ran counts each one's runs */
  int stretch_count;
};

/* Adds a file's kernels to the table; another kernel of the same name ends the program. */
bool add_translated(const translated *kernels, int count);

/* Counts the instructions of kernels that run from now on, from 0, or no longer. */
extern "C" void count_instructions(bool on);
/* What was counted: what warps issued, a stretch as often as that lane which ran it most often. */
extern "C" void counted_instructions(uint64_t counts[INSTRUCTION_KINDS]);

/* Whether the bytes at an address lie in live blocks of device memory. */
bool is_device_memory(uint64_t address, int64_t bytes);

#endif
