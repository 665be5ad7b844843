/* libxsmm counts by columns, where a row-major matrix is its transpose: out^T = op(b)^T op(a)^T.
 *
 * It makes the kernel of a shape at its first use, in some 100 microseconds; it is kept, for all
 * threads. So that few are made, a product is cut, as its shape alone says: into panels of columns,
 * and along the rows of a (the rows of out, or the terms of the sum if a is transposed) into blocks
 * of ROWS, then one each of the halves of that which remain. Panels also keep b in the first cache,
 * and in as many registers as an AVX-512 kernel sums in. */
#define _GNU_SOURCE // MAP_ANONYMOUS; NOLINT(bugprone-reserved-identifier)
#include "narrow_gemm.h"

#include <stddef.h>

#include "base/error.h"

#ifdef TKG_XSMM
#include <libxsmm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
  PANEL = 64,    /* columns of out that a kernel computes */
  ROWS = 256,    /* rows of a that a kernel reads: tiles are multiples of it */
  SQUARE = 16,   /* columns of b that are transposed at a time */
  PLACES = 1024, /* for kernels that were made */
  TRIES = 8,     /* places where a kernel may be */
};

/* ---- kernels ---- */

/* out[m, n] = op(a)[m, k] b[k, n], or +=; columns of the whole matrices; the flags of libxsmm. */
typedef struct shape {
  int m, n, k, lda, ldb, ldc, flags, adds;
} shape;

/* Kernels by their shape: read without a lock, since a place is filled once, its kernel last. */
static struct place {
  shape of;
  _Atomic(libxsmm_smmfunction) kernel;
} places[PLACES];
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* libxsmm crashes where it gets no memory: this asks for as much before. */
static bool has_memory(size_t bytes) {
  void *memory = malloc(bytes);
  free(memory);
  return memory != NULL;
}

/* Whether so much new memory may become executable. Where it may not, libxsmm gives kernels that
 * crash: at a limit of addresses it takes memory for code from malloc, which may have some left. */
static bool can_execute(size_t bytes) {
  void *pages =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return false;
  const bool can = mprotect(pages, bytes, PROT_READ | PROT_EXEC) == 0;
  munmap(pages, bytes);
  return can;
}

static libxsmm_smmfunction make(const shape *s) {
  const float one = 1, beta = s->adds ? 1 : 0;
  if (!has_memory((size_t)1 << 20) || !can_execute((size_t)1 << 20)) return NULL;
  return libxsmm_smmdispatch(s->n, s->m, s->k, &s->ldb, &s->lda, &s->ldc, &one, &beta, &s->flags,
                             NULL);
}

static uint32_t hash_of(const shape *s) {
  const int *const number = &s->m;
  uint32_t hash = 0;
  for (size_t i = 0; i < sizeof *s / sizeof *number; i++) {
    hash = (hash ^ (uint32_t)number[i]) * 2654435761U;
    hash ^= hash >> 15;
  }
  return hash;
}

/* Returns the kernel of a shape if it was made. If not, `empty` is the place for it, NULL if all
 * where it may be are taken. */
static libxsmm_smmfunction find(const shape *s, struct place **empty) {
  const uint32_t hash = hash_of(s);
  *empty = NULL;
  for (uint32_t i = 0; i < TRIES; i++) {
    struct place *place = &places[(hash + i) % PLACES];
    const libxsmm_smmfunction kernel = atomic_load_explicit(&place->kernel, memory_order_acquire);
    if (!kernel) {
      *empty = place;
      return NULL;
    }
    if (!memcmp(&place->of, s, sizeof *s)) return kernel;
  }
  return NULL;
}

/* Finds or makes a kernel; NULL without memory for it. */
static libxsmm_smmfunction kernel_of(const shape *s) {
  struct place *empty;
  libxsmm_smmfunction kernel = find(s, &empty);
  if (kernel) return kernel;
  pthread_mutex_lock(&making);
  kernel = find(s, &empty); /* another thread may have made it */
  if (!kernel) {
    kernel = make(s);
    if (kernel && empty) {
      empty->of = *s;
      atomic_store_explicit(&empty->kernel, kernel, memory_order_release);
    }
  }
  pthread_mutex_unlock(&making);
  return kernel;
}

