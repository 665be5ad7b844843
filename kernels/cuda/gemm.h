/* Matrix products by a kernel of our own: where cuBLAS is missing, and for sums over many rows (the
 * gradients of weights), which cuBLAS would cut by the number of processors. */
#ifndef TKG_CUDA_GEMM_H
#define TKG_CUDA_GEMM_H

#include "launch.h"

/* out[m, n] = op(a) op(b), row-major, of `products` pairs of matrices. ta: a is [k, m] with rows of
 * lda, else [m, k]; so b. Part p of the sum covers k from cuts[p] to cuts[p + 1]; with more than
 * one part, `partial` has m n floats for each. */
typedef struct tkg_gemm {
  int64_t m, n, lda, ldb;
  bool ta, tb;
  int64_t products; /* of matrices that follow each other; of one part each */
  int parts;
  int64_t cuts[TKG_MOST_PARTS + 1];
  const float *a, *b;
  float *out, *partial;
  bool parts_alone; /* all parts, one as well, stay in `partial`, where others join them */
} tkg_gemm;

void tkg__gemm(const tkg_gemm *g, cudaStream_t stream);

/* out[i] = the sum of partial[p count + i] over p, in order. */
void tkg__add_parts(int64_t count, int parts, const float *partial, float *out,
                    cudaStream_t stream);

/* The same where the first of `parts` lies in `out`, and `partial` has the others. */
void tkg__add_to_first(int64_t count, int parts, const float *partial, float *out,
                       cudaStream_t stream);

#endif
