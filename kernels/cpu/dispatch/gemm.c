/* OpenBLAS takes a buffer of 128 MiB of address space for each product that runs beside others, at
 * the first time that so many run at once. Where it gets none, it asks again forever. So before
 * that happens the caller maps as much memory, which fails in an orderly way, and unmaps it. */
#define _GNU_SOURCE // MAP_ANONYMOUS; NOLINT(bugprone-reserved-identifier)
#include "gemm.h"

#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/error.h"
#include "narrow_gemm.h"

static const size_t BUFFER = ((size_t)128 << 20) + ((size_t)64 << 10);

static atomic_int running; /* products that run now */
static atomic_int buffers; /* the most that ever ran at once: the library has so many buffers */
static int asked_for; /* buffers found to be available that the library may not have taken yet */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

int tkg__no_gemm(void) {
  return tkg__fail(TKG_E_MEMORY,
                   "no memory for a matrix product: the BLAS library takes 128 MB for "
                   "each thread; fewer threads take less");
}

/* Defined where OpenBLAS is the CBLAS in use. Kernels split rows over threads themselves; threads
 * of OpenBLAS would compete, and the order of its sums would depend on their number. The call takes
 * a buffer, too. */
extern void openblas_set_num_threads(int threads) __attribute__((weak)); /* NOLINT: as cblas.h */
extern char *openblas_get_corename(void) __attribute__((weak));          /* NOLINT */

const char *tkg__gemm_core(void) { return openblas_get_corename ? openblas_get_corename() : NULL; }

static bool can_map(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  munmap(memory, bytes);
  return true;
}

/* Checks that there is memory for one more buffer, beside those that others are about to take. */
static int ask_for_buffer(void) {
  static bool is_told; /* to use one thread */
  pthread_mutex_lock(&asking);
  const bool available = can_map((size_t)(asked_for + (is_told ? 1 : 2)) * BUFFER);
  if (available && !is_told && openblas_set_num_threads) openblas_set_num_threads(1);
  if (available) {
    is_told = true;
    asked_for++;
    atomic_fetch_add(&buffers, 1);
  }
  pthread_mutex_unlock(&asking);
  return available ? TKG_OK : tkg__no_gemm();
}

static void has_buffer(void) {
  pthread_mutex_lock(&asking);
  asked_for--;
  pthread_mutex_unlock(&asking);
}

static void multiply(const tkg_gemm *g, const float *a, const float *b, float *out, int ldc) {
  cblas_sgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans, g->tb ? CblasTrans : CblasNoTrans,
              g->m, g->n, g->k, 1, a, g->lda, b, g->ldb, g->adds ? 1 : 0, out, ldc);
}

int tkg__gemm_columns(const tkg_gemm *g, const float *a, const float *b, float *out, int ldc) {
  if (tkg__is_narrow(g)) return tkg__narrow_gemm(g, a, b, out, ldc);
  const bool more = atomic_fetch_add(&running, 1) >= atomic_load(&buffers);
  int status = more ? ask_for_buffer() : TKG_OK;
  if (!status) multiply(g, a, b, out, ldc);
  if (more && !status) has_buffer();
  atomic_fetch_sub(&running, 1);
  return status;
}

int tkg__gemm(const tkg_gemm *g, const float *a, const float *b, float *out) {
  return tkg__gemm_columns(g, a, b, out, g->n);
}
