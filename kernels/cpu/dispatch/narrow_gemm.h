/* Products of matrices with few columns, by kernels that libxsmm makes for their shape at run time.
 * A build without libxsmm (x86-64 alone has it) has these functions, and no product is narrow. */
#ifndef TKG_NARROW_GEMM_H
#define TKG_NARROW_GEMM_H

#include "gemm.h"

/* Whether tkg__narrow_gemm computes this product: by its shape, and by whether kernels can be made
 * on this machine at all. */
bool tkg__is_narrow(const tkg_gemm *g);

/* As tkg__gemm_columns, for a product that is narrow. TKG_E_MEMORY without memory for a kernel. */
int tkg__narrow_gemm(const tkg_gemm *g, const float *a, const float *b, float *out, int ldc);

/* The library and the instruction set that it makes kernels for, "libxsmm 1.17, hsw"; NULL where
 * it can make none. */
const char *tkg__narrow_kernels(void);

#endif
