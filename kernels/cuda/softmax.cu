/* Softmax over the last dimension, its logarithm, and the gradients of both. A result may be
 * written over input 0.
 *
 * All four are one pattern. With a row a of input 0 and a row b of input 1:
 *
 *     a'  = prepare(a, largest a)       softmax's shift; the identity for gradients
 *     s   = sums over the row of terms(a', b)
 *     out = result(a', b, settle(s))
 *
 * So an op is those four functions, and how a row is read is written once. The naive kernel reads
 * the row for each of the three steps. Here a *short* row is read once and stays in registers: one
 * group of lanes takes it, each lane loads all its elements before it uses the first, and shuffles
 * add what the lanes found. Softmax over a node's neighbours has hundreds of thousands of rows of 4
 * to 16 numbers: a row of 8 is two lanes of 16 bytes each, and a warp reads 16 rows at a time
 * without a gap.
 *
 * A *long* row (logits over a catalogue of items) does not fit: one block takes it and reads it
 * once per step, the second time from L2. An element is always read and written by the same lane,
 * so that `out` may be `a`. Sums have a fixed order: results repeat bit for bit. */
#include "family.h"
#include "launch.h"
#include "softmax.cuh"

enum { SHORT = 1024, LONG_THREADS = 512 }; /* elements of the longest short row */

/* ---- short rows: one group of lanes per row ---- */

template <class OP, int V, int N>
static __global__ void __launch_bounds__(TKG_THREADS)
    short_rows(int64_t rows, int units, int width, const float *a, const float *b, float *out) {
  softmax_rows<OP, V, N>(tkg_in_grid(), rows, units, width, a, b, out);
}

/* ---- long rows: one block per row ---- */

/* Visits the tiles of a row in order. Sums within a tile are floats, sums of tiles doubles. */
template <class OP, int V, int N> struct long_row {
  int64_t units;
  const float *a, *b;
  float *out;

  /* Lanes of the tile that begins at unit `first`. */
  __device__ __forceinline__ tile_lanes lanes_at(int64_t first) const {
    const int64_t rest = units - first;
    const int whole = N * LONG_THREADS;
    return {(int)threadIdx.x, LONG_THREADS, rest < whole ? (int)rest : whole};
  }

  __device__ __forceinline__ tile<OP, V, N> load(int64_t first, float most) const {
    tile<OP, V, N> t = {};
    t.load(a + first * V, OP::INPUTS == 2 ? b + first * V : b, lanes_at(first));
    if (OP::SHIFTS) t.prepare(most);
    return t;
  }

  __device__ __forceinline__ float most(void) const {
    float m = -INFINITY;
    for (int64_t u = 0; u < units; u += N * LONG_THREADS) {
      tile<OP, V, N> t = {};
      t.load(a + u * V, b, lanes_at(u));
      m = t.most(m, lanes_at(u));
    }
    return tkg_block_max(m);
  }

  __device__ __forceinline__ float total(float most) const {
    double sum = 0;
    for (int64_t u = 0; u < units; u += N * LONG_THREADS) {
      float part = 0;
      load(u, most).add(part, lanes_at(u));
      sum += (double)part;
    }
    return (float)tkg_block_sum(sum);
  }

  __device__ __forceinline__ void write(float most, float s) const {
    for (int64_t u = 0; u < units; u += N * LONG_THREADS)
      load(u, most).store(out + u * V, s, lanes_at(u));
  }
};

template <class OP, int V, int N>
static __global__ void __launch_bounds__(LONG_THREADS)
    /* NOLINTNEXTLINE(readability-non-const-parameter): a template writes to it */
    long_rows(int64_t rows, int64_t units, const float *a, const float *b, float *out) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int64_t at = r * units * V;
    const long_row<OP, V, N> row = {units, a + at, OP::INPUTS == 2 ? b + at : b, out + at};
    const float most = OP::SHIFTS ? row.most() : 0.0F;
    float s = row.total(most);
    OP::settle(s);
    row.write(most, s);
  }
}

/* ---- launchers ---- */

/* As many lanes per row as hold it in N units each. */
template <class OP, int V, int N>
static void launch_short(const tkg_call *c, int64_t rows, int64_t cols, cudaStream_t stream) {
  const int64_t units = cols / V;
  const int width = tkg_group_width(tkg_ceil(units, N));
  tkg_launch(short_rows<OP, V, N>, tkg_groups(rows, width), stream, rows, (int)units, width,
             tkg_in<float>(c, 0), tkg_in<float>(c, 1), tkg_out<float>(c));
}

template <class OP, int V, int N>
static void launch_long(const tkg_call *c, int64_t rows, int64_t cols, cudaStream_t stream) {
  tkg_launch(long_rows<OP, V, N>, {dim3(tkg_blocks(rows)), dim3(LONG_THREADS), 0}, stream, rows,
             cols / V, tkg_in<float>(c, 0), tkg_in<float>(c, 1), tkg_out<float>(c));
}

/* ---- entries ---- */

/* Accesses of 16 bytes. Few units per lane take few registers, many save shuffles. */
template <class OP>
static void run_by_four(const tkg_call *c, int64_t rows, int64_t cols, cudaStream_t stream) {
  if (cols <= 32)
    launch_short<OP, 4, 1>(c, rows, cols, stream);
  else if (cols <= 256)
    launch_short<OP, 4, 2>(c, rows, cols, stream);
  else if (cols <= SHORT)
    launch_short<OP, 4, 8>(c, rows, cols, stream);
  else
    launch_long<OP, 4, 4>(c, rows, cols, stream);
}

/* Rows that are not aligned: several single accesses per lane make up for their size. With more
 * than eight some devices run out of registers, so shorter rows count as long. */
template <class OP>
static void run_by_one(const tkg_call *c, int64_t rows, int64_t cols, cudaStream_t stream) {
  if (cols <= 4 * TKG_WARP)
    launch_short<OP, 1, 4>(c, rows, cols, stream);
  else if (cols <= 8 * TKG_WARP)
    launch_short<OP, 1, 8>(c, rows, cols, stream);
  else
    launch_long<OP, 1, 4>(c, rows, cols, stream);
}

template <class OP> static int softmax_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->node), cols = tkg__cols(c->node);
  bool four = tkg_vec4_aligned(c->data[0], cols) && tkg_vec4_aligned(c->out, cols);
  if (OP::INPUTS == 2) four = four && tkg_vec4_aligned(c->data[1], cols);
  if (rows == 0 || cols == 0) return TKG_OK;
  if (four)
    run_by_four<OP>(c, rows, cols, stream);
  else
    run_by_one<OP>(c, rows, cols, stream);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_softmax[] = {
    {TKG_OP_SOFTMAX, softmax_run<softmax_op>, NULL},
    {TKG_OP_SOFTMAX_GRAD, softmax_run<softmax_grad_op>, NULL},
    {TKG_OP_LOG_SOFTMAX, softmax_run<log_softmax_op>, NULL},
    {TKG_OP_LOG_SOFTMAX_GRAD, softmax_run<log_softmax_grad_op>, NULL},
    {0, NULL, NULL},
};
