/* What a family of ops is on the device: a file with a table, an entry an op.
 *
 * Three layers an op. The *kernel* computes. The *launcher* is grid arithmetic and nothing else.
 * The *entry* (`run`) reads shapes and attributes from the call, checks what can be checked on the
 * host and picks a launcher. Shapes were checked when the op was recorded; ids are checked by the
 * kernels themselves (device_errors.h), as they are only known on the device.
 *
 * An entry only queues work on the stream: it never waits, and never reads device memory. */
#ifndef TKG_CUDA_FAMILY_H
#define TKG_CUDA_FAMILY_H

#include "cuda.h"

typedef struct tkg_cuda_op {
  int op;                                             /* TKG_OP_... */
  int (*run)(const tkg_call *c, cudaStream_t stream); /* a status, with tkg__fail's message */
  int64_t (*scratch_bytes)(const tkg_node *node, const tkg_node *const *in); /* NULL: none */
} tkg_cuda_op;

/* A table ends with an entry whose run is NULL. */
extern const tkg_cuda_op tkg__cuda_elementwise[], tkg__cuda_reduce[], tkg__cuda_rows[],
    tkg__cuda_optim[], tkg__cuda_matmul[], tkg__cuda_layout[], tkg__cuda_gather[],
    tkg__cuda_scatter[], tkg__cuda_neighbor_sum[], tkg__cuda_sample[], tkg__cuda_saved[],
    tkg__cuda_aggregate[], tkg__cuda_edges[], tkg__cuda_aggregate_max[], tkg__cuda_relation[],
    tkg__cuda_grouped[], tkg__cuda_normalize[], tkg__cuda_adam8[];

/* An entry's arguments, typed. */
template <class T> static inline const T *tkg_in(const tkg_call *c, int k) {
  return static_cast<const T *>(c->data[k]);
}
template <class T> static inline T *tkg_out(const tkg_call *c) { return static_cast<T *>(c->out); }

#endif
