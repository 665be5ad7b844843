/* Adding rows into a table by id: SCATTER_ADD, out[ids[p]] += g[p], and NEIGHBOR_SCATTER,
 * out[ids[i,k]] += w[i,k] g[i]. TAKE_GRAD adds elements within each row.
 *
 * Float atomics would be the short way, but sums would then depend on timing. Instead ids are
 * sorted together with their positions (argsort_ids.h), so that the rows of one destination follow
 * each other, in order of position. The sorted list is cut into chunks of equal length, one group
 * of threads per chunk, short ones while they do not fill the device: a hub that 60,000 rows are
 * added to is the work of a thousand groups.
 *
 *   sorted ids   3 3 3 5 | 5 5 5 5 | 5 7 7 9
 *   chunk 0 adds 3 to its row, and leaves its part of 5 (the beginning of its run) in `parts`
 *   chunk 1 leaves its part of 5 as well; so does chunk 2, which adds 7 and 9
 *   then the chunk in which a cut run begins adds the parts up, in order, and adds them to 5's row
 *
 * Few rows need no parts: one kernel sums run by run, a long run by all groups of a block.
 *
 * The parts of a hub would be a long chain for one group: one block takes them, each of its groups
 * every so-manieth part. Each row of g is read once, each destination read and written once. All
 * orders depend on positions, chunk length and columns alone: results repeat bit for bit. */
#include "argsort_ids.h"
#include "device_errors.h"
#include "family.h"
#include "launch.h"
#include "vec4.cuh"

enum { AHEAD = 4, PARTS_AHEAD = 8 };
enum { LEAST_CHUNK = 8, MOST_CHUNK = 64 }; /* rows, powers of two */
enum { FILLING = 256 * TKG_THREADS };      /* threads that fill a device: of no certain one */
enum { FEW = 1 << 15 };                    /* rows that are added without parts */
enum { HUB = 32 };                         /* a run with more chunks after its first is a hub's */

/* out[ids[p]] += w[p] g[p / k] for p in 0..count-1; out is [n,d] and begins as base. */
typedef struct scatter {
  int64_t count, k, n, d;
  const float *g, *w; /* w is NULL for ones */
  const int32_t *ids;
  const float *base; /* NULL: zeros; may be out */
  float *out;
} scatter;

/* Rows of a chunk: as many as give each of the threads that fill a device one column of one. */
static int chunk_of(int64_t count, int64_t d) {
  const int64_t columns = tkg_power(tkg_ceil(d, 4), TKG_WARP);
  int length = LEAST_CHUNK;
  while (length < MOST_CHUNK && (int64_t)length * FILLING < count * columns) length *= 2;
  return length;
}

/* The columns that decide how rows are cut: all, where ranks have some each. */
static int64_t whole_columns(const tkg_node *n, int64_t d) {
  return n->whole_cols > 0 ? n->whole_cols : d;
}

/* `base`: whether rows begin as those of another value. */
static int64_t scratch_of(const tkg_node *node, int64_t count, int64_t d, bool base) {
  const int64_t n = node->shape[0], chunk = chunk_of(count, whole_columns(node, d));
  const int64_t parts = count > FEW ? 4 * (base ? 2 : 1) * tkg_ceil(count, chunk) * d : 0;
  const int64_t sort = tkg__argsort_plan(count, n).bytes;
  return parts > sort ? parts : sort; /* parts are written over what is sorted by then */
}

/* ---- kernels ---- */

/* The sorted list as kernels read it. T is float or float4. */
template <class T> struct sorted {
  int64_t count, k, n, cols, chunks, length; /* length: rows of a chunk */
  tkg_sorted_keys keys;
  tkg_sorted_places places;
  const T *g;
  const float *w;
  T *parts, *out; /* parts, per_chunk of a chunk: of the run that goes on from the chunk before,
                   * and of the run that begins in it and goes on */
  int per_chunk;  /* 2; 1 where rows begin as zeros: the latter then waits in its row */
};

