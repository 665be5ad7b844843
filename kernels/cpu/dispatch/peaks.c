/* The best of a few tries of some milliseconds each: a busy machine can only make them worse. */
#include "peaks.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"

TKG__DECLARE_TABLES(tkg__peak_kernel, tkg__cpu_peak);

enum { TRIES = 5, ROUNDS = 200000 };
static const size_t COPIED = (size_t)64 << 20; /* beyond the caches, with where it is copied to */

/* Each thread copies its part, as kernels split their rows. */
static double copy_seconds(int threads, char *to, const char *from) {
  const size_t part = COPIED / (size_t)threads;
  const double began = omp_get_wtime();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) memcpy(to + (size_t)t * part, from + (size_t)t * part, part);
  return omp_get_wtime() - began;
}

static double copy_rate(int threads) {
  char *from = malloc(COPIED), *to = malloc(COPIED);
  double best = 0;
  for (int i = 0; from && to && i < TRIES; i++) {
    if (i == 0) memset(from, 1, COPIED);
    const double rate = 2 * (double)COPIED / copy_seconds(threads, to, from);
    if (i > 0 && rate > best) best = rate; /* the first try brings the pages in */
  }
  free(from);
  free(to);
  return best;
}

static double flop_rate(int threads) {
  const tkg__peak_kernel *kernel = TKG__PICK(tkg__cpu_peak);
  double best = 0;
  for (int i = 0; i < TRIES; i++) {
    double flops = 0;
    const double began = omp_get_wtime();
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : flops)
    for (int t = 0; t < threads; t++) {
      float sink = 0;
      flops += kernel->multiply_add(ROUNDS, &sink) + (sink != sink ? 1 : 0);
    }
    const double rate = flops / (omp_get_wtime() - began);
    if (rate > best) best = rate;
  }
  return best;
}

void tkg__cpu_peaks(int threads, double *copy, double *flops) {
  *copy = copy_rate(threads);
  *flops = flop_rate(threads);
}
