/* Rows through the matrix of their kind (TransR's projections, RippleNet's relations):
 *
 *   GROUPED_MATMUL  out[i] = x[i] w[ids[i]]
 *   GROUPED_OUTER   out[r] = sum of x[i]^T y[i] over the rows with ids[i] = r
 *
 * Fetching one matrix per row would read as much as the product computes. Instead rows are sorted
 * by kind (argsort_ids.h). One block takes a chunk of neighbouring rows; the rows of one kind in it
 * meet that kind's matrix in shared memory. The host never knows how many rows a kind has, so
 * chunks have equal lengths, and a block finds the kinds in its chunk by binary search.
 *
 * In an outer product the rows of a kind may lie in several chunks. The first stores its sum in the
 * output, the others leave parts in scratch, which a second kernel adds in order: results repeat
 * bit for bit. */
#include "argsort_ids.h"
#include "family.h"
#include "launch.h"

/* A block has 16 x 16 threads. A thread computes several rows and columns of its result. */
enum { SIDE = 16, ROWS = 64, DEPTH = 32 };

typedef struct grouped {
  int64_t n, kinds, d, k;
  int64_t length, chunks; /* rows per chunk */
  const float *x, *y;     /* y: the matrices, or the other side of an outer product */
  tkg_sorted_keys keys;
  tkg_sorted_places places;
  float *out, *parts;
} grouped;

/* The position after the last row of the kind at `at`, at most `end`. */
static __device__ __forceinline__ int64_t kind_end(const tkg_sorted_keys &keys, int64_t at,
                                                   int64_t end) {
  const uint32_t key = keys[at];
  int64_t low = at + 1, high = end;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] == key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* ---- matmul: x[i] w[kind] ---- */

/* Multiplies rows first..last-1 of the chunk that begins at `base`, all of one kind. C: columns per
 * thread. The DEPTH elements of a row in shared memory are read four at a time; the lanes of a warp
 * read one or two rows, which are broadcast. */
template <int C, bool TRANSPOSED>
static __device__ void multiply(const grouped &s, int64_t base, int64_t first, int64_t last,
                                int64_t column, float4 (*left)[DEPTH / 4 + 1],
                                float (*right)[SIDE * C + 1]) {
  const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, thread = ty * SIDE + tx;
  const int64_t own = base + 4 * ty;
  const bool mine = own < last && own + 4 > first;
  const float *w = s.y + (int64_t)s.keys[first] * s.d * s.k;
  float sum[4][C] = {};
  for (int64_t depth = 0; depth < s.d; depth += DEPTH) {
    __syncthreads(); /* the tiles before are used up */
    for (int64_t i = first - base + thread / DEPTH; i < last - base; i += SIDE * SIDE / DEPTH) {
      const int64_t at = depth + thread % DEPTH;
      reinterpret_cast<float *>(left[i])[thread % DEPTH] =
          at < s.d ? s.x[s.places[base + i] * s.d + at] : 0.0F;
    }
    for (int i = thread; i < DEPTH * SIDE * C; i += SIDE * SIDE) {
      const int a = TRANSPOSED ? i % DEPTH : i / (SIDE * C);
      const int b = TRANSPOSED ? i / DEPTH : i % (SIDE * C);
      const int64_t in = depth + a, to = column + b;
      const bool inside = in < s.d && to < s.k;
      right[a][b] = inside ? w[TRANSPOSED ? to * s.d + in : in * s.k + to] : 0.0F;
    }
    __syncthreads();
    if (!mine) continue;
    TKG_UNROLL_4
    for (int q = 0; q < DEPTH / 4; q++) {
      float4 l[4];
      TKG_UNROLL
      for (int i = 0; i < 4; i++) l[i] = left[4 * ty + i][q];
      TKG_UNROLL
      for (int c = 0; c < C; c++) {
        const int to = tx + SIDE * c;
        const float r0 = right[4 * q][to], r1 = right[4 * q + 1][to];
        const float r2 = right[4 * q + 2][to], r3 = right[4 * q + 3][to];
        TKG_UNROLL
        for (int i = 0; i < 4; i++)
          sum[i][c] += (l[i].x * r0 + l[i].y * r1) + (l[i].z * r2 + l[i].w * r3);
      }
    }
  }
  TKG_UNROLL
  for (int i = 0; i < 4; i++) {
    if (own + i < first || own + i >= last) continue;
    TKG_UNROLL
    for (int c = 0; c < C; c++) {
      const int64_t to = column + tx + SIDE * c;
      if (to < s.k) s.out[s.places[own + i] * s.k + to] = sum[i][c];
    }
  }
}