/* Adds a run's sum to its row, if the whole run lies in this chunk, or stores it as a part. */
template <class T>
static __device__ __forceinline__ void put_run(const sorted<T> &s, int64_t chunk, int64_t first,
                                               int64_t last, int64_t j, T sum) {
  const uint32_t key = s.keys[first];
  const bool before = first == chunk * s.length && first > 0 && s.keys[first - 1] == key;
  const bool after = last == (chunk + 1) * s.length && last < s.count && s.keys[last] == key;
  if (key == (uint32_t)s.n) return;
  T *to = &s.out[(int64_t)key * s.cols + j];
  if (before)
    s.parts[s.per_chunk * chunk * s.cols + j] = sum;
  else if (after && s.per_chunk == 1)
    *to = sum;
  else if (after)
    s.parts[(2 * chunk + 1) * s.cols + j] = sum;
  else
    *to = vec4_add(*to, sum);
}

/* Sums column j of a chunk, run by run: loads a few rows, then adds them in order. */
template <class T>
static __device__ __forceinline__ void sum_chunk(const sorted<T> &s, int64_t chunk, int64_t j) {
  const int64_t end = (chunk + 1) * s.length < s.count ? (chunk + 1) * s.length : s.count;
  int64_t run = chunk * s.length;
  T sum;
  vec4_clear(&sum);
  for (int64_t first = run; first < end; first += AHEAD) {
    T row[AHEAD];
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) {
      vec4_clear(&row[a]);
      if (first + a >= end) continue;
      const int64_t place = s.places[first + a];
      row[a] = s.g[(s.k == 1 ? place : place / s.k) * s.cols + j];
      if (s.w) row[a] = vec4_scale(s.w[place], row[a]);
    }
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) {
      if (first + a >= end) continue;
      if (s.keys[first + a] != s.keys[run]) {
        put_run(s, chunk, run, first + a, j, sum);
        run = first + a;
        vec4_clear(&sum);
      }
      sum = vec4_add(sum, row[a]);
    }
  }
  put_run(s, chunk, run, end, j, sum);
}

template <class T> static __global__ void chunks_kernel(sorted<T> s) {
  for (int64_t c = tkg_first_row(); c < s.chunks; c += tkg_row_stride())
    for (int64_t j = threadIdx.x; j < s.cols; j += blockDim.x) sum_chunk(s, c, j);
}

/* Whether a run that is cut at the end of this chunk begins in it. */
template <class T>
static __device__ __forceinline__ bool begins_run(const sorted<T> &s, int64_t chunk) {
  const int64_t first = chunk * s.length, end = first + s.length;
  if (end >= s.count) return false;
  const uint32_t key = s.keys[end - 1];
  if (s.keys[end] != key || key == (uint32_t)s.n) return false;
  return s.keys[first] != key || first == 0 || s.keys[first - 1] != key;
}

/* Whether a run that begins in this chunk goes on in more than HUB others. They are the chunks that
 * begin with its key. */
template <class T>
static __device__ __forceinline__ bool begins_hub(const sorted<T> &s, int64_t chunk) {
  const int64_t far = chunk + 1 + HUB;
  return begins_run(s, chunk) && far < s.chunks &&
         s.keys[far * s.length] == s.keys[chunk * s.length + s.length - 1];
}

/* The sum of a run's parts in chunks first, first + step, ... */
template <class T>
static __device__ __forceinline__ T sum_parts(const sorted<T> &s, uint32_t key, int64_t first,
                                              int64_t step, int64_t j) {
  T sum;
  vec4_clear(&sum);
  for (int64_t c = first; c < s.chunks && s.keys[c * s.length] == key; c += PARTS_AHEAD * step) {
    T part[PARTS_AHEAD];
    TKG_UNROLL
    for (int a = 0; a < PARTS_AHEAD; a++) {
      const int64_t at = c + a * step;
      vec4_clear(&part[a]);
      if (at < s.chunks && s.keys[at * s.length] == key)
        part[a] = s.parts[s.per_chunk * at * s.cols + j];
    }
    TKG_UNROLL
    for (int a = 0; a < PARTS_AHEAD; a++) sum = vec4_add(sum, part[a]);
  }
  return sum;
}

