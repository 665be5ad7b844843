/* Products of matrices in tiles of 64 x 64, for a block of 256 threads: each computes 4 x 4 of a
 * tile, from pieces of 64 lines and 16 steps along k that the block copies to shared memory. */
#ifndef TKG_CUDA_GEMM_TILES_H
#define TKG_CUDA_GEMM_TILES_H

#include "launch.h"

enum { TILE = 64, DEPTH = 16, EACH = 4, PITCH = TILE + 4 };

/* The first row and column of a tile that a thread has. */
static __device__ __forceinline__ int tile_row(void) { return EACH * ((int)threadIdx.x / DEPTH); }
static __device__ __forceinline__ int tile_col(void) { return EACH * ((int)threadIdx.x % DEPTH); }

/* Copies the piece of 64 lines and 16 steps along k that begins at (line, step) of a matrix; beyond
 * its end are zeros. TURNED: the lines lie along a row of memory, else the steps do. */
template <bool TURNED>
static __device__ __forceinline__ void load_piece(const float *x, int64_t ld, int64_t line,
                                                  int64_t lines, int64_t step, int64_t end,
                                                  float (*piece)[PITCH]) {
  const int thread = (int)threadIdx.x;
  TKG_UNROLL
  for (int r = 0; r < TILE * DEPTH / TKG_THREADS; r++) {
    const int e = thread + r * TKG_THREADS;
    const int i = TURNED ? e % TILE : e / DEPTH, l = TURNED ? e / TILE : e % DEPTH;
    const int64_t at = line + i, k = step + l;
    piece[l][i] = at < lines && k < end ? x[TURNED ? k * ld + at : at * ld + k] : 0.0F;
  }
}

/* Adds the product of two pieces to a thread's 4 x 4. */
static __device__ __forceinline__ void multiply_pieces(const float (*left)[PITCH],
                                                       const float (*right)[PITCH], int row,
                                                       int col, float (*sum)[EACH]) {
  TKG_UNROLL_4
  for (int l = 0; l < DEPTH; l++) {
    float x[EACH], y[EACH];
    TKG_UNROLL
    for (int k = 0; k < EACH; k++) {
      x[k] = left[l][row + k];
      y[k] = right[l][col + k];
    }
    TKG_UNROLL
    for (int i = 0; i < EACH; i++) {
      TKG_UNROLL
      for (int j = 0; j < EACH; j++) sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
    }
  }
}

#endif