template <int C, bool TRANSPOSED>
static __global__ void __launch_bounds__(TKG_THREADS, 2) matmul_kernel(grouped s) {
  typedef float line[SIDE * C + 1];
  TKG_SHARED(float4, left, [ROWS][DEPTH / 4 + 1]);
  TKG_SHARED(line, right, [DEPTH]);
  const int64_t column = (int64_t)blockIdx.y * SIDE * C;
  for (int64_t c = blockIdx.x; c < s.chunks; c += gridDim.x) {
    const int64_t base = c * ROWS, end = base + ROWS < s.n ? base + ROWS : s.n;
    for (int64_t first = base, last; first < end; first = last) {
      last = kind_end(s.keys, first, end);
      if (s.keys[first] < s.kinds)
        multiply<C, TRANSPOSED>(s, base, first, last, column, left, right);
    }
  }
}

/* ---- outer: the sum of x[i]^T g[i] by kind ---- */

/* Whether the run of equal keys at `first` began in an earlier chunk. */
static __device__ __forceinline__ bool goes_on(const grouped &s, int64_t first) {
  return first > 0 && first % s.length == 0 && s.keys[first - 1] == s.keys[first];
}

/* Sums over rows first..last-1 of a chunk; a thread has C x C elements. */
template <int C>
static __device__ void add_outer(const grouped &s, int64_t chunk, int64_t first, int64_t last,
                                 int64_t row, int64_t column, float (*left)[SIDE * C + 1],
                                 float (*right)[SIDE * C + 1]) {
  const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, thread = ty * SIDE + tx;
  const int own = thread % (SIDE * C); /* the column that it fetches */
  const bool has_left = row + own < s.d, has_right = column + own < s.k;
  float sum[C][C] = {};
  for (int64_t at = first; at < last; at += SIDE) {
    __syncthreads(); /* the tiles before are used up */
    for (int line = thread / (SIDE * C); line < SIDE; line += SIDE / C) {
      const bool exists = at + line < last;
      const int64_t place = exists ? s.places[at + line] : 0;
      left[line][own] = exists && has_left ? s.x[place * s.d + row + own] : 0.0F;
      right[line][own] = exists && has_right ? s.y[place * s.k + column + own] : 0.0F;
    }
    __syncthreads();
    TKG_UNROLL_4
    for (int q = 0; q < SIDE; q++) {
      float r[C];
      TKG_UNROLL
      for (int c = 0; c < C; c++) r[c] = right[q][tx + SIDE * c];
      TKG_UNROLL
      for (int i = 0; i < C; i++) {
        const float l = left[q][ty + SIDE * i];
        TKG_UNROLL
        for (int c = 0; c < C; c++) sum[i][c] += l * r[c];
      }
    }
  }
  float *to =
      goes_on(s, first) ? s.parts + chunk * s.d * s.k : s.out + (int64_t)s.keys[first] * s.d * s.k;
  TKG_UNROLL
  for (int i = 0; i < C; i++) {
    TKG_UNROLL
    for (int c = 0; c < C; c++) {
      const int64_t a = row + ty + SIDE * i, b = column + tx + SIDE * c;
      if (a < s.d && b < s.k) to[a * s.k + b] = sum[i][c];
    }
  }
}