/* Adds a run's first part, of `chunk`, and the sum of its other parts to its row. */
template <class T>
static __device__ __forceinline__ void add_run(const sorted<T> &s, uint32_t key, int64_t chunk,
                                               int64_t j, T others) {
  T *to = &s.out[(int64_t)key * s.cols + j], row, first;
  vec4_clear(&row);
  first = *to;
  if (s.per_chunk == 2) {
    row = first;
    first = s.parts[(2 * chunk + 1) * s.cols + j];
  }
  *to = vec4_add(row, vec4_add(first, others));
}

/* The other parts of a hub's run, by all groups of a block; their sums are added in order. */
template <class T> static __device__ void add_hub(const sorted<T> &s, int64_t chunk, T *sums) {
  const uint32_t key = s.keys[(chunk + 1) * s.length - 1];
  for (int64_t j0 = 0; j0 < s.cols; j0 += blockDim.x) {
    const int64_t j = j0 + threadIdx.x;
    if (j < s.cols)
      sums[threadIdx.y * blockDim.x + threadIdx.x] =
          sum_parts(s, key, chunk + 1 + threadIdx.y, blockDim.y, j);
    __syncthreads();
    if (threadIdx.y == 0 && j < s.cols) {
      T sum = sums[threadIdx.x];
      for (unsigned y = 1; y < blockDim.y; y++)
        sum = vec4_add(sum, sums[y * blockDim.x + threadIdx.x]);
      add_run(s, key, chunk, j, sum);
    }
    __syncthreads(); /* before the next columns' sums are written */
  }
}

/* What a block leaves to all of its groups: places, in any order. */
struct left_over {
  int32_t *places, *number; /* shared memory */
};

static __device__ __forceinline__ void leave(const left_over &l, int64_t place) {
  if (threadIdx.x == 0) l.places[atomicAdd(l.number, 1)] = (int32_t)place;
}

/* One group per run that was cut, or the block for a hub's. */
template <class T> static __global__ void runs_kernel(sorted<T> s) {
  TKG_SHARED(T, sums, [TKG_THREADS]);
  TKG_SHARED(int32_t, found, [TKG_THREADS]);
  TKG_SHARED(int32_t, number, [1]);
  for (int64_t first = (int64_t)blockIdx.x * blockDim.y; first < s.chunks;
       first += (int64_t)gridDim.x * blockDim.y) {
    const int64_t c = first + threadIdx.y;
    if (threadIdx.x == 0 && threadIdx.y == 0) number[0] = 0;
    __syncthreads();
    if (c < s.chunks && begins_hub(s, c)) {
      leave({found, number}, c);
    } else if (c < s.chunks && begins_run(s, c)) {
      const uint32_t key = s.keys[(c + 1) * s.length - 1];
      for (int64_t j = threadIdx.x; j < s.cols; j += blockDim.x)
        add_run(s, key, c, j, sum_parts(s, key, c + 1, 1, j));
    }
    __syncthreads();
    const int hubs = number[0];
    for (int h = 0; h < hubs; h++) add_hub(s, found[h], sums);
    __syncthreads(); /* before `number` is written again */
  }
}

/* ---- few rows: one kernel ---- */

enum { LONG = 32 };

/* The sum of rows first, first + step, ... of the run of `key`, column j, in this order. */
template <class T>
static __device__ __forceinline__ T sum_run(const sorted<T> &s, uint32_t key, int64_t first,
                                            int64_t step, int64_t j) {
  T sum;
  vec4_clear(&sum);
  for (int64_t p = first; p < s.count && s.keys[p] == key; p += AHEAD * step) {
    T row[AHEAD];
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) {
      const int64_t at = p + a * step;
      vec4_clear(&row[a]);
      if (at >= s.count || s.keys[at] != key) continue;
      const int64_t place = s.places[at];
      row[a] = s.g[(s.k == 1 ? place : place / s.k) * s.cols + j];
      if (s.w) row[a] = vec4_scale(s.w[place], row[a]);
    }
    TKG_UNROLL
    for (int a = 0; a < AHEAD; a++) sum = vec4_add(sum, row[a]);
  }
  return sum;
}

