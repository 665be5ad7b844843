#include "radix_sort.h"

#include "family.h"

#ifdef __CUDACC__

#include <cub/device/device_radix_sort.cuh>

typedef cub::DoubleBuffer<uint32_t> buffers;

/* Both arrays of keys, and of places, take turns: no third is needed. */
static cudaError_t sort(void *scratch, size_t *bytes, const tkg_radix_sort *s, buffers *keys,
                        buffers *places, cudaStream_t stream) {
  if (!s->places)
    return cub::DeviceRadixSort::SortKeys(scratch, *bytes, *keys, s->count, s->bits[0], s->bits[1],
                                          stream);
  return cub::DeviceRadixSort::SortPairs(scratch, *bytes, *keys, *places, s->count, s->bits[0],
                                         s->bits[1], stream);
}

int64_t tkg__radix_sort_bytes(int64_t count, bool pairs, int begin, int end) {
  size_t bytes = 0;
  uint32_t any = 0; /* looked at by nothing */
  const tkg_radix_sort s = {count, {begin, end}, &any, &any, pairs ? &any : NULL, &any};
  buffers keys(s.keys, s.sorted_keys), places(s.places, s.sorted_places);
  tkg__use_device();
  return sort(NULL, &bytes, &s, &keys, &places, 0) ? 0 : (int64_t)bytes;
}

/* Where an even number of turns left the result in the first array, it is copied. */
static cudaError_t bring(const buffers &b, uint32_t *to, int64_t count, cudaStream_t stream) {
  const uint32_t *from = b.d_buffers[b.selector];
  if (from == to) return cudaSuccess;
  return cudaMemcpyAsync(to, from, (size_t)count * sizeof *to, cudaMemcpyDeviceToDevice, stream);
}

int tkg__radix_sort(void *scratch, int64_t scratch_bytes, const tkg_radix_sort *s, void *on) {
  cudaStream_t stream = static_cast<cudaStream_t>(on);
  size_t bytes = (size_t)scratch_bytes;
  buffers keys(s->keys, s->sorted_keys), places(s->places, s->sorted_places);
  cudaError_t error = sort(scratch, &bytes, s, &keys, &places, stream);
  if (!error) error = bring(keys, s->sorted_keys, s->count, stream);
  if (!error && s->places) error = bring(places, s->sorted_places, s->count, stream);
  return error ? tkg__fail(TKG_E_DEVICE, "sort: %s", cudaGetErrorString(error)) : (int)TKG_OK;
}

#else

#include <algorithm>

/* About what CUB takes: a histogram for each turn, and one for each piece of the keys. */
int64_t tkg__radix_sort_bytes(int64_t count, bool, int begin, int end) {
  enum { DIGIT = 8, PIECE = 4096 };
  const int64_t turns = (end - begin + DIGIT - 1) / DIGIT, pieces = (count + PIECE - 1) / PIECE;
  return (turns + pieces) * (int64_t)sizeof(uint32_t) << DIGIT;
}

static uint32_t digits(const tkg_radix_sort &s, uint32_t key) {
  const uint64_t above = (uint64_t)1 << s.bits[1];
  return (uint32_t)((key & (above - 1)) >> s.bits[0]);
}

static void sort_now(const tkg_radix_sort &s) {
  if (!s.places) {
    std::copy(s.keys, s.keys + s.count, s.sorted_keys);
    std::stable_sort(s.sorted_keys, s.sorted_keys + s.count,
                     [=](uint32_t a, uint32_t b) { return digits(s, a) < digits(s, b); });
    return;
  }
  std::copy(s.places, s.places + s.count, s.sorted_places);
  std::stable_sort(s.sorted_places, s.sorted_places + s.count, [=](uint32_t a, uint32_t b) {
    return digits(s, s.keys[a]) < digits(s, s.keys[b]);
  });
  for (int64_t i = 0; i < s.count; i++) s.sorted_keys[i] = s.keys[s.sorted_places[i]];
}

int tkg__radix_sort(void *, int64_t, const tkg_radix_sort *s, void *) {
  const tkg_radix_sort now = *s;
  emu_queue([=] { sort_now(now); });
  return TKG_OK;
}

#endif
