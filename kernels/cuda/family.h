/* A family of ops on the device: one file with a table, one entry per op.
 *
 * Each op has three layers. The *kernel* computes. The *launcher* does grid arithmetic and nothing
 * else. The *entry* (`run`) reads shapes and attributes from the call, checks what the host can
 * check and picks a launcher. Shapes were checked when the op was recorded; ids are checked by the
 * kernels (device_errors.h), as only the device knows them.
 *
 * An entry only queues work on the stream. It never waits and never reads device memory. */
#ifndef TKG_CUDA_FAMILY_H
#define TKG_CUDA_FAMILY_H

#include "cuda.h"
#include "shared/families.h"

typedef struct tkg_cuda_op {
  int op;                                             /* TKG_OP_... */
  int (*run)(const tkg_call *c, cudaStream_t stream); /* a status, with tkg__fail's message */
  int64_t (*scratch_bytes)(const tkg_node *node, const tkg_node *const *in); /* NULL: 0 */
} tkg_cuda_op;

/* A family's table ends with an entry whose run is NULL. */
#define X(family) extern const tkg_cuda_op tkg__cuda_##family[];
TKG_FAMILIES(X)
#undef X

/* Input k and the output of a call, as arrays of T. */
template <class T> static inline const T *tkg_in(const tkg_call *c, int k) {
  return static_cast<const T *>(c->data[k]);
}
template <class T> static inline T *tkg_out(const tkg_call *c) { return static_cast<T *>(c->out); }

#endif
