/* Products of matrices, row-major, by the CBLAS. */
#ifndef TKG_GEMM_H
#define TKG_GEMM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tkg_gemm {
  int m, n, k;
  bool ta, tb; /* a, b transposed */
  int lda, ldb;
  bool adds; /* to what is in `out`, else in its place */
} tkg_gemm;

/* out[m, n] = op(a) op(b) in one thread. TKG_E_MEMORY: the library would find no memory for its
 * buffers. */
int tkg__gemm(const tkg_gemm *g, const float *a, const float *b, float *out);

/* Fails like that, for who has heard of it from another thread. */
int tkg__no_gemm(void);

#endif
