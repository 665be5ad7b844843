/* Sums over a loop of several threads, with a race that has to be found, or, compiled with -DRIGHT,
 * as it should be: then no race may be seen. */
#include <stdio.h>

int main(void) {
  static double values[100000];
  double sum = 0;
#ifdef RIGHT
#pragma omp parallel for num_threads(4) reduction(+ : sum)
#else
#pragma omp parallel for num_threads(4)
#endif
  for (int i = 0; i < 100000; i++) {
    values[i] = i;
    sum += values[i];
  }
  return sum < 0 ? puts("never") : 0;
}
