/* cuSPARSE's product of a sparse and a dense matrix, opened when the first one may be needed. */
#ifndef TKG_CUDA_CUSPARSE_H
#define TKG_CUDA_CUSPARSE_H

#include <stddef.h>
#include <stdint.h>

/* The functions that are used; a status of 0 is success. The last three are SpMM's: both matrices
 * as they are, op 0; C = alpha A B + beta C in floats, type 0. */
typedef struct tkg_cusparse {
  int (*create)(void **handle);
  int (*destroy)(void *handle);
  int (*set_stream)(void *handle, void *stream);
  const char *(*status_text)(int status);
  int (*create_csr)(void **matrix, int64_t rows, int64_t cols, int64_t count, void *offsets,
                    void *ids, void *values, int offsets_type, int ids_type, int base, int type);
  int (*destroy_csr)(const void *matrix);
  int (*create_dense)(void **matrix, int64_t rows, int64_t cols, int64_t leading, void *values,
                      int type, int order);
  int (*destroy_dense)(const void *matrix);
  int (*set_values)(void *dense, void *values);
  int (*buffer_size)(void *handle, int op_a, int op_b, const void *alpha, const void *a,
                     const void *b, const void *beta, void *c, int type, int algorithm,
                     size_t *bytes);
  int (*preprocess)(void *handle, int op_a, int op_b, const void *alpha, const void *a,
                    const void *b, const void *beta, void *c, int type, int algorithm,
                    void *buffer);
  int (*multiply)(void *handle, int op_a, int op_b, const void *alpha, const void *a, const void *b,
                  const void *beta, void *c, int type, int algorithm, void *buffer);
} tkg_cusparse;

/* Fills the table, from TKG_CUSPARSE in the environment (a library's path; "no": none is used),
 * else from where the toolkit, the loader or NVIDIA's Python package has it. False if there is
 * none, or one without these functions (before CUDA 11.2). */
bool tkg__cusparse_open(tkg_cusparse *functions);

#endif
