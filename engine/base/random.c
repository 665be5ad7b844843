#include "random.h"

#include <math.h>

#include "error.h"
#include "shared/philox.h"
#include "tinykg.h"

void tkg_philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream, uint32_t out[4]) {
  TKG__NEEDS(out);
  tkg__philox_block(seed, block, step, stream, out);
}

void tkg_philox_raw(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  tkg_philox4x32(counter, key, out);
}

static int numbers_left(int64_t n, int64_t begin) { return n - begin < 4 ? (int)(n - begin) : 4; }

void tkg__fill_uniform(float *out, int64_t n, float lo, float hi, uint64_t seed, uint32_t step,
                       uint32_t stream, int64_t first) {
  for (int64_t i = 0; i < n; i += 4) {
    uint32_t words[4];
    tkg__philox_block(seed, (uint64_t)(first + i) / 4, step, stream, words);
    int count = numbers_left(n, i);
    for (int j = 0; j < count; j++) out[i + j] = lo + (hi - lo) * tkg__unit(words[j]);
  }
}

/* Makes two normal numbers of two words (Box and Muller); all 32 bits of the first are used, so
 * that the tails are right. */
static void normal_pair(const uint32_t words[2], double normal[2]) {
  const double pi = 3.14159265358979323846;
  double radius = sqrt(-2.0 * log(((double)words[0] + 1.0) * 0x1p-32));
  double angle = 2.0 * pi * ((double)words[1] * 0x1p-32);
  normal[0] = radius * cos(angle);
  normal[1] = radius * sin(angle);
}

void tkg__fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, uint32_t step,
                      uint32_t stream, int64_t first) {
  for (int64_t i = 0; i < n; i += 4) {
    uint32_t words[4];
    double normal[4];
    tkg__philox_block(seed, (uint64_t)(first + i) / 4, step, stream, words);
    normal_pair(words, normal);
    normal_pair(words + 2, normal + 2);
    int count = numbers_left(n, i);
    for (int j = 0; j < count; j++) out[i + j] = (float)((double)mean + (double)sd * normal[j]);
  }
}

void tkg__permutation(int32_t *out, int64_t n, uint64_t seed, uint32_t step, uint32_t stream) {
  enum { AHEAD = 64 }; /* places that are drawn, and asked for, before they are exchanged */
  int64_t place[AHEAD];
  uint32_t words[4];
  for (int64_t i = 0; i < n; i++) out[i] = (int32_t)i;
  for (int64_t first = 0; first < n; first += AHEAD) {
    int64_t count = n - first < AHEAD ? n - first : AHEAD;
    for (int64_t k = 0; k < count; k++) {
      uint64_t i = (uint64_t)(first + k);
      if (i % 2 == 0) tkg__philox_block(seed, i / 2, step, stream, words);
      const uint32_t *mine = words + 2 * (i % 2);
      place[k] = tkg__below64(mine[0], mine[1], (uint32_t)(i + 1));
      __builtin_prefetch(&out[place[k]], 1);
    }
    for (int64_t k = 0; k < count; k++) {
      int32_t swapped = out[first + k];
      out[first + k] = out[place[k]];
      out[place[k]] = swapped;
    }
  }
}
