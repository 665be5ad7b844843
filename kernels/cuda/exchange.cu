/* Columns of ranks side by side. */
#include "exchange.h"

#include "launch.h"

/* One thread per unit of T of a row. Block r has `units` of them per row, for each rank. */
template <class T>
static __global__ void interleave_kernel(T *blocks, T *rows, int64_t count, int units, int ranks,
                                         bool joins) {
  const int64_t width = (int64_t)units * ranks;
  for (int64_t i = tkg_first(); i < count * width; i += tkg_stride()) {
    const int64_t row = i / width;
    const int at = (int)(i - row * width), rank = at / units;
    T *block = blocks + ((int64_t)rank * count + row) * units + (at - rank * units);
    if (joins)
      rows[i] = *block;
    else
      *block = rows[i];
  }
}

template <class T>
static void launch(void *blocks, void *rows, int64_t count, int64_t bytes, int ranks, bool joins,
                   cudaStream_t stream) {
  const int units = (int)(bytes / (int64_t)sizeof(T));
  tkg_launch(interleave_kernel<T>, tkg_flat(count * units * ranks), stream,
             static_cast<T *>(blocks), static_cast<T *>(rows), count, units, ranks, joins);
}

void tkg__interleave(void *blocks, void *rows, int64_t count, int64_t bytes, int ranks, bool joins,
                     cudaStream_t stream) {
  if (bytes % 16 == 0 && tkg_vec4_aligned(blocks, 0) && tkg_vec4_aligned(rows, 0))
    launch<uint4>(blocks, rows, count, bytes, ranks, joins, stream);
  else
    launch<uint32_t>(blocks, rows, count, bytes, ranks, joins, stream);
}
