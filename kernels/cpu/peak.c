/* The multiply-adds that a core can do: chains enough to hide what each waits for the one before.
 */
#include "dispatch/peaks.h"
#include "isa.h"

#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

enum { CHAINS = 12, WIDTH = BYTES / 4 };

/* The one place where the compiler may fuse: the result is thrown away. */
#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

typedef float wide __attribute__((vector_size(BYTES)));

static double multiply_add(int64_t rounds, float *sink) {
  wide x[CHAINS], by = {0}, more = {0};
  by += 0.999F;
  more += *sink + 0.001F;
  for (int k = 0; k < CHAINS; k++) x[k] = more * (float)k;
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
    for (int k = 0; k < CHAINS; k++) x[k] = x[k] * by + more;
  for (int k = 0; k < CHAINS; k++) *sink += x[k][0];
  return 2.0 * CHAINS * WIDTH * (double)rounds;
}

const tkg__peak_kernel TKG_ISA_NAME(tkg__cpu_peak) = {multiply_add};
