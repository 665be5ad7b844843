/* The seam to a device. The CPU backend is built in; others fill the same table. */
#ifndef TKG_BACKEND_H
#define TKG_BACKEND_H

#include "node.h"

/* What is the same for all nodes of one run. */
typedef struct tkg_run_context {
  uint64_t seed;
  uint32_t step;
  int threads;
} tkg_run_context;

/* One node with its data, ready to run. Pointers are device memory of the backend. */
typedef struct tkg_call {
  const tkg_node *node;
  const tkg_node *in[TKG_MAX_INPUTS]; /* shapes of the inputs */
  void *data[TKG_MAX_INPUTS];         /* NULL for an optional input that is absent */
  void *out;                          /* may equal data[0] for ops with flag P or U */
  void *scratch;                      /* scratch_bytes(node, in) bytes, contents undefined */
  double lr, t;                       /* optimizer updates: learning rate, update count from 1 */
  const tkg_run_context *context;
  const char *where; /* the recipe's line, or NULL; valid until finish */
} tkg_call;

typedef struct tkg_backend {
  const char *name;
  void *(*allocate)(int64_t bytes); /* 64-byte aligned, NULL when there is none */
  void (*release)(void *memory);
  void (*write)(void *to, const void *from_host, int64_t bytes);
  void (*read)(void *to_host, const void *from, int64_t bytes);
  void (*copy)(void *to, const void *from, int64_t bytes); /* both on the device */
  void (*zero)(void *memory, int64_t bytes);
  bool (*supports)(int op);
  int64_t (*scratch_bytes)(const tkg_node *node, const tkg_node *const *in);
  int (*run)(const tkg_call *call); /* status */
  /* At the end of a run, failed or not: waits for what was queued and reports what came of it (ids
   * out of range, errors of the device), as a status and a message of at most `size` bytes. NULL:
   * nothing is ever queued. */
  int (*finish)(char *message, int size);
  const char *(*error)(void); /* message of this thread's last failed run; NULL: tkg_error() */
} tkg_backend;

/* What a backend in a library of its own exports: its table, or NULL and one line that says why
 * there is none ("no driver", "no such device"). Devices: "cuda", "cuda:N", "auto"; "emu". */
typedef const tkg_backend *(*tkg_backend_opener)(const char *device, char *message, int size);

extern const tkg_backend tkg__cpu_backend;

#endif
