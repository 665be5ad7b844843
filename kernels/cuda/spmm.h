/* Sums over edges by cuSPARSE, where a run's precision is 'fast': cusparseSpMM of the adjacency in
 * CSR and rows of floats, by one of its algorithms, or by our own kernel, whichever took the least
 * time when a shape was met first. Which that was is kept by shape, as text, for runs that go on.
 */
#ifndef TKG_CUDA_SPMM_H
#define TKG_CUDA_SPMM_H

#include "cuda.h"

/* Computes AGGREGATE; `own` does by our own kernels. A status. */
int tkg__spmm(const tkg_call *c, cudaStream_t stream,
              int (*own)(const tkg_call *c, cudaStream_t stream));

/* Forgets what was prepared for a graph that lies in memory that is freed or written. */
void tkg__spmm_forget(const void *memory);

/* An address that is another one after something was forgotten, or a way was set: what was captured
 * before must not run again. */
const void *tkg__spmm_prepared(void);

/* The ways by shape, a line each: "sum over edges [N,D] of [M,D], E edges: WAY". Valid until the
 * next call. And sets them: of shapes that are not named a first meeting decides. A status. */
const char *tkg__spmm_ways(void);
int tkg__spmm_set_ways(const char *text);

/* Bytes that a matrix takes, at most: of a sum over edges of one graph, orientation and number of
 * columns, with weights or without. */
int64_t tkg__spmm_bytes(const tkg_node *node, const tkg_node *const *in);

#endif
