/* Products of matrices, row-major: narrow ones as narrow_gemm.h says, others by the CBLAS. */
#ifndef TKG_GEMM_H
#define TKG_GEMM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tkg_gemm {
  int m, n, k;
  bool ta, tb; /* a, b transposed */
  int lda, ldb;
  bool adds; /* adds to `out` instead of overwriting it */
} tkg_gemm;

/* Narrow kernels make a product [rows, c] x [c, n], or [c, rows] x [rows, n], if c n is at most the
 * square of this. Rows do not matter: they are dealt to ranks. */
enum { TKG_NARROW = 128 };

/* Computes out[m, n] = op(a) op(b) in one thread. TKG_E_MEMORY if the library would find no memory
 * for its buffers. */
int tkg__gemm(const tkg_gemm *g, const float *a, const float *b, float *out);

/* The same into some columns of a matrix that has `ldc`. */
int tkg__gemm_columns(const tkg_gemm *g, const float *a, const float *b, float *out, int ldc);

/* Returns that status with its message, for a caller whose other thread failed. */
int tkg__no_gemm(void);

/* The processor for which OpenBLAS has kernels in use, "Haswell"; NULL with another CBLAS. */
const char *tkg__gemm_core(void);

#endif
