/* cuSPARSE's product of a sparse and a dense matrix, by plain loops. Checks that a matrix is
 * multiplied as it was looked at: the same sparsity, algorithm and buffer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cusparse.h"
#include "runtime.h"

struct csr {
  int64_t rows, cols, count;
  const int32_t *offsets, *ids;
  const float *values;
  void *buffer; /* that it was looked at with, or NULL */
  int algorithm;
  uint64_t sparsity;
};
struct dense {
  int64_t rows, cols;
  float *values;
};

static cudaStream_t products;
static const size_t WORDS_PER_ROW = 4;
enum { ALG1 = 4, ALG2 = 6, ALG3 = 12 };

static int create(void **out) {
  not_in_capture("cusparseCreate");
  *out = &products;
  return 0;
}
static int destroy(void *) { return 0; }
static int set_stream(void *, void *stream) {
  products = (cudaStream_t)stream;
  return 0;
}
static const char *status_text(int) { return "an error"; }

template <class T> static const T *view(const T *memory, int64_t count, const char *what) {
  if ((uintptr_t)memory % 16)
    check_fault("%s: %p is no multiple of 16", what, (const void *)memory);
  return (const T *)host_view(memory, (size_t)count * sizeof(T), what);
}

static int create_csr(void **out, int64_t rows, int64_t cols, int64_t count, void *offsets,
                      void *ids, void *values, int offsets_type, int ids_type, int base, int type) {
  if (offsets_type != 2 || ids_type != 2 || base != 0 || type != 0) return 3;
  csr *a =
      new csr{rows, cols, count, (int32_t *)offsets, (int32_t *)ids, (float *)values, NULL, 0, 0};
  view(a->offsets, rows + 1, "offsets of a sparse matrix");
  view(a->ids, count, "ids of a sparse matrix");
  view(a->values, count, "values of a sparse matrix");
  *out = a;
  return 0;
}
static int destroy_csr(const void *a) {
  finish_stream();
  delete (const csr *)a;
  return 0;
}
static int create_dense(void **out, int64_t rows, int64_t cols, int64_t leading, void *values,
                        int type, int order) {
  if (leading != cols || type != 0 || order != 2) return 3;
  *out = new dense{rows, cols, (float *)values};
  return 0;
}
static int destroy_dense(const void *matrix) {
  delete (const dense *)matrix;
  return 0;
}
static int set_values(void *matrix, void *values) {
  ((dense *)matrix)->values = (float *)values;
  return 0;
}

static bool fits(int op_a, int op_b, const csr *a, const dense *b, const dense *c) {
  return op_a == 0 && op_b == 0 && b->rows == a->cols && c->rows == a->rows && b->cols == c->cols;
}

/* TKG_CHECK_BUFFER: so many bytes more. */
static size_t bytes_of(const csr *a, int algorithm) {
  const char *more = getenv("TKG_CHECK_BUFFER");
  if (algorithm == ALG2) return 0;
  return (size_t)a->rows * WORDS_PER_ROW * sizeof(float) + (more ? strtoull(more, NULL, 10) : 0);
}

static int buffer_size(void *, int op_a, int op_b, const void *, const void *a, const void *b,
                       const void *, void *c, int type, int algorithm, size_t *bytes) {
  if (type != 0 || !fits(op_a, op_b, (const csr *)a, (const dense *)b, (const dense *)c)) return 3;
  if (algorithm != ALG1 && algorithm != ALG2 && algorithm != ALG3) return 10;
  *bytes = bytes_of((const csr *)a, algorithm);
  return 0;
}

static uint64_t sparsity_of(const csr *a) {
  const int32_t *offsets = view(a->offsets, a->rows + 1, "a sparse matrix");
  const int32_t *ids = view(a->ids, a->count, "a sparse matrix");
  uint64_t sum = 14695981039346656037ull; /* FNV-1a */
  for (int64_t i = 0; i <= a->rows; i++) sum = (sum ^ (uint32_t)offsets[i]) * 1099511628211ull;
  for (int64_t i = 0; i < a->count; i++) sum = (sum ^ (uint32_t)ids[i]) * 1099511628211ull;
  return sum;
}

static int preprocess(void *, int, int, const void *, const void *matrix, const void *,
                      const void *, void *, int, int algorithm, void *buffer) {
  csr *a = (csr *)matrix;
  not_in_capture("cusparseSpMM_preprocess");
  finish_stream();
  host_view(buffer, bytes_of(a, algorithm), "cuSPARSE's buffer");
  a->buffer = buffer;
  a->algorithm = algorithm;
  a->sparsity = sparsity_of(a);
  return 0;
}

/* The order of a row's terms differs among the algorithms. */
static void multiply_now(const csr *a, int algorithm, const float *x, float *out, int64_t cols) {
  const int32_t *offsets = view(a->offsets, a->rows + 1, "a sparse matrix");
  const int32_t *ids = view(a->ids, a->count, "a sparse matrix");
  const float *values = view(a->values, a->count, "a sparse matrix");
  for (int64_t i = 0; i < a->rows; i++)
    for (int64_t j = 0; j < cols; j++) {
      const int64_t first = offsets[i], count = offsets[i + 1] - first;
      float sum = 0;
      for (int64_t k = 0; k < count; k++) {
        const int64_t p = algorithm == ALG2 ? first + count - 1 - k : first + k;
        sum += values[p] * x[ids[p] * cols + j];
      }
      out[i * cols + j] = sum;
    }
}

static int multiply(void *, int op_a, int op_b, const void *alpha, const void *matrix,
                    const void *right, const void *beta, void *result, int, int algorithm,
                    void *buffer) {
  const csr *a = (const csr *)matrix;
  const dense *b = (const dense *)right, *c = (const dense *)result;
  if (!fits(op_a, op_b, a, b, c) || *(const float *)alpha != 1 || *(const float *)beta != 0)
    return 3;
  if (a->buffer != buffer || a->algorithm != algorithm)
    check_fault("a sparse product with another buffer or algorithm than was prepared");
  host_view(buffer, bytes_of(a, algorithm), "cuSPARSE's buffer");
  const float *x = view(b->values, b->rows * b->cols, "a sparse product");
  float *out = (float *)view(c->values, c->rows * c->cols, "a sparse product");
  const int64_t cols = b->cols;
  submit(products, "a sparse product", [=] {
    if (sparsity_of(a) != a->sparsity)
      check_fault("a graph changed after cuSPARSE had looked at it");
    multiply_now(a, algorithm, x, out, cols);
  });
  return 0;
}

bool tkg__cusparse_open(tkg_cusparse *f) {
  const char *asked = getenv("TKG_CUSPARSE");
  *f = {create,       destroy,       set_stream, status_text, create_csr, destroy_csr,
        create_dense, destroy_dense, set_values, buffer_size, preprocess, multiply};
  return !asked || strcmp(asked, "no") != 0;
}
