/* Sums in sixteen lanes that are folded in a fixed order: vector code, and the same bits on each
 * instruction set. Sums of a row stay in float; long ones add blocks in double. */
#ifndef TKG_CPU_LANES_H
#define TKG_CPU_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "shared/vmath.h"

enum { LANES = 16, LANES_BLOCK = 2048 };

/* Four floats: a register on every machine; in memory at any address of a float. */
typedef float lanes4 __attribute__((vector_size(16)));
typedef float lanes4_at __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t lanes4_mask __attribute__((vector_size(16)));

/* Terms i..i+3 of a dot product, or of a sum where b is NULL. */
TKG_INLINE lanes4 lanes_terms(const float *a, const float *b, int64_t i) {
  const lanes4 x = *(const lanes4_at *)(a + i);
  return b ? x * *(const lanes4_at *)(b + i) : x;
}

/* The sum of a[i] b[i], or of a[i] where b is NULL: lanes first, then the elements left over. */
TKG_INLINE float lanes_dot(const float *a, const float *b, int64_t n) {
  float left = 0;
  int64_t i = 0;
  if (n >= LANES) {
    lanes4 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (; i + LANES <= n; i += LANES) {
      s0 += lanes_terms(a, b, i);
      s1 += lanes_terms(a, b, i + 4);
      s2 += lanes_terms(a, b, i + 8);
      s3 += lanes_terms(a, b, i + 12);
    }
    const lanes4 s = (s0 + s2) + (s1 + s3);
    left = (s[0] + s[2]) + (s[1] + s[3]);
  }
  for (; i < n; i++) left += b ? a[i] * b[i] : a[i];
  return left;
}

TKG_INLINE double lanes_dot_long(const float *a, const float *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += LANES_BLOCK) {
    int64_t left = n - i < LANES_BLOCK ? n - i : LANES_BLOCK;
    sum += (double)lanes_dot(a + i, b ? b + i : NULL, left);
  }
  return sum;
}

TKG_INLINE lanes4 lanes_larger(lanes4 a, lanes4 b) {
  const lanes4_mask first = a > b;
  return (lanes4)(((lanes4_mask)a & first) | ((lanes4_mask)b & ~first));
}

/* The largest number of a row that has one; any number of it if one is NaN. The last eight elements
 * may be read twice. */
TKG_INLINE float lanes_max(const float *x, int64_t n) {
  float most = x[0];
  if (n < 8) {
    for (int64_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
  }
  lanes4 low = lanes_terms(x, NULL, 0), high = lanes_terms(x, NULL, 4);
  for (int64_t i = 8; i < n; i += 8) {
    const int64_t at = i + 8 <= n ? i : n - 8;
    low = lanes_larger(lanes_terms(x, NULL, at), low);
    high = lanes_larger(lanes_terms(x, NULL, at + 4), high);
  }
  low = lanes_larger(low, high);
  for (int j = 0; j < 4; j++) most = low[j] > most ? low[j] : most;
  return most;
}

#endif
