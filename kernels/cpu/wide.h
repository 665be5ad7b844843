/* One vector register of floats, at any address, and the dot product of two rows.
 *
 * Compilers do not keep an array of partial sums in registers reliably; a vector type leaves them
 * no choice. Sums have sixteen lanes on every instruction set, folded in halves, so the bits do not
 * depend on the register's width. */
#ifndef TKG_CPU_WIDE_H
#define TKG_CPU_WIDE_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef float wide __attribute__((vector_size(4 * WIDTH)));
typedef float wide_loose __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef float wide_quad __attribute__((vector_size(16)));
typedef float wide_quad_loose __attribute__((vector_size(16), aligned(4), may_alias));

static inline wide wide_load(const float *p) { return *(const wide_loose *)p; }
static inline void wide_store(float *p, wide v) { *(wide_loose *)p = v; }

/* Sum of sixteen: halves are added until one is left. */
static inline float wide_fold(const float lane[16]) {
  const wide_quad_loose *q = (const wide_quad_loose *)lane;
  wide_quad s = (q[0] + q[2]) + (q[1] + q[3]);
  return (s[0] + s[2]) + (s[1] + s[3]);
}

/* Sum of a[i] b[i]. */
static inline float wide_dot(const float *a, const float *b, int64_t n) {
  enum { REGISTERS = 16 / WIDTH };
  wide s[REGISTERS] = {{0}};
  float lane[16];
  int64_t i = 0;
  if (n < 16) {
    float sum = 0;
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
  }
  for (; i + 16 <= n; i += 16)
    for (int r = 0; r < REGISTERS; r++)
      s[r] += wide_load(a + i + r * WIDTH) * wide_load(b + i + r * WIDTH);
  for (int r = 0; r < REGISTERS; r++) wide_store(lane + r * WIDTH, s[r]);
  for (int j = 0; i < n; i++, j++) lane[j] += a[i] * b[i];
  return wide_fold(lane);
}

#endif
