/* cuBLAS, opened at the first product, so that nothing needs it to be built or to start. */
#ifndef TKG_CUDA_CUBLAS_H
#define TKG_CUDA_CUBLAS_H

#include <stddef.h>
#include <stdint.h>

/* The functions that are used; a status of 0 is success. */
typedef struct tkg_cublas {
  int (*create)(void **handle);
  int (*destroy)(void *handle);
  int (*set_stream)(void *handle, void *stream);
  int (*set_workspace)(void *handle, void *workspace, size_t bytes);
  int (*set_atomics)(void *handle, int allowed);
  int (*set_math)(void *handle, int mode);
  const char *(*status_text)(int status);
  int (*sgemm)(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k, const float *alpha,
               const float *a, int64_t lda, const float *b, int64_t ldb, const float *beta,
               float *c, int64_t ldc);
  int (*sgemm_many)(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k,
                    const float *alpha, const float *a, int64_t lda, long long next_a,
                    const float *b, int64_t ldb, long long next_b, const float *beta, float *c,
                    int64_t ldc, long long next_c, int64_t count);
} tkg_cublas;

/* Fills the table, from TKG_CUBLAS in the environment (a library's path; "no": none is used), else
 * from where the toolkit, the loader or NVIDIA's Python package has it. False if there is none. */
bool tkg__cublas_open(tkg_cublas *functions);

#endif
