/* MATMUL: out[m,n] = op(a) op(b), and BATCHED_MATMUL, which has many of them: sums over many rows,
 * the gradients of weights, by gemm.cu in parts whose places follow from the shape; others by
 * cuBLAS where it is, else by gemm.cu too. The emulation has a plain loop in cuBLAS's place, unless
 * TKG_CUBLAS=no.
 *
 * cuBLAS takes matrices by columns, where a row-major matrix is its transpose. out^T = op(b)^T
 * op(a)^T, so the operands change places and nothing is transposed. Sums are formed in float, and
 * in TF32 (10 bits of fraction) only if the run asks for it. Atomics are switched off, so that
 * results repeat bit for bit. */
#include "cublas.h"
#include "family.h"
#include "gemm.h"
#include "launch.h"
#include "pool.h"

typedef struct product {
  int64_t m, n, k, lda, ldb;
  bool ta, tb;
  int64_t count; /* of products, whose matrices follow each other */
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
  p.count = 1;
  return p;
}

/* Of the matrices in the last two dimensions. */
static product each_of(const tkg_call *c) {
  const int row = c->node->rank - 2, col = c->node->rank - 1;
  product p;
  p.ta = c->node->i[0] != 0;
  p.tb = c->node->i[1] != 0;
  p.lda = c->in[0]->shape[col];
  p.ldb = c->in[1]->shape[col];
  p.m = c->node->shape[row];
  p.n = c->node->shape[col];
  p.k = c->in[0]->shape[p.ta ? row : col];
  p.count = p.m ? tkg__rows(c->node) / p.m : 0;
  return p;
}

#ifdef __CUDACC__

/* cublas_api.h */
enum { CUBLAS_DEFAULT_MATH = 0, CUBLAS_TF32_TENSOR_OP_MATH = 3, CUBLAS_ATOMICS_NOT_ALLOWED = 0 };

static struct {
  tkg_cublas call;
  void *handle;
  bool looked_for, found;
  int tf32;
} cublas = {{}, NULL, false, false, -1};

/* As large as cuBLAS's own on a Hopper device, which it would allocate at its first use; a capture
 * forbids that. */
#define WORKSPACE ((int64_t)32 << 20)

static int failed(int status) {
  if (!status) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "matmul: cuBLAS: %s", cublas.call.status_text(status));
}

static bool has_library(void) {
  if (!cublas.looked_for) cublas.found = tkg__cublas_open(&cublas.call);
  cublas.looked_for = true;
  return cublas.found;
}

static int open_handle(cudaStream_t stream) {
  const tkg_cublas *f = &cublas.call;
  if (cublas.handle) return TKG_OK;
  void *workspace = tkg__pool_allocate(WORKSPACE);
  if (!workspace) return tkg__fail(TKG_E_MEMORY, "matmul: no memory for cuBLAS's workspace");
  int status = f->create(&cublas.handle);
  if (!status) status = f->set_stream(cublas.handle, stream);
  if (!status) status = f->set_workspace(cublas.handle, workspace, WORKSPACE);
  if (!status) status = f->set_atomics(cublas.handle, CUBLAS_ATOMICS_NOT_ALLOWED);
  if (!status) return TKG_OK;
  if (cublas.handle) f->destroy(cublas.handle); /* the next product tries again */
  cublas.handle = NULL;
  tkg__pool_release(workspace);
  return failed(status);
}

/* The default mode computes in float. */
static int set_precision(bool tf32) {
  if (cublas.tf32 == tf32) return TKG_OK;
  cublas.tf32 = tf32;
  return failed(
      cublas.call.set_math(cublas.handle, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH));
}

static int multiply(const product *p, const float *a, const float *b, float *out, bool tf32,
                    cudaStream_t stream) {
  const float one = 1, none = 0;
  int status = open_handle(stream);
  if (!status) status = set_precision(tf32);
  if (status) return status;
  if (p->count > 1)
    return failed(cublas.call.sgemm_many(cublas.handle, p->tb, p->ta, p->n, p->m, p->k, &one, b,
                                         p->ldb, p->k * p->n, a, p->lda, p->m * p->k, &none, out,
                                         p->n, p->m * p->n, p->count));
  return failed(cublas.call.sgemm(cublas.handle, p->tb, p->ta, p->n, p->m, p->k, &one, b, p->ldb, a,
                                  p->lda, &none, out, p->n));
}

#else

static bool has_library(void) {
  const char *asked = getenv("TKG_CUBLAS");
  return !asked || strcmp(asked, "no") != 0;
}

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
  emu_queue([=] {
    for (int64_t i = 0; i < q.count; i++)
      multiply_now(q, a + i * q.m * q.k, b + i * q.k * q.n, out + i * q.m * q.n);
  });
  return TKG_OK;
}

#endif

/* Of the sum over k: where tkg__row_parts cuts it, else one part. */
static tkg_gemm gemm_of(const tkg_call *c, const product *p) {
  tkg_gemm g = {};
  const int parts = tkg__row_parts(c->node, c->in);
  g.products = p->count;
  g.m = p->m;
  g.n = p->n;
  g.lda = p->lda;
  g.ldb = p->ldb;
  g.ta = p->ta;
  g.tb = p->tb;
  g.parts = parts > 1 ? parts : 1;
  const tkg_row_range range = tkg__row_range(c->in[0]);
  for (int k = 0; k <= g.parts; k++)
    g.cuts[k] = parts > 1 ? tkg__part_row(&range, parts, k) : k * p->k;
  g.a = tkg_in<float>(c, 0);
  g.b = tkg_in<float>(c, 1);
  g.out = tkg_out<float>(c);
  g.partial = static_cast<float *>(c->scratch);
  g.parts_alone = parts > 0 && c->in[0]->whole_rows > 0;
  return g;
}

static int64_t matmul_scratch(const tkg_node *node, const tkg_node *const *in) {
  const int parts = tkg__row_parts(node, in);
  const int all = parts > 0 ? tkg__parts_of(in[0]->whole_rows) : 0; /* of other ranks too */
  return parts + all > 1 ? (parts + all) * tkg__count(node) * (int64_t)sizeof(float) : 0;
}

/* Where cuBLAS would choose a kernel by the number of rows, of which each rank has some. */
static bool must_be_ours(const tkg_call *c) {
#ifdef __CUDACC__
  if (c->node->whole_rows > 0 && !c->context->tf32) return true;
#endif
  return tkg__row_parts(c->node, c->in) > 0;
}

static int run_product(const tkg_call *c, const product &p, cudaStream_t stream) {
  if (p.m == 0 || p.n == 0 || p.count == 0) return TKG_OK;
  if (p.k == 0) {
    tkg_set_bytes(c->out, 0, tkg__bytes(c->node), stream);
    return TKG_OK;
  }
  if (must_be_ours(c) || !has_library()) {
    const tkg_gemm g = gemm_of(c, &p);
    tkg__gemm(&g, stream);
    return TKG_OK;
  }
  if (!tkg__queues()) return TKG_OK;
  return multiply(&p, tkg_in<float>(c, 0), tkg_in<float>(c, 1), tkg_out<float>(c), c->context->tf32,
                  stream);
}

static int matmul_run(const tkg_call *c, cudaStream_t stream) {
  return run_product(c, product_of(c), stream);
}

static int batched_run(const tkg_call *c, cudaStream_t stream) {
  return run_product(c, each_of(c), stream);
}

const tkg_cuda_op tkg__cuda_matmul[] = {
    {TKG_OP_MATMUL, matmul_run, matmul_scratch},
    {TKG_OP_BATCHED_MATMUL, batched_run, NULL},
    {0, NULL, NULL},
};
