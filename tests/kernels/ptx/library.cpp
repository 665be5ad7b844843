/* cuBLAS's products and CUB's sort, by plain loops. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "cuda/cublas.h"
#include "cuda/radix_sort.h"
#include "runtime.h"

static void *workspace;
static cudaStream_t products;

struct matrix { /* by columns, as cuBLAS has them */
  const float *at;
  int64_t leading;
  bool transposed;
  float get(int64_t i, int64_t j) const {
    return transposed ? at[i * leading + j] : at[j * leading + i];
  }
};

static const float *view_of(const float *memory, int64_t leading, int64_t columns) {
  return (const float *)host_view(memory, (size_t)(leading * columns) * sizeof(float), "a product");
}

static int create(void **out) {
  not_in_capture("cublasCreate");
  *out = &products;
  return 0;
}
static int destroy(void *) { return 0; }
static int set_stream(void *, void *stream) {
  if (workspace) check_fault("cublasSetStream after cublasSetWorkspace, which it undoes");
  products = (cudaStream_t)stream;
  return 0;
}
static int set_workspace(void *, void *memory, size_t bytes) {
  host_view(memory, bytes, "cublasSetWorkspace");
  workspace = memory;
  return 0;
}
static int set_atomics(void *, int) { return 0; }
static int set_math(void *, int) { return 0; }
static const char *status_text(int) { return "an error"; }

static int sgemm(void *, int ta, int tb, int64_t m, int64_t n, int64_t k, const float *alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, const float *beta,
                 float *c, int64_t ldc) {
  if (!workspace) check_fault("a product without a workspace allocates one");
  const matrix left = {view_of(a, lda, ta ? m : k), lda, ta != 0};
  const matrix right = {view_of(b, ldb, tb ? k : n), ldb, tb != 0};
  float *out = (float *)view_of(c, ldc, n);
  const float scale = *alpha, kept = *beta;
  submit(products, "a product", [=] {
    for (int64_t j = 0; j < n; j++)
      for (int64_t i = 0; i < m; i++) {
        float sum = 0;
        for (int64_t l = 0; l < k; l++) sum += left.get(i, l) * right.get(l, j);
        float *to = out + j * ldc + i;
        *to = scale * sum + (kept != 0 ? kept * *to : 0);
      }
  });
  return 0;
}

static int sgemm_many(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k,
                      const float *alpha, const float *a, int64_t lda, long long next_a,
                      const float *b, int64_t ldb, long long next_b, const float *beta, float *c,
                      int64_t ldc, long long next_c, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    sgemm(handle, ta, tb, m, n, k, alpha, a + i * next_a, lda, b + i * next_b, ldb, beta,
          c + i * next_c, ldc);
  return 0;
}

bool tkg__cublas_open(tkg_cublas *f) {
  const char *asked = getenv("TKG_CUBLAS");
  *f = {create,   destroy,     set_stream, set_workspace, set_atomics,
        set_math, status_text, sgemm,      sgemm_many};
  return !asked || strcmp(asked, "no") != 0;
}

/* ---- kernels/cuda/radix_sort.h ---- */

int64_t tkg__radix_sort_bytes(int64_t, bool, int, int) { return 1; }

int tkg__radix_sort(void *, int64_t, const tkg_radix_sort *s, void *on) {
  const size_t count = (size_t)s->count, bytes = count * sizeof(uint32_t);
  const int first = s->bits[0];
  const bool pairs = s->places != NULL;
  const uint32_t *k = (const uint32_t *)host_view(s->keys, bytes, "a sort");
  uint32_t *k_out = (uint32_t *)host_view(s->sorted_keys, bytes, "a sort");
  const uint32_t *v = pairs ? (const uint32_t *)host_view(s->places, bytes, "a sort") : NULL;
  uint32_t *v_out = pairs ? (uint32_t *)host_view(s->sorted_places, bytes, "a sort") : NULL;
  submit((cudaStream_t)on, "a sort", [=] {
    std::vector<uint32_t> order(count);
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    std::stable_sort(order.begin(), order.end(),
                     [=](uint32_t x, uint32_t y) { return k[x] >> first < k[y] >> first; });
    for (size_t i = 0; i < count; i++) {
      k_out[i] = k[order[i]];
      if (v) v_out[i] = v[order[i]];
    }
  });
  return 0;
}
