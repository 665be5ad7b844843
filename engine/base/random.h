/* Arrays of random numbers, as functions of seed, step and stream. */
#ifndef TKG_RANDOM_H
#define TKG_RANDOM_H

#include <stdint.h>

/* One block of Philox (shared/philox.h), for tests. tkg_philox is in tinykg.h. */
void tkg_philox_raw(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Fills out[i] with uniform numbers in [lo, hi], from number first + i of the sequence, `first` a
 * multiple of 4. hi itself comes only by rounding. */
void tkg__fill_uniform(float *out, int64_t n, float lo, float hi, uint64_t seed, uint32_t step,
                       uint32_t stream, int64_t first);

/* Fills out[i] with normal numbers of that mean and standard deviation (Box and Muller 1958), at
 * most 6.7 deviations from the mean; `first` as above. The same bits on one machine always; the
 * last bit depends on its libm. */
void tkg__fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, uint32_t step,
                      uint32_t stream, int64_t first);

/* Fills out with a random permutation of 0..n-1 (Fisher and Yates). n <= 2^31. */
void tkg__permutation(int32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream);

#endif