template <class T>
static __device__ __forceinline__ void add_to_row(const sorted<T> &s, uint32_t key, int64_t j,
                                                  T sum) {
  T *to = &s.out[(int64_t)key * s.cols + j];
  *to = vec4_add(*to, sum);
}

/* A run of more than LONG rows, by all groups of a block; their sums are added in order. */
template <class T> static __device__ void sum_long_run(const sorted<T> &s, int64_t first, T *sums) {
  const uint32_t key = s.keys[first];
  for (int64_t j0 = 0; j0 < s.cols; j0 += blockDim.x) {
    const int64_t j = j0 + threadIdx.x;
    if (j < s.cols)
      sums[threadIdx.y * blockDim.x + threadIdx.x] =
          sum_run(s, key, first + threadIdx.y, blockDim.y, j);
    __syncthreads();
    if (threadIdx.y == 0 && j < s.cols) {
      T sum = sums[threadIdx.x];
      for (unsigned y = 1; y < blockDim.y; y++)
        sum = vec4_add(sum, sums[y * blockDim.x + threadIdx.x]);
      add_to_row(s, key, j, sum);
    }
    __syncthreads(); /* before the next sums are written */
  }
}

/* One group per place: it sums the run that begins there, or leaves a long one to the block. In
 * which order long runs are found does not matter. */
template <class T> static __global__ void few_kernel(sorted<T> s) {
  TKG_SHARED(T, sums, [TKG_THREADS]);
  TKG_SHARED(int32_t, found, [TKG_THREADS]);
  TKG_SHARED(int32_t, number, [1]);
  for (int64_t first = (int64_t)blockIdx.x * blockDim.y; first < s.count;
       first += (int64_t)gridDim.x * blockDim.y) {
    const int64_t p = first + threadIdx.y;
    if (threadIdx.x == 0 && threadIdx.y == 0) number[0] = 0;
    __syncthreads();
    const uint32_t key = p < s.count ? s.keys[p] : (uint32_t)s.n;
    if (key != (uint32_t)s.n && (p == 0 || s.keys[p - 1] != key)) {
      if (p + LONG >= s.count || s.keys[p + LONG] != key) {
        for (int64_t j = threadIdx.x; j < s.cols; j += blockDim.x)
          add_to_row(s, key, j, sum_run(s, key, p, 1, j));
      } else {
        leave({found, number}, p);
      }
    }
    __syncthreads();
    const int runs = number[0];
    for (int h = 0; h < runs; h++) sum_long_run(s, found[h], sums);
    __syncthreads(); /* before `number` is written again */
  }
}

/* ---- launchers ---- */

template <class T>
static void add_launch(const tkg_call *c, const scatter &z, const tkg_argsort &o,
                       cudaStream_t stream) {
  const int64_t cols = z.d * (int64_t)sizeof(float) / (int64_t)sizeof(T);
  const int64_t whole = tkg_whole_units(cols, c->node->whole_cols);
  sorted<T> s;
  s.count = z.count;
  s.k = z.k;
  s.n = z.n;
  s.cols = cols;
  s.length = chunk_of(z.count, whole_columns(c->node, z.d));
  s.chunks = tkg_ceil(z.count, s.length);
  s.keys = tkg_argsort_keys(c, &o);
  s.places = tkg_argsort_places(c, &o);
  s.g = reinterpret_cast<const T *>(z.g);
  s.w = z.w;
  s.parts = reinterpret_cast<T *>(tkg_argsort_part(c, 0));
  s.out = reinterpret_cast<T *>(z.out);
  s.per_chunk = z.base ? 2 : 1;
  if (z.count <= FEW) {
    tkg_launch(few_kernel<T>, tkg_tile(z.count, whole), stream, s);
    return;
  }
  tkg_launch(chunks_kernel<T>, tkg_tile(s.chunks, cols), stream, s);
  tkg_launch(runs_kernel<T>, tkg_tile(s.chunks, whole), stream, s);
}

static void begin(const scatter &z, cudaStream_t stream) {
  const int64_t bytes = z.n * z.d * (int64_t)sizeof(float);
  if (!z.base)
    tkg_set_bytes(z.out, 0, bytes, stream);
  else if (z.base != z.out)
    tkg_copy_bytes(z.out, z.base, bytes, stream);
}