/* blockIdx.y: a tile of the matrices. */
template <int C>
static __global__ void __launch_bounds__(TKG_THREADS, 2) outer_kernel(grouped s, int64_t across) {
  typedef float line[SIDE * C + 1];
  TKG_SHARED(line, left, [SIDE]);
  TKG_SHARED(line, right, [SIDE]);
  const int64_t row = blockIdx.y / across * SIDE * C, column = blockIdx.y % across * SIDE * C;
  for (int64_t c = blockIdx.x; c < s.chunks; c += gridDim.x) {
    const int64_t base = c * s.length, end = base + s.length < s.n ? base + s.length : s.n;
    for (int64_t first = base, last; first < end; first = last) {
      last = kind_end(s.keys, first, end);
      if (s.keys[first] < s.kinds) add_outer<C>(s, c, first, last, row, column, left, right);
    }
  }
}

enum { PARTS_AHEAD = 8 };

/* Adds the parts of the kind that begins in a chunk and goes on after it. One thread per element;
 * blockIdx.y takes TKG_THREADS of them. */
static __global__ void parts_kernel(grouped s) {
  const int64_t size = s.d * s.k, j = (int64_t)blockIdx.y * TKG_THREADS + threadIdx.x;
  for (int64_t c = blockIdx.x; c < s.chunks; c += gridDim.x) {
    const int64_t base = c * s.length, end = base + s.length;
    if (end >= s.n || !goes_on(s, end)) continue;
    const uint32_t key = s.keys[end];
    if (key >= s.kinds || (s.keys[base] == key && goes_on(s, base)) || j >= size) continue;
    float sum = s.out[key * size + j];
    for (int64_t p = c + 1; p < s.chunks && s.keys[p * s.length] == key; p += PARTS_AHEAD) {
      float part[PARTS_AHEAD];
      TKG_UNROLL
      for (int a = 0; a < PARTS_AHEAD; a++) {
        const bool own = p + a < s.chunks && s.keys[(p + a) * s.length] == key;
        part[a] = own ? s.parts[(p + a) * size + j] : 0.0F;
      }
      TKG_UNROLL
      for (int a = 0; a < PARTS_AHEAD; a++) sum += part[a];
    }
    s.out[key * size + j] = sum;
  }
}

/* ---- launchers ---- */

static const dim3 square(SIDE, SIDE);

template <int C> static void matmul_launch(const grouped &s, bool transposed, cudaStream_t stream) {
  const dim3 grid(tkg_blocks(s.chunks), (unsigned)tkg_ceil(s.k, SIDE * C));
  if (transposed)
    tkg_launch(matmul_kernel<C, true>, {grid, square, 0}, stream, s);
  else
    tkg_launch(matmul_kernel<C, false>, {grid, square, 0}, stream, s);
}

template <int C> static void outer_launch(const grouped &s, cudaStream_t stream) {
  const int64_t down = tkg_ceil(s.d, SIDE * C), across = tkg_ceil(s.k, SIDE * C);
  const unsigned blocks = tkg_blocks(s.chunks);
  tkg_launch(outer_kernel<C>, {dim3(blocks, (unsigned)(down * across)), square, 0}, stream, s,
             across);
  if (s.chunks > 1)
    tkg_launch(parts_kernel,
               {dim3(blocks, (unsigned)tkg_ceil(s.d * s.k, TKG_THREADS)), dim3(TKG_THREADS), 0},
               stream, s);
}

/* ---- entries ---- */

static int check_tiles(const tkg_call *c, int64_t tiles) {
  if (tiles <= TKG_MOST_GRID_Y) return TKG_OK;
  return tkg__fail(TKG_E_UNSUPPORTED, "%s: matrices of %" PRId64 " x %" PRId64 " are too large",
                   tkg__ops[c->node->op].name, tkg__cols(c->in[0]), tkg__cols(c->node));
}

