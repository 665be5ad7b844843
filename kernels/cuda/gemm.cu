/* A block of threads computes a tile of the result (gemm.cuh). Each element is one sum in the order
 * of k, by fused multiply-add, or one per part; a second kernel adds parts in order. */
#include "gemm.h"

#include "gemm.cuh"

/* The column of tiles at n0 of one product, or of a part of it, that blocks take along x. */
template <bool TA, bool TB>
static __device__ __forceinline__ void multiply(const tkg_gemm &g, int part, int64_t n0,
                                                const float *a, const float *b, float *out,
                                                float (*left)[PITCH], float (*right)[PITCH]) {
  const int row = tile_row(), col = tile_col();
  const int64_t begin = g.cuts[part], end = g.cuts[part + 1];
  for (int64_t m0 = (int64_t)blockIdx.x * TILE; m0 < g.m; m0 += (int64_t)gridDim.x * TILE) {
    float sum[EACH][EACH] = {};
    for (int64_t k = begin; k < end; k += DEPTH) {
      __syncthreads();
      load_piece<TA>(a, g.lda, m0, g.m, k, end, left);
      load_piece<!TB>(b, g.ldb, n0, g.n, k, end, right);
      __syncthreads();
      multiply_pieces(left, right, row, col, sum);
    }
    TKG_UNROLL
    for (int i = 0; i < EACH; i++) {
      TKG_UNROLL
      for (int j = 0; j < EACH; j++)
        if (m0 + row + i < g.m && n0 + col + j < g.n)
          out[(m0 + row + i) * g.n + n0 + col + j] = sum[i][j];
    }
  }
}

/* Blocks along y take the columns of tiles, along z the parts, or the products. */
template <bool TA, bool TB>
static __global__ void __launch_bounds__(TKG_THREADS) gemm_kernel(tkg_gemm g) {
  TKG_SHARED(float, left, [DEPTH][PITCH]);
  TKG_SHARED(float, right, [DEPTH][PITCH]);
  const int64_t size = g.m * g.n, k = g.cuts[g.parts];
  for (int64_t n0 = (int64_t)blockIdx.y * TILE; n0 < g.n; n0 += (int64_t)gridDim.y * TILE) {
    const bool by_part = g.parts > 1 || g.parts_alone;
    if (by_part)
      multiply<TA, TB>(g, (int)blockIdx.z, n0, g.a, g.b, g.partial + blockIdx.z * size, left,
                       right);
    for (int64_t p = blockIdx.z; !by_part && p < g.products; p += gridDim.z)
      multiply<TA, TB>(g, 0, n0, g.a + p * g.m * k, g.b + p * k * g.n, g.out + p * size, left,
                       right);
  }
}

/* `first` may be `out`. */
static __global__ void add_parts_kernel(int64_t count, int others, const float *first,
                                        const float *partial, float *out) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride()) {
    float sum = first[i];
    for (int p = 0; p < others; p++) sum += partial[p * count + i];
    out[i] = sum;
  }
}

void tkg__add_parts(int64_t count, int parts, const float *partial, float *out,
                    cudaStream_t stream) {
  tkg_launch(add_parts_kernel, tkg_flat(count), stream, count, parts - 1, partial, partial + count,
             out);
}

void tkg__add_to_first(int64_t count, int parts, const float *partial, float *out,
                       cudaStream_t stream) {
  tkg_launch(add_parts_kernel, tkg_flat(count), stream, count, parts - 1, out, partial, out);
}

template <bool TA> static void launch(const tkg_gemm *g, tkg_shape shape, cudaStream_t stream) {
  if (g->tb)
    tkg_launch(gemm_kernel<TA, true>, shape, stream, *g);
  else
    tkg_launch(gemm_kernel<TA, false>, shape, stream, *g);
}

void tkg__gemm(const tkg_gemm *g, cudaStream_t stream) {
  const int64_t layers = g->parts > 1 ? g->parts : tkg_between(g->products, 1, TKG_MOST_GRID_Y);
  const int64_t columns = tkg_between(tkg_ceil(g->n, TILE), 0, TKG_MOST_GRID_Y);
  const tkg_shape shape = {
      dim3(tkg_blocks(tkg_ceil(g->m, TILE)), (unsigned)columns, (unsigned)layers),
      dim3(TKG_THREADS), 0};
  if (g->ta)
    launch<true>(g, shape, stream);
  else
    launch<false>(g, shape, stream);
  if (g->parts > 1 && !g->parts_alone)
    tkg__add_parts(g->m * g->n, g->parts, g->partial, g->out, stream);
}