/* ---- entries ---- */

static int scatter_rows(const tkg_call *c, scatter z, cudaStream_t stream) {
  const tkg_error_slot error = tkg__error_slot_ids(c, z.n);
  if (z.n == 0 || z.d == 0) {
    tkg__check_ids(z.ids, z.count, z.n, error, stream);
    return TKG_OK;
  }
  begin(z, stream);
  if (z.count == 0) return TKG_OK;
  const tkg_argsort o = tkg__argsort_plan(z.count, z.n);
  const int status = tkg__argsort_ids(c, &o, z.ids, error, stream);
  if (status) return status;
  if (tkg_vec4_aligned(z.g, z.d) && tkg_vec4_aligned(z.out, z.d))
    add_launch<float4>(c, z, o, stream);
  else
    add_launch<float>(c, z, o, stream);
  return TKG_OK;
}

static int scatter_add_run(const tkg_call *c, cudaStream_t stream) {
  scatter z = {};
  z.count = tkg__count(c->in[1]);
  z.k = 1;
  z.n = c->node->shape[0];
  z.d = tkg__run_length(c->node, 1);
  z.g = tkg_in<float>(c, 0);
  z.ids = tkg_in<int32_t>(c, 1);
  z.base = tkg_in<float>(c, 2);
  z.out = tkg_out<float>(c);
  return scatter_rows(c, z, stream);
}

static int64_t scatter_add_scratch(const tkg_node *node, const tkg_node *const *in) {
  return scratch_of(node, tkg__count(in[1]), tkg__run_length(node, 1), node->inputs > 2);
}

static int neighbor_scatter_run(const tkg_call *c, cudaStream_t stream) {
  scatter z = {};
  z.count = tkg__count(c->in[2]);
  z.k = tkg__cols(c->in[0]);
  z.n = c->node->shape[0];
  z.d = tkg__cols(c->node);
  z.w = tkg_in<float>(c, 0);
  z.g = tkg_in<float>(c, 1);
  z.ids = tkg_in<int32_t>(c, 2);
  z.base = tkg_in<float>(c, 3);
  z.out = tkg_out<float>(c);
  return scatter_rows(c, z, stream);
}

static int64_t neighbor_scatter_scratch(const tkg_node *node, const tkg_node *const *in) {
  return scratch_of(node, tkg__count(in[2]), tkg__cols(node), node->inputs > 3);
}

/* ---- take_grad: g[b,j], ids[b,j] -> out[b,r] ---- */

/* One thread per element of the output looks for its own id among the few of the row. Neighbouring
 * threads read the same ids, which are broadcast. */
static __global__ void take_grad_kernel(int64_t rows, int64_t r, int64_t j, const float *g,
                                        const int32_t *ids, float *out, tkg_error_slot error) {
  for (int64_t b = tkg_first_row(); b < rows; b += tkg_row_stride())
    for (int64_t q = threadIdx.x; q < r; q += blockDim.x) {
      float sum = 0;
      for (int64_t k = b * j; k < (b + 1) * j; k++)
        if (tkg_check_id(ids[k], r, k, error, q == 0) && ids[k] == q) sum += g[k];
      out[b * r + q] = sum;
    }
}

static int take_grad_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->node), r = tkg__cols(c->node), j = tkg__cols(c->in[1]);
  const tkg_error_slot error = tkg__error_slot_ids(c, r);
  if (r == 0)
    tkg__check_ids(tkg_in<int32_t>(c, 1), rows * j, r, error, stream);
  else
    tkg_launch(take_grad_kernel, tkg_tile(rows, r), stream, rows, r, j, tkg_in<float>(c, 0),
               tkg_in<int32_t>(c, 1), tkg_out<float>(c), error);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_scatter[] = {
    {TKG_OP_SCATTER_ADD, scatter_add_run, scatter_add_scratch},
    {TKG_OP_NEIGHBOR_SCATTER, neighbor_scatter_run, neighbor_scatter_scratch},
    {TKG_OP_TAKE_GRAD, take_grad_run, NULL},
    {0, NULL, NULL},
};