static int matmul_run(const tkg_call *c, cudaStream_t stream) {
  grouped s = {};
  s.n = c->in[0]->shape[0];
  s.kinds = c->in[1]->shape[0];
  s.d = c->in[0]->shape[1];
  s.k = c->node->shape[1];
  s.chunks = tkg_ceil(s.n, ROWS);
  s.x = tkg_in<float>(c, 0);
  s.y = tkg_in<float>(c, 1);
  s.out = tkg_out<float>(c);
  const tkg_error_slot error = tkg__error_slot_ids(c, s.kinds);
  const tkg_argsort o = tkg__argsort_plan(s.n, s.kinds);
  if (s.n == 0) return TKG_OK;
  int status = check_tiles(c, tkg_ceil(s.k, SIDE));
  if (!status) status = tkg__argsort_ids(c, &o, tkg_in<int32_t>(c, 2), error, stream);
  if (status) return status;
  s.keys = tkg_argsort_keys(c, &o);
  s.places = tkg_argsort_places(c, &o);
  if (s.k <= SIDE)
    matmul_launch<1>(s, c->node->i[0], stream);
  else if (s.k <= 2 * SIDE)
    matmul_launch<2>(s, c->node->i[0], stream);
  else
    matmul_launch<4>(s, c->node->i[0], stream);
  return TKG_OK;
}

static int64_t matmul_scratch(const tkg_node *, const tkg_node *const *in) {
  return tkg__argsort_plan(in[0]->shape[0], in[1]->shape[0]).bytes;
}

/* Rows per chunk, so that parts, one matrix per chunk, stay in bounds. */
enum { LEAST_LENGTH = 64, MOST_CHUNKS = 4096, LEAST_MOST = 16, PART_BYTES = 8 << 20 };

static int64_t length_of(int64_t n, int64_t size) {
  const int64_t most = tkg_between(PART_BYTES / (4 * (size + 1)), LEAST_MOST, MOST_CHUNKS);
  return tkg_between(tkg_ceil(n, most), LEAST_LENGTH, INT64_MAX);
}

static int outer_run(const tkg_call *c, cudaStream_t stream) {
  grouped s = {};
  s.n = c->in[0]->shape[0];
  s.kinds = c->node->shape[0];
  s.d = c->node->shape[1];
  s.k = c->node->shape[2];
  s.length = length_of(s.n, s.d * s.k);
  s.chunks = tkg_ceil(s.n, s.length);
  s.x = tkg_in<float>(c, 0);
  s.y = tkg_in<float>(c, 1);
  s.out = tkg_out<float>(c);
  const tkg_error_slot error = tkg__error_slot_ids(c, s.kinds);
  const tkg_argsort o = tkg__argsort_plan(s.n, s.kinds);
  const int64_t count = tkg__count(c->node), wide = s.d > s.k ? s.d : s.k;
  tkg_set_bytes(c->out, 0, count * (int64_t)sizeof(float), stream);
  if (s.n == 0) return TKG_OK;
  int status = check_tiles(c, tkg_ceil(s.d, SIDE) * tkg_ceil(s.k, SIDE));
  if (!status) status = tkg__argsort_ids(c, &o, tkg_in<int32_t>(c, 2), error, stream);
  if (status || count == 0) return status;
  s.keys = tkg_argsort_keys(c, &o);
  s.places = tkg_argsort_places(c, &o);
  s.parts = reinterpret_cast<float *>(tkg_argsort_part(c, 0));
  if (wide <= SIDE)
    outer_launch<1>(s, stream);
  else if (wide <= 2 * SIDE)
    outer_launch<2>(s, stream);
  else
    outer_launch<4>(s, stream);
  return TKG_OK;
}

static int64_t outer_scratch(const tkg_node *node, const tkg_node *const *in) {
  const int64_t n = in[0]->shape[0], size = node->shape[1] * node->shape[2];
  const int64_t chunks = tkg_ceil(n, length_of(n, size));
  const int64_t sort = tkg__argsort_plan(n, node->shape[0]).bytes, parts = 4 * chunks * size;
  return parts > sort ? parts : sort; /* parts are written over what is sorted by then */
}

const tkg_cuda_op tkg__cuda_grouped[] = {
    {TKG_OP_GROUPED_MATMUL, matmul_run, matmul_scratch},
    {TKG_OP_GROUPED_OUTER, outer_run, outer_scratch},
    {0, NULL, NULL},
};
