/* The k largest numbers of each row, in the order of shared/ranks.h: their places, or a mask of
 * them. A block takes a row. It finds the k-th word a byte at a time from the top, by counting in
 * shared memory, so a row is read a few times whatever k is; then it collects the words that reach
 * it, in any order, and sorts them by a bitonic network: no two are equal, so the order is the
 * same each time. */
#include "family.h"
#include "launch.h"

enum { DIGITS = 256, MOST_THREADS = 1024 };

/* Returns a word that those of the k first numbers reach and no other, in every thread; 1 <= k <=
 * n. */
static __device__ uint64_t least_word(const float *x, int64_t n, int64_t k) {
  TKG_SHARED(unsigned, count, [DIGITS]);
  TKG_SHARED(int64_t, left, [2]); /* digit; how many of the words with it are wanted, of all: 0 */
  uint64_t known = 0, mask = 0;
  for (int shift = 56;; shift -= 8) {
    __syncthreads();
    for (int d = (int)threadIdx.x; d < DIGITS; d += (int)blockDim.x) count[d] = 0;
    __syncthreads();
    for (int64_t j = threadIdx.x; j < n; j += blockDim.x) {
      const uint64_t word = tkg__rank_word(x[j], j);
      if ((word & mask) == known) atomicAdd(&count[word >> shift & (DIGITS - 1)], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = DIGITS - 1;
      for (; count[digit] < k; digit--) k -= count[digit];
      left[0] = digit;
      left[1] = count[digit] == k ? 0 : k;
    }
    __syncthreads();
    known |= (uint64_t)left[0] << shift;
    mask |= (uint64_t)(DIGITS - 1) << shift;
    k = left[1];
    if (k == 0) return known;
  }
}

/* Sorts a power of two of words, the largest first. */
static __device__ void sort_words(uint64_t *words, int64_t power) {
  for (int64_t size = 2; size <= power; size *= 2)
    for (int64_t step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int64_t q = threadIdx.x; q < power / 2; q += blockDim.x) {
        const int64_t a = 2 * q - (q & (step - 1)), b = a + step;
        const uint64_t first = words[a], second = words[b];
        if ((first < second) == ((a & size) == 0)) words[a] = second, words[b] = first;
      }
    }
  __syncthreads();
}

/* `words`: `power` of them per row, k or more. */
static __global__ void __launch_bounds__(MOST_THREADS)
    places_kernel(int64_t rows, int64_t cols, int64_t k, int64_t power, const float *x,
                  uint64_t *words, int32_t *places) {
  TKG_SHARED(int, found, [1]);
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const float *row = x + r * cols;
    uint64_t *mine = words + r * power;
    const uint64_t least = least_word(row, cols, k);
    if (threadIdx.x == 0) found[0] = 0;
    for (int64_t j = k + threadIdx.x; j < power; j += blockDim.x) mine[j] = 0;
    __syncthreads();
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x) {
      const uint64_t word = tkg__rank_word(row[j], j);
      if (word >= least) mine[atomicAdd(&found[0], 1)] = word;
    }
    sort_words(mine, power);
    for (int64_t j = threadIdx.x; j < k; j += blockDim.x)
      places[r * k + j] = tkg__rank_place(mine[j]);
  }
}

static __global__ void __launch_bounds__(MOST_THREADS)
    mask_kernel(int64_t rows, int64_t cols, int64_t k, const float *x, float *out) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const float *row = x + r * cols;
    const uint64_t least = least_word(row, cols, k);
    for (int64_t j = threadIdx.x; j < cols; j += blockDim.x)
      out[r * cols + j] = tkg__rank_word(row[j], j) >= least ? 1.0F : 0.0F;
  }
}

/* ---- launchers and entries ---- */

static int64_t power_of(int64_t k) {
  int64_t power = 1;
  while (power < k) power *= 2;
  return power;
}

static tkg_shape block_per_row(const tkg_node *x) {
  const int64_t rows = tkg__rows(x);
  const int threads = tkg__cols(x) > 4096 ? (int)MOST_THREADS : (int)TKG_THREADS;
  return {dim3(tkg_blocks(rows)), dim3((unsigned)threads), 0};
}

static int64_t places_scratch(const tkg_node *node, const tkg_node *const *in) {
  return tkg__rows(in[0]) * power_of(node->i[0]) * (int64_t)sizeof(uint64_t);
}

static int places(const tkg_call *c, cudaStream_t stream) {
  const int64_t k = c->node->i[0];
  tkg_launch(places_kernel, block_per_row(c->in[0]), stream, tkg__rows(c->in[0]),
             tkg__cols(c->in[0]), k, power_of(k), tkg_in<float>(c, 0),
             static_cast<uint64_t *>(c->scratch), tkg_out<int32_t>(c));
  return TKG_OK;
}

static int mask(const tkg_call *c, cudaStream_t stream) {
  tkg_launch(mask_kernel, block_per_row(c->in[0]), stream, tkg__rows(c->in[0]), tkg__cols(c->in[0]),
             c->node->i[0], tkg_in<float>(c, 0), tkg_out<float>(c));
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_top_k[] = {
    {TKG_OP_TOP_K, places, places_scratch},
    {TKG_OP_TOP_K_MASK, mask, NULL},
    {0, NULL, NULL},
};
