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
} tkg_backend;

extern const tkg_backend tkg__cpu_backend;

#endif
