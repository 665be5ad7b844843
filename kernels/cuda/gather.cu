/* Rows and elements by id:
 *
 *   gather  out[i] = x[ids[i]], rows
 *   take    out[b,j] = x[b, ids[b,j]], single elements
 *   lookup  out[b,j] = the value at (rows[b], ids[b,j]) of a sparse matrix, else f0
 *
 * Elements are 4 bytes of either type and only copied, or 2 bytes and decoded (shared/bf16.h): each
 * is read and written once. The rows of a
 * batch lie anywhere in a table, and only many loads at once hide that latency: one group of
 * threads per row, 16 bytes per thread. Take and lookup use one thread per output element. Gather
 * decodes rows of codes, a group of lanes per row. */
#include "codes.cuh"
#include "csr_rows.cuh"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "warp.cuh"

/* ---- gather ---- */

static __device__ __forceinline__ uint32_t element(uint32_t x) { return x; }
static __device__ __forceinline__ uint4 element(uint4 x) { return x; }
static __device__ __forceinline__ uint32_t element(uint16_t x) { return (uint32_t)x << 16; }

/* T is uint32_t or uint4, or uint16_t for halves; a row has `cols` of them. */
template <class T, class OUT>
static __global__ void gather_kernel(int64_t count, int64_t cols, int64_t rows, const T *x,
                                     const int32_t *ids, OUT *out, tkg_error_slot error) {
  for (int64_t i = tkg_first_row(); i < count; i += tkg_row_stride()) {
    const int32_t id = ids[i];
    if (!tkg_check_id(id, rows, i, error, threadIdx.x == 0)) continue;
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x)
      out[i * cols + j] = element(x[id * cols + j]);
  }
}

template <class T, class OUT>
static void gather_launch(const tkg_call *c, int64_t cols, tkg_error_slot error,
                          cudaStream_t stream) {
  const int64_t count = tkg__count(c->in[1]);
  tkg_launch(gather_kernel<T, OUT>, tkg_tile(count, cols), stream, count, cols, c->in[0]->shape[0],
             tkg_in<T>(c, 0), tkg_in<int32_t>(c, 1), tkg_out<OUT>(c), error);
}

/* Row i of the output is row ids[i] of the codes; `l` has their rows. */
template <int BITS>
static __global__ void gather_codes(int64_t count, packed_layout l, int width, codes_noise noise,
                                    const uint8_t *packed, const uint8_t *signs, const int32_t *ids,
                                    float *out, tkg_error_slot error) {
  const uint32_t *pairs = reinterpret_cast<const uint32_t *>(packed + l.pair_offset);
  const tkg_group g = tkg_group_of(width);
  for (int64_t i = g.row; i < count; i += g.stride) {
    const int64_t r = ids[i];
    if (!tkg_check_id(ids[i], l.rows, i, error, g.lane == 0)) continue;
    const tkg__codec_pair pair = tkg__codec_pair_of(pairs[r]);
    for (int64_t e = g.lane; e < l.vec8s; e += width) {
      float v[VEC8];
      decode_vec8<BITS>(l, packed, r, e, pair, noise, v);
      if (signs) restore_zeros(signs, r * l.cols + e * VEC8, columns_of(l, e), v);
      store_vec8(out + i * l.cols + e * VEC8, l.whole, columns_of(l, e), v);
    }
  }
}

template <int BITS>
static void gather_codes_launch(const tkg_call *c, tkg_error_slot error, cudaStream_t stream) {
  const int64_t count = tkg__count(c->in[1]);
  float *out = tkg_out<float>(c);
  const packed_layout l = layout_of(BITS, tkg__rows(c->in[0]), tkg__cols(c->in[0]), out);
  const int width = tkg_group_width(l.vec8s);
  tkg_launch(gather_codes<BITS>, tkg_groups(count, width), stream, count, l, width,
             codes_noise_of(c, c->in[0]), tkg_in<uint8_t>(c, 0), codes_signs(c, 0),
             tkg_in<int32_t>(c, 1), out, error);
}

static int gather_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = c->in[0]->shape[0], d = tkg__run_length(c->in[0], 1);
  const tkg_error_slot error = tkg__error_slot_ids(c, rows);
  if (d > 0 && c->in[0]->dtype == TKG_CODES)
    tkg_with_bits(c->in[0]->i[0],
                  [=](auto bits) { gather_codes_launch<bits()>(c, error, stream); });
  else if (d == 0)
    tkg__check_ids(tkg_in<int32_t>(c, 1), tkg__count(c->in[1]), rows, error, stream);
  else if (c->in[0]->dtype == TKG_BF16)
    gather_launch<uint16_t, uint32_t>(c, d, error, stream);
  else if (tkg_vec4_aligned(c->data[0], d) && tkg_vec4_aligned(c->out, d))
    gather_launch<uint4, uint4>(c, d / 4, error, stream);
  else
    gather_launch<uint32_t, uint32_t>(c, d, error, stream);
  return TKG_OK;
}

/* ---- take: x[b,r], ids[b,j] -> x[b, ids[b,j]] ---- */

static __global__ void take_kernel(int64_t count, int64_t j, int64_t r, const uint32_t *x,
                                   const int32_t *ids, uint32_t *out, tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride()) {
    const int32_t id = ids[i];
    if (tkg_check_id(id, r, i, error, true)) out[i] = x[i / j * r + id];
  }
}

static int take_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t r = tkg__cols(c->in[0]), j = tkg__cols(c->in[1]), count = tkg__count(c->in[1]);
  tkg_launch(take_kernel, tkg_flat(count), stream, count, j, r, tkg_in<uint32_t>(c, 0),
             tkg_in<int32_t>(c, 1), tkg_out<uint32_t>(c), tkg__error_slot_ids(c, r));
  return TKG_OK;
}

/* ---- lookup: the value at (rows[b], ids[b,j]) of a sparse matrix, else `none` ---- */

static __global__ void lookup_kernel(int64_t count, int64_t j, csr_table t, const int32_t *rows,
                                     const int32_t *ids, const float *values, float none,
                                     float *out) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride()) {
    const int64_t b = i / j;
    int64_t first, entries;
    if (!find_csr_row(t, rows[b], b, &first, &entries)) continue;
    const int64_t at = tkg__find_sorted(t.entries + first, entries, ids[i]);
    out[i] = at < 0 ? none : values[first + at];
  }
}

/* Of a result without columns: reports bad rows. */
static __global__ void lookup_rows_kernel(int64_t count, csr_table t, const int32_t *rows) {
  int64_t first, entries;
  for (int64_t b = tkg_first(); b < count; b += tkg_stride())
    find_csr_row(t, rows[b], b, &first, &entries);
}

static int lookup_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t count = tkg__count(c->node), j = tkg__cols(c->node), b = tkg__count(c->in[2]);
  const csr_table t = csr_table_of(c);
  if (j == 0)
    tkg_launch(lookup_rows_kernel, tkg_flat(b), stream, b, t, tkg_in<int32_t>(c, 2));
  else
    tkg_launch(lookup_kernel, tkg_flat(count), stream, count, j, t, tkg_in<int32_t>(c, 2),
               tkg_in<int32_t>(c, 3), tkg_in<float>(c, 4), (float)c->node->f[0], tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_gather[] = {
    {TKG_OP_GATHER, gather_run, NULL},
    {TKG_OP_TAKE, take_run, NULL},
    {TKG_OP_LOOKUP, lookup_run, NULL},
    {0, NULL, NULL},
};