static char name[64]; /* empty where no kernel can be made */

static void try_one(void) {
  const shape some = {PANEL, PANEL, PANEL, PANEL, PANEL, PANEL, LIBXSMM_GEMM_FLAG_NONE, 0};
  if (!can_execute(4096) || !has_memory((size_t)32 << 20)) return;
  libxsmm_init();
  if (kernel_of(&some))
    snprintf(name, sizeof name, "libxsmm %s, %s", LIBXSMM_CONFIG_VERSION,
             libxsmm_get_target_arch());
}

const char *tkg__narrow_kernels(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, try_one);
  return *name ? name : NULL;
}

bool tkg__is_narrow(const tkg_gemm *g) {
  const int64_t across = g->ta ? g->m : g->k;
  return !(g->ta && g->tb) && g->k > 0 && across * g->n <= TKG_NARROW * TKG_NARROW &&
         tkg__narrow_kernels();
}

/* ---- products ---- */

/* Rows of `a` in the next block, of those that are left. */
static int block_rows(int left) {
  int rows = ROWS;
  while (rows > left) rows /= 2;
  return rows;
}

/* Computes what `rows` rows of a give. */
static int multiply_block(const tkg_gemm *g, int rows, const float *a, const float *b, int ldb,
                          float *out, int ldc, bool adds) {
  for (int j = 0; j < g->n; j += PANEL) {
    const int columns = g->n - j < PANEL ? g->n - j : PANEL;
    const shape s = {.m = g->ta ? g->m : rows,
                     .n = columns,
                     .k = g->ta ? rows : g->k,
                     .lda = g->lda,
                     .ldb = ldb,
                     .ldc = ldc,
                     .flags = g->ta ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE,
                     .adds = adds};
    const libxsmm_smmfunction f = kernel_of(&s);
    if (!f) return tkg__fail(TKG_E_MEMORY, "no memory for the kernel of a matrix product");
    f(b + j, a, out + j);
  }
  return TKG_OK;
}

static int multiply(const tkg_gemm *g, const float *a, const float *b, int ldb, float *out,
                    int ldc) {
  const int all = g->ta ? g->k : g->m;
  for (int first = 0, rows; first < all; first += rows) {
    rows = block_rows(all - first);
    const size_t at = (size_t)first;
    int status =
        multiply_block(g, rows, a + at * (size_t)g->lda, g->ta ? b + at * (size_t)ldb : b, ldb,
                       g->ta ? out : out + at * (size_t)ldc, ldc, g->adds || (g->ta && first));
    if (status) return status;
  }
  return TKG_OK;
}

/* to[k, n] = b^T for b[n, k]. */
static void transpose(const tkg_gemm *g, const float *b, float *to) {
  for (int first = 0; first < g->n; first += SQUARE) {
    const int last = first + SQUARE < g->n ? first + SQUARE : g->n;
    for (int l = 0; l < g->k; l++)
      for (int j = first; j < last; j++) to[l * g->n + j] = b[j * g->ldb + l];
  }
}

/* libxsmm has no kernels for a transposed b. */
int tkg__narrow_gemm(const tkg_gemm *g, const float *a, const float *b, float *out, int ldc) {
  float transposed[TKG_NARROW * TKG_NARROW];
  if (!g->tb) return multiply(g, a, b, g->ldb, out, ldc);
  transpose(g, b, transposed);
  return multiply(g, a, transposed, g->n, out, ldc);
}

#else

const char *tkg__narrow_kernels(void) { return NULL; }

bool tkg__is_narrow(const tkg_gemm *g) {
  (void)g;
  return false;
}

int tkg__narrow_gemm(const tkg_gemm *g, const float *a, const float *b,
                     float *out, // NOLINT(readability-non-const-parameter): written by the other
                     int ldc) {
  (void)g, (void)a, (void)b, (void)out, (void)ldc;
  return TKG_OK;
}

#endif
