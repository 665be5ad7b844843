/* Layout: CONCAT, NARROW, PAD, TRANSPOSE. Elements are 4 bytes of either type and only copied: each
 * is read and written once.
 *
 * Around dimension `dim` a tensor is [outer, run]: the elements of dimension dim and of all later
 * ones lie together in a run. Concatenating, narrowing and padding copy equal pieces from one place
 * of each run to another, or add them there; one row of threads takes a piece. TRANSPOSE goes
 * through squares in shared memory, so that both sides are accessed by rows. */
#include "family.h"
#include "launch.h"

/* ---- pieces of runs ---- */

/* Pieces are cut into parts of so many elements, so that a few long pieces occupy the device too.
 */
enum { PART = 256 };

template <class T> struct put {
  __device__ void operator()(T &to, const T &from) const { to = from; }
};
struct add {
  __device__ void operator()(float &to, float from) const { to += from; }
};

/* `pieces` times `length` elements, `from_run` and `to_run` apart; one row of threads per part. */
template <class T, class Write>
static __global__ void write_pieces(int64_t pieces, int64_t parts, int64_t length, const T *from,
                                    int64_t from_run, T *to, int64_t to_run, Write write) {
  for (int64_t p = tkg_first_row(); p < pieces * parts; p += tkg_row_stride()) {
    const int64_t i = parts == 1 ? p : p / parts, first = (p - i * parts) * PART;
    const int64_t end = length - first < PART ? length : first + PART;
    for (int64_t j = first + threadIdx.x; j < end; j += blockDim.x)
      write(to[i * to_run + j], from[i * from_run + j]);
  }
}

template <class T, class Write>
static void write_runs(int64_t pieces, int64_t length, const T *from, int64_t from_run, T *to,
                       int64_t to_run, Write write, cudaStream_t stream) {
  const int64_t parts = tkg_ceil(length, PART);
  tkg_launch(write_pieces<T, Write>, tkg_tile(pieces * parts, length), stream, pieces, parts,
             length, from, from_run, to, to_run, write);
}

static void copy_runs(int64_t pieces, int64_t length, const uint32_t *from, int64_t from_run,
                      uint32_t *to, int64_t to_run, cudaStream_t stream) {
  const bool four =
      length % 4 == 0 && tkg_vec4_aligned(from, from_run) && tkg_vec4_aligned(to, to_run);
  if (four)
    write_runs(pieces, length / 4, reinterpret_cast<const uint4 *>(from), from_run / 4,
               reinterpret_cast<uint4 *>(to), to_run / 4, put<uint4>(), stream);
  else
    write_runs(pieces, length, from, from_run, to, to_run, put<uint32_t>(), stream);
}

/* The number of runs of a tensor that has elements. */
static int64_t runs_of(const tkg_node *n, int64_t dim) {
  return tkg__count(n) / tkg__run_length(n, dim);
}

static int concat_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t dim = c->node->i[0], run = tkg__run_length(c->node, dim);
  uint32_t *to = tkg_out<uint32_t>(c);
  for (int k = 0; k < c->node->inputs; k++) {
    const int64_t part = tkg__run_length(c->in[k], dim);
    if (tkg__count(c->in[k]) > 0)
      copy_runs(runs_of(c->in[k], dim), part, tkg_in<uint32_t>(c, k), part, to, run, stream);
    to += part;
  }
  return TKG_OK;
}

static int narrow_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t dim = c->node->i[0];
  if (tkg__count(c->node) == 0) return TKG_OK;
  const int64_t run = tkg__run_length(c->node, dim);
  copy_runs(runs_of(c->node, dim), run, tkg_in<uint32_t>(c, 0) + tkg__skipped(c->node),
            tkg__run_length(c->in[0], dim), tkg_out<uint32_t>(c), run, stream);
  return TKG_OK;
}

static int pad_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t dim = c->node->i[0], n = tkg__count(c->node);
  const float *base = tkg_in<float>(c, 1);
  if (n == 0) return TKG_OK;
  if (!base)
    tkg_set_bytes(c->out, 0, n * (int64_t)sizeof(float), stream);
  else if (base != c->out)
    tkg_copy_bytes(c->out, base, n * (int64_t)sizeof(float), stream);
  if (tkg__count(c->in[0]) == 0) return TKG_OK;
  const int64_t part = tkg__run_length(c->in[0], dim), pieces = runs_of(c->in[0], dim);
  const int64_t run = tkg__run_length(c->node, dim), before = tkg__skipped(c->node);
  if (base)
    write_runs(pieces, part, tkg_in<float>(c, 0), part, tkg_out<float>(c) + before, run, add(),
               stream);
  else
    copy_runs(pieces, part, tkg_in<uint32_t>(c, 0), part, tkg_out<uint32_t>(c) + before, run,
              stream);
  return TKG_OK;
}

/* ---- transpose ---- */

enum { SQUARE = 32, SQUARE_ROWS = 8 };

/* One block per square. The odd row length of the square spreads a column over all banks of shared
 * memory. */
static __global__ void transpose_kernel(int64_t rows, int64_t cols, const uint32_t *x,
                                        uint32_t *out) {
  TKG_SHARED(uint32_t, square, [SQUARE][SQUARE + 1]);
  const int64_t across = (cols + SQUARE - 1) / SQUARE, down = (rows + SQUARE - 1) / SQUARE;
  for (int64_t s = blockIdx.x; s < across * down; s += gridDim.x) {
    const int64_t r0 = s / across * SQUARE, c0 = s % across * SQUARE;
    for (unsigned k = threadIdx.y; k < SQUARE; k += SQUARE_ROWS)
      if (r0 + k < rows && c0 + threadIdx.x < cols)
        square[k][threadIdx.x] = x[(r0 + k) * cols + c0 + threadIdx.x];
    __syncthreads();
    for (unsigned k = threadIdx.y; k < SQUARE; k += SQUARE_ROWS)
      if (c0 + k < cols && r0 + threadIdx.x < rows)
        out[(c0 + k) * rows + r0 + threadIdx.x] = square[threadIdx.x][k];
    __syncthreads();
  }
}

static int transpose_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->in[0]), cols = tkg__cols(c->in[0]);
  const int64_t squares = tkg_ceil(rows, SQUARE) * tkg_ceil(cols, SQUARE);
  tkg_launch(transpose_kernel, {dim3(tkg_blocks(squares)), dim3(SQUARE, SQUARE_ROWS), 0}, stream,
             rows, cols, tkg_in<uint32_t>(c, 0), tkg_out<uint32_t>(c));
  return TKG_OK;
}

/* ---- widen: numbers of 16 bits as floats ---- */

static __global__ void widen_kernel(int64_t n, const uint16_t *x, float *out) {
  for (int64_t i = tkg_first(); i < n; i += tkg_stride()) out[i] = tkg__bf16_value(x[i]);
}

static int widen_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  tkg_launch(widen_kernel, tkg_flat(n), stream, n, tkg_in<uint16_t>(c, 0) + c->node->i[0],
             tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_layout[] = {
    {TKG_OP_CONCAT, concat_run, NULL}, {TKG_OP_NARROW, narrow_run, NULL},
    {TKG_OP_PAD, pad_run, NULL},       {TKG_OP_TRANSPOSE, transpose_run, NULL},
    {TKG_OP_WIDEN, widen_run, NULL},   {0, NULL, NULL},
};
