/* MATMUL: out[m,n] = op(a) op(b) by cuBLAS; on the emulation by a plain loop.
 *
 * cuBLAS takes matrices by columns, where a row-major matrix is its transpose. out^T = op(b)^T
 * op(a)^T, so the operands change places and nothing is transposed. Sums are formed in float, and
 * in TF32 (10 bits of fraction) only if the run asks for it. Atomics are switched off, so that
 * results repeat bit for bit. */
#include "family.h"
#include "launch.h"
#include "pool.h"

typedef struct product {
  int64_t m, n, k, lda, ldb;
  bool ta, tb;
} product;

static product product_of(const tkg_call *c) {
  const tkg_node *a = c->in[0], *b = c->in[1];
  product p;
  p.ta = c->node->i[0] != 0;
  p.tb = c->node->i[1] != 0;
  p.lda = tkg__cols(a);
  p.ldb = tkg__cols(b);
  p.m = p.ta ? tkg__cols(a) : tkg__rows(a);
  p.k = p.ta ? tkg__rows(a) : tkg__cols(a);
  p.n = p.tb ? tkg__rows(b) : tkg__cols(b);
  return p;
}

#ifdef __CUDACC__

#include <cublas_v2.h>

static cublasHandle_t handle;
static int tf32_now = -1;

/* As large as cuBLAS's own on a Hopper device, which it would allocate at its first use; a capture
 * forbids that. */
#define WORKSPACE ((int64_t)32 << 20)

static int failed(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "matmul: cuBLAS: %s", cublasGetStatusString(status));
}

static int open_library(cudaStream_t stream) {
  if (handle) return TKG_OK;
  void *workspace = tkg__pool_allocate(WORKSPACE);
  if (!workspace) return tkg__fail(TKG_E_MEMORY, "matmul: no memory for cuBLAS's workspace");
  cublasStatus_t status = cublasCreate(&handle);
  if (!status) status = cublasSetStream(handle, stream);
  if (!status) status = cublasSetWorkspace(handle, workspace, WORKSPACE);
  if (!status) status = cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED);
  if (!status) return TKG_OK;
  if (handle) cublasDestroy(handle); /* the next product tries again */
  handle = NULL;
  tkg__pool_release(workspace);
  return failed(status);
}

/* The default mode computes in float. */
static int set_precision(bool tf32) {
  if (tf32_now == tf32) return TKG_OK;
  tf32_now = tf32;
  return failed(cublasSetMathMode(handle, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH));
}

static int multiply(const product *p, const float *a, const float *b, float *out, bool tf32,
                    cudaStream_t stream) {
  const float one = 1, none = 0;
  int status = open_library(stream);
  if (!status) status = set_precision(tf32);
  if (status) return status;
  return failed(cublasSgemm_64(handle, p->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                               p->ta ? CUBLAS_OP_T : CUBLAS_OP_N, p->n, p->m, p->k, &one, b, p->ldb,
                               a, p->lda, &none, out, p->n));
}

#else

static void multiply_now(const product &p, const float *a, const float *b, float *out) {
  for (int64_t i = 0; i < p.m; i++) {
    float *row = out + i * p.n;
    for (int64_t j = 0; j < p.n; j++) row[j] = 0;
    for (int64_t l = 0; l < p.k; l++) {
      const float left = a[p.ta ? l * p.lda + i : i * p.lda + l];
      for (int64_t j = 0; j < p.n; j++) row[j] += left * b[p.tb ? j * p.ldb + l : l * p.ldb + j];
    }
  }
}

static int multiply(const product *p, const float *a, const float *b, float *out, bool,
                    cudaStream_t) {
  const product q = *p;
  emu_queue([=] { multiply_now(q, a, b, out); });
  return TKG_OK;
}

#endif

static int matmul_run(const tkg_call *c, cudaStream_t stream) {
  const product p = product_of(c);
  if (p.m == 0 || p.n == 0) return TKG_OK;
  if (p.k == 0) {
    cudaMemsetAsync(c->out, 0, (size_t)(p.m * p.n) * sizeof(float), stream);
    return TKG_OK;
  }
  return multiply(&p, tkg_in<float>(c, 0), tkg_in<float>(c, 1), tkg_out<float>(c), c->context->tf32,
                  stream);
}

const tkg_cuda_op tkg__cuda_matmul[] = {
    {TKG_OP_MATMUL, matmul_run, NULL},
    {0, NULL, NULL},
};
