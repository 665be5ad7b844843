#include "checksum.h"

#include <string.h>
#include <zlib.h>

#include "error.h"

double tkg_crc32(double before, const void *data, int64_t n) {
  TKG__NEEDS(data || n <= 0, 0);
  enum { MOST = 1 << 30 }; /* zlib counts in unsigned int */
  uLong crc = (uLong)before;
  const Bytef *at = data;
  for (; n > 0; n -= MOST, at += MOST) crc = crc32(crc, at, (uInt)(n < MOST ? n : MOST));
  return (double)crc;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result depends on each bit
 * of x. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/* FNV-1a, mixed. */
uint64_t tkg_hash_text(const char *text, int64_t n) {
  TKG__NEEDS(text || n <= 0, 0);
  uint64_t hash = 0xCBF29CE484222325u;
  for (int64_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
  return mix(hash);
}

uint64_t tkg_checksum(const void *data, int64_t n) {
  TKG__NEEDS(data || n <= 0, 0);
  enum { LANES = 4 }; /* independent products, so that none waits for another */
  const unsigned char *at = data, *end = at + n;
  uint64_t lane[LANES] = {1, 2, 3, 4}, words[LANES];
  while (at < end) {
    size_t left = (size_t)(end - at), bytes = left < sizeof words ? left : sizeof words;
    if (bytes < sizeof words) memset(words, 0, sizeof words);
    memcpy(words, at, bytes);
    for (int k = 0; k < LANES; k++) lane[k] = (lane[k] ^ words[k]) * 0x9E3779B97F4A7C15u;
    at += bytes;
  }
  uint64_t sum = (uint64_t)n;
  for (int k = 0; k < LANES; k++) sum = mix(sum ^ lane[k]);
  return sum;
}

void tkg_hash_rows(int64_t n, int columns, const uint64_t *const *hashes, const int32_t *const *ids,
                   const float *values, uint64_t *sum) {
  TKG__NEEDS(sum && ((hashes && ids) || n <= 0 || columns <= 0));
  for (int64_t row = 0; row < n; row++) {
    uint64_t hash = (uint64_t)columns;
    for (int c = 0; c < columns; c++) hash = mix(hash + hashes[c][ids[c][row]]);
    if (values) {
      uint32_t bits;
      memcpy(&bits, &values[row], sizeof bits);
      hash = mix(hash + bits);
    }
    *sum += hash;
  }
}
