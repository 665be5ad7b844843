/* What this machine's memory and multipliers can do, for shares of it. */
#ifndef TKG_PEAKS_H
#define TKG_PEAKS_H

#include <stdint.h>

/* Multiply-adds of many independent chains, compiled per instruction set (peak.c): returns the
 * flops of `rounds` rounds; *sink keeps the compiler from leaving them out. */
typedef struct tkg__peak_kernel {
  double (*multiply_add)(int64_t rounds, float *sink);
} tkg__peak_kernel;

/* Bytes a second that copying moves, read and written, from memory to memory; flops a second of
 * multiply-adds; on so many threads. 0 where there is no memory to try it. */
void tkg__cpu_peaks(int threads, double *copy, double *flops);

#endif
