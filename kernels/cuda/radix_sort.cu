#include "radix_sort.h"

#include "family.h"

#ifdef __CUDACC__

#include <cub/device/device_radix_sort.cuh>

int64_t tkg__radix_sort_bytes(int64_t count, int bits) {
  size_t bytes = 0;
  tkg__use_device();
  const uint32_t *in = NULL;
  uint32_t *out = NULL;
  const cudaError_t error =
      cub::DeviceRadixSort::SortPairs(NULL, bytes, in, out, in, out, count, 0, bits);
  return error ? 0 : (int64_t)bytes;
}

int tkg__radix_sort(void *scratch, int64_t scratch_bytes, const uint32_t *keys, uint32_t *keys_out,
                    const uint32_t *values, uint32_t *values_out, int64_t count, int bits,
                    cudaStream_t stream) {
  size_t bytes = (size_t)scratch_bytes;
  const cudaError_t error = cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, keys_out, values,
                                                            values_out, count, 0, bits, stream);
  return error ? tkg__fail(TKG_E_DEVICE, "sort: %s", cudaGetErrorString(error)) : (int)TKG_OK;
}

#else

#include <algorithm>

int64_t tkg__radix_sort_bytes(int64_t count, int) { return count * (int64_t)sizeof(uint32_t); }

static void sort_now(uint32_t *position, const uint32_t *keys, uint32_t *keys_out,
                     const uint32_t *values, uint32_t *values_out, int64_t count) {
  for (int64_t i = 0; i < count; i++) position[i] = (uint32_t)i;
  std::stable_sort(position, position + count,
                   [=](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
  for (int64_t i = 0; i < count; i++) {
    keys_out[i] = keys[position[i]];
    values_out[i] = values[position[i]];
  }
}

int tkg__radix_sort(void *scratch, int64_t, const uint32_t *keys, uint32_t *keys_out,
                    const uint32_t *values, uint32_t *values_out, int64_t count, int,
                    cudaStream_t) {
  uint32_t *position = static_cast<uint32_t *>(scratch);
  emu_queue([=] { sort_now(position, keys, keys_out, values, values_out, count); });
  return TKG_OK;
}

#endif
