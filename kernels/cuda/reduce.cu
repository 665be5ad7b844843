/* SUM, ARGMAX and DOT over dimensions of a tensor, and BROADCAST, the opposite of a sum.
 *
 * A sum reads its input as [outer, t1, middle, t2, inner] and adds over t1 and t2. Neighbouring
 * dimensions of a kind are merged, so four dimensions always fit. How best to read depends on where
 * the terms lie and on how many outputs there are:
 *
 *   SHORT_ROWS  terms lie together and are few: a few lanes per row
 *   LONG_ROWS   terms lie together and are many: one block per row, or per part of a row
 *   FEW_TERMS   terms lie apart and are few (the neighbours of a node), or outputs are plenty: one
 *               thread per output, neighbouring threads at neighbouring addresses
 *   MANY_TERMS  the rest, as a bias's gradient: one block per some columns and part of the terms
 *
 * Each term is read once. Parts leave doubles in scratch, and a second kernel adds them. Parts
 * depend on the shapes alone and every order is fixed: results repeat bit for bit. A thread adds a
 * few dozen floats at most before they join a double, so sums of many millions keep float's
 * precision. */
#include "family.h"
#include "launch.h"
#include "reduce.cuh"
#include "row_parts.h"
#include "view.h"

enum {
  FEW = 32,              /* terms that one thread adds, however few outputs there are */
  PLENTY = 1 << 19,      /* outputs from which one thread adds any number of terms */
  FLOATS = 64,           /* terms added in float before they join a double */
  LEAST_ROW_PART = 8192, /* elements of a part of a long row */
  LEAST_PART = 16,       /* terms per thread of a part */
  BLOCKS = 512           /* so many blocks fill the device without parts */
};

/* ---- sums of rows whose terms lie together, and dot products of rows ---- */

template <bool PRODUCT, int V>
static __global__ void short_rows(int64_t rows, int64_t units, int width, const float *a,
                                  const float *b, float *out) {
  row_sums<PRODUCT, V>(tkg_in_grid(), rows, units, width, a, b, out);
}

/* One block per part of a row. Writes to partial, as [row, part], or without it to out. */
template <bool PRODUCT, int V>
static __global__ void long_rows(int64_t rows, int64_t units, int64_t parts, const float *a,
                                 const float *b, double *partial, float *out) {
  for (int64_t w = blockIdx.x; w < rows * parts; w += gridDim.x) {
    const int64_t r = w / parts, part = w - r * parts;
    const int64_t first = units * part / parts, last = units * (part + 1) / parts;
    const int64_t at = (r * units + first) * V;
    double sum = lane_sum<double, PRODUCT, V>(a + at, PRODUCT ? b + at : b, last - first,
                                              (int)threadIdx.x, TKG_THREADS);
    sum = tkg_block_sum(sum);
    if (threadIdx.x > 0) continue;
    if (partial)
      partial[w] = sum;
    else
      out[r] = (float)sum;
  }
}

/* One warp per output adds its parts. Of output i they lie at i * output_step, part_step apart. */
static __global__ void combine_kernel(int64_t outputs, int64_t parts, int64_t output_step,
                                      int64_t part_step, const double *partial, float *out) {
  const tkg_group g = tkg_group_of(TKG_WARP);
  for (int64_t i = g.row; i < outputs; i += g.stride) {
    double sum = 0;
    for (int64_t k = g.lane; k < parts; k += TKG_WARP)
      sum += partial[i * output_step + k * part_step];
    sum = tkg_group_sum(sum, TKG_WARP);
    if (g.lane == 0) out[i] = (float)sum;
  }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t row_parts(int64_t rows, int64_t cols) {
  if (rows == 0 || cols <= SHORT_ROW) return 1;
  return least(tkg_ceil(cols, LEAST_ROW_PART), tkg_ceil(BLOCKS, rows));
}

static int64_t partial_bytes(int64_t outputs, int64_t parts) {
  return parts > 1 ? outputs * parts * (int64_t)sizeof(double) : 0;
}

template <bool PRODUCT, int V>
static void short_launch(const tkg_call *c, int64_t rows, int64_t units, cudaStream_t stream) {
  const int width = short_row_width<V>(units);
  tkg_launch(short_rows<PRODUCT, V>, tkg_groups(rows, width), stream, rows, units, width,
             tkg_in<float>(c, 0), tkg_in<float>(c, 1), tkg_out<float>(c));
}

template <bool PRODUCT, int V>
static void long_launch(const tkg_call *c, int64_t rows, int64_t units, cudaStream_t stream) {
  const int64_t parts = row_parts(rows, units * V);
  double *partial = parts > 1 ? static_cast<double *>(c->scratch) : NULL;
  tkg_launch(long_rows<PRODUCT, V>, {dim3(tkg_blocks(rows * parts)), dim3(TKG_THREADS), 0}, stream,
             rows, units, parts, tkg_in<float>(c, 0), tkg_in<float>(c, 1), partial,
             tkg_out<float>(c));
  if (partial)
    tkg_launch(combine_kernel, tkg_groups(rows, TKG_WARP), stream, rows, parts, parts, (int64_t)1,
               partial, tkg_out<float>(c));
}

template <bool PRODUCT>
static void rows_launch(const tkg_call *c, int64_t rows, int64_t cols, cudaStream_t stream) {
  bool four = tkg_vec4_aligned(c->data[0], cols);
  if (PRODUCT) four = four && tkg_vec4_aligned(c->data[1], cols);
  if (cols <= SHORT_ROW && four)
    short_launch<PRODUCT, 4>(c, rows, cols / 4, stream);
  else if (cols <= SHORT_ROW)
    short_launch<PRODUCT, 1>(c, rows, cols, stream);
  else if (four)
    long_launch<PRODUCT, 4>(c, rows, cols / 4, stream);
  else
    long_launch<PRODUCT, 1>(c, rows, cols, stream);
}

static int dot_run(const tkg_call *c, cudaStream_t stream) {
  rows_launch<true>(c, tkg__rows(c->in[0]), tkg__cols(c->in[0]), stream);
  return TKG_OK;
}

static int64_t dot_scratch(const tkg_node *, const tkg_node *const *in) {
  const int64_t rows = tkg__rows(in[0]);
  return partial_bytes(rows, row_parts(rows, tkg__cols(in[0])));
}

/* ---- sum: the plan ---- */

enum sum_way { SHORT_OR_LONG_ROWS, FEW_TERMS, MANY_TERMS };

typedef struct sum_plan {
  int64_t outer, t1, middle, t2, inner;
  int64_t terms, groups, parts; /* t1 t2; outer middle; of the terms */
  /* Term t lies t * step + t / t2 * jump after the first; `jumps`: jump is not 0. */
  int64_t step, jump;
  bool jumps;
  /* Part k of MANY_TERMS is part first_part + k of all_parts, into which `whole` terms, as so many
   * units, are cut; the terms here are those from first_term on, all but where rows are dealt to
   * ranks. */
  int64_t unit, units, whole, all_parts, first_part, first_term;
  enum sum_way way;
} sum_plan;

/* Collects extents from the last dimension to the first: at even places those that stay, at odd
 * places those that are summed. */
static sum_plan sum_extents(const tkg_node *node, const tkg_node *x) {
  int64_t extent[5] = {1, 1, 1, 1, 1};
  int place = 0;
  for (int d = x->rank - 1; d >= 0; d--) {
    if (x->shape[d] == 1) continue;
    const int summed = (int)(node->i[0] >> d) & 1;
    if (place % 2 != summed) place++;
    extent[place] *= x->shape[d];
  }
  sum_plan p = {};
  p.inner = extent[0];
  p.t2 = extent[1];
  p.middle = extent[2];
  p.t1 = extent[3];
  p.outer = extent[4];
  return p;
}

/* A block of MANY_TERMS: x runs over units, y over the threads that share a column. */
static dim3 columns_block(int64_t units) {
  const int x = tkg_power(units, TKG_WARP);
  return dim3((unsigned)x, (unsigned)(TKG_THREADS / x));
}

static int64_t column_parts(const sum_plan *p) {
  const int64_t units = p->inner % 4 == 0 ? p->inner / 4 : p->inner;
  const dim3 block = columns_block(units);
  const int64_t blocks = p->groups * tkg_ceil(units, block.x);
  if (blocks == 0 || p->terms == 0) return 1;
  return least(tkg_ceil(p->terms, LEAST_PART * block.y), tkg_ceil(BLOCKS, blocks));
}

/* Sums over many rows have the parts of tkg__row_parts, so that ranks can share them. */
static void cut_by_rows(sum_plan *p, const tkg_node *x) {
  const tkg_row_range range = tkg__row_range(x);
  p->way = MANY_TERMS;
  p->unit = TKG_PART_UNIT;
  p->whole = range.whole > 0 ? range.whole : p->terms;
  p->units = tkg_ceil(p->whole, p->unit);
  p->all_parts = tkg__parts_of(p->whole);
  p->parts = tkg__parts_in(&range);
  p->first_term = range.first;
  while (tkg__part_begin(p->whole, (int)p->all_parts, (int)p->first_part) < range.first)
    p->first_part++;
}

static sum_plan sum_plan_of(const tkg_node *node, const tkg_node *const *in) {
  sum_plan p = sum_extents(node, in[0]);
  p.terms = p.t1 * p.t2;
  p.groups = p.outer * p.middle;
  p.jumps = p.t1 != 1 && p.t2 != 1;
  p.step = p.t2 == 1 ? p.middle * p.inner : p.inner;
  p.jump = p.jumps ? (p.middle - 1) * p.t2 * p.inner : 0;
  p.parts = 1;
  if (tkg__row_parts(node, in) > 0) {
    cut_by_rows(&p, in[0]);
    return p;
  }
  if (p.inner == 1 && p.t1 == 1) {
    p.way = SHORT_OR_LONG_ROWS;
    p.parts = row_parts(p.groups, p.t2);
  } else if (p.terms <= FEW || (p.inner > 1 && p.groups * p.inner >= PLENTY)) {
    p.way = FEW_TERMS;
  } else {
    p.way = MANY_TERMS;
    p.parts = p.all_parts = column_parts(&p);
    p.unit = 1;
    p.units = p.whole = p.terms;
  }
  return p;
}

static int64_t sum_scratch(const tkg_node *node, const tkg_node *const *in) {
  const sum_plan p = sum_plan_of(node, in);
  const int64_t outputs = p.groups * p.inner;
  if (in[0]->whole_rows > 0 && p.way == MANY_TERMS)
    return (p.parts + p.all_parts) * outputs * (int64_t)sizeof(double);
  return partial_bytes(outputs, p.parts);
}

/* ---- sum: terms that lie apart ---- */

/* The offset of term 0 of a group. */
static __device__ __forceinline__ int64_t group_start(const sum_plan &p, int64_t group) {
  const int64_t o = p.outer == 1 ? 0 : group / p.middle, m = group - o * p.middle;
  return (o * p.t1 * p.middle + m) * p.t2 * p.inner;
}

static __device__ __forceinline__ int64_t term_offset(const sum_plan &p, int64_t t) {
  return t * p.step + (p.jumps ? t / p.t2 * p.jump : 0);
}

/* Adds terms first, first + stride, ... below last, of the V columns at x, AHEAD loads at a time.
 */
template <int V>
static __device__ __forceinline__ void sum_terms(const sum_plan &p, const float *x, int64_t first,
                                                 int64_t last, int64_t stride, double (&sum)[V]) {
  enum { AHEAD = V == 4 ? 4 : 8 };
  TKG_UNROLL
  for (int v = 0; v < V; v++) sum[v] = 0;
  while (first < last) {
    float part[V] = {};
    for (int n = 0; n < FLOATS && first < last; n += AHEAD, first += AHEAD * stride) {
      float term[AHEAD][V] = {};
      TKG_UNROLL
      for (int k = 0; k < AHEAD; k++)
        if (first + k * stride < last) load_unit(term[k], x + term_offset(p, first + k * stride));
      TKG_UNROLL
      for (int k = 0; k < AHEAD; k++) {
        TKG_UNROLL
        for (int v = 0; v < V; v++) part[v] += term[k][v];
      }
    }
    TKG_UNROLL
    for (int v = 0; v < V; v++) sum[v] += (double)part[v];
  }
}

/* One thread per V outputs, of which there are `all`. A division of 64 bits is slow and seldom
 * needed. */
template <int V>
static __global__ void few_terms(sum_plan p, int64_t units, int64_t all, const float *x,
                                 float *out) {
  for (int64_t i = tkg_first(); i < all; i += tkg_stride()) {
    const int64_t group = all <= UINT32_MAX ? (uint32_t)i / (uint32_t)units : i / units;
    const int64_t unit = i - group * units;
    double sum[V];
    sum_terms<V>(p, x + group_start(p, group) + unit * V, 0, p.terms, 1, sum);
    TKG_UNROLL
    for (int v = 0; v < V; v++) out[i * V + v] = (float)sum[v];
  }
}

/* Adds the sums of the threads of a column; the thread with y = 0 has the result. */
template <int V> static __device__ __forceinline__ void fold_block(double (&sum)[V]) {
  TKG_SHARED(double, fold, [V][TKG_THREADS]);
  const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads(); /* an earlier sum may still be read */
  TKG_UNROLL
  for (int v = 0; v < V; v++) fold[v][at] = sum[v];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y >= half) continue;
    TKG_UNROLL
    for (int v = 0; v < V; v++) fold[v][at] = sum[v] += fold[v][at + half * blockDim.x];
  }
}

/* The first term of a part. */
static __device__ __forceinline__ int64_t part_start(const sum_plan &p, int64_t part) {
  const int64_t term = p.units * (p.first_part + part) / p.all_parts * p.unit;
  return (term < p.whole ? term : p.whole) - p.first_term;
}

/* One block per part of blockDim.x units. Writes to partial, as [part, output], or without it to
 * out. */
template <int V>
static __global__ void many_terms(sum_plan p, int64_t units, const float *x, double *partial,
                                  float *out) {
  const int64_t across = (units + blockDim.x - 1) / blockDim.x, work = p.groups * across * p.parts;
  for (int64_t w = blockIdx.x; w < work; w += gridDim.x) {
    const int64_t rest = w / p.parts, part = w - rest * p.parts, group = rest / across;
    const int64_t unit = (rest - group * across) * blockDim.x + threadIdx.x;
    const int64_t first = part_start(p, part), last = part_start(p, part + 1);
    double sum[V];
    sum_terms<V>(p, x + group_start(p, group) + unit * V, first + threadIdx.y,
                 unit < units ? last : 0, blockDim.y, sum);
    fold_block<V>(sum);
    if (threadIdx.y > 0 || unit >= units) continue;
    TKG_UNROLL
    for (int v = 0; v < V; v++) {
      const int64_t output = group * p.inner + unit * V + v;
      if (partial)
        partial[part * p.groups * p.inner + output] = sum[v];
      else
        out[output] = (float)sum[v];
    }
  }
}

template <int V> static void few_launch(const tkg_call *c, const sum_plan &p, cudaStream_t stream) {
  const int64_t units = p.inner / V, all = p.groups * units;
  tkg_launch(few_terms<V>, tkg_flat(all), stream, p, units, all, tkg_in<float>(c, 0),
             tkg_out<float>(c));
}

static void combine_many(int64_t outputs, int64_t parts, const double *partial, float *out,
                         cudaStream_t stream) {
  tkg_launch(combine_kernel, tkg_groups(outputs, TKG_WARP), stream, outputs, parts, (int64_t)1,
             outputs, partial, out);
}

void tkg__add_sum_parts(const tkg_call *c, const void *all, int parts, cudaStream_t stream) {
  combine_many(tkg__count(c->node), parts, static_cast<const double *>(all), tkg_out<float>(c),
               stream);
}

template <int V>
static void many_launch(const tkg_call *c, const sum_plan &p, cudaStream_t stream) {
  const int64_t units = p.inner / V;
  const dim3 block = columns_block(units);
  const int64_t blocks = p.groups * tkg_ceil(units, block.x) * p.parts;
  const bool shared = c->in[0]->whole_rows > 0; /* others have parts too: the engine adds them up */
  double *partial = p.parts > 1 || shared ? static_cast<double *>(c->scratch) : NULL;
  tkg_launch(many_terms<V>, {dim3(tkg_blocks(blocks)), block, 0}, stream, p, units,
             tkg_in<float>(c, 0), partial, tkg_out<float>(c));
  if (partial && !shared)
    combine_many(p.groups * p.inner, p.parts, partial, tkg_out<float>(c), stream);
}

static int sum_run(const tkg_call *c, cudaStream_t stream) {
  const sum_plan p = sum_plan_of(c->node, c->in);
  const bool four = tkg_vec4_aligned(c->data[0], p.inner);
  if (p.groups * p.inner == 0) return TKG_OK;
  if (p.way == SHORT_OR_LONG_ROWS)
    rows_launch<false>(c, p.groups, p.t2, stream);
  else if (p.way == FEW_TERMS && four)
    few_launch<4>(c, p, stream);
  else if (p.way == FEW_TERMS)
    few_launch<1>(c, p, stream);
  else if (four)
    many_launch<4>(c, p, stream);
  else
    many_launch<1>(c, p, stream);
  return TKG_OK;
}

/* ---- broadcast: elements of 4 bytes, only copied ---- */

static __device__ __forceinline__ void spread(const uint32_t *from, uint32_t *to) { *to = *from; }
static __device__ __forceinline__ void spread(const uint4 *from, uint4 *to) { *to = *from; }
static __device__ __forceinline__ void spread(const uint32_t *from, uint4 *to) {
  *to = make_uint4(*from, *from, *from, *from);
}

/* To is an element or four of them. From is To, or an element that is repeated four times. */
template <class From, class To, class Index>
static __global__ void broadcast_kernel(Index n, tkg_view v, const From *x, To *out) {
  for (int64_t i = tkg_first(); i < (int64_t)n; i += tkg_stride()) {
    int64_t at[2];
    tkg_view_at<Index>(v, (Index)i, at);
    spread(x + at[0], out + i);
  }
}

template <class From, class To>
static void broadcast_launch(const tkg_call *c, const tkg_view &v, int64_t n, cudaStream_t stream) {
  if (n <= UINT32_MAX)
    tkg_launch(broadcast_kernel<From, To, uint32_t>, tkg_flat(n), stream, (uint32_t)n, v,
               tkg_in<From>(c, 0), tkg_out<To>(c));
  else
    tkg_launch(broadcast_kernel<From, To, uint64_t>, tkg_flat(n), stream, (uint64_t)n, v,
               tkg_in<From>(c, 0), tkg_out<To>(c));
}

/* The view in units of four output elements. If the last dimension is not repeated, the input is
 * read in units too: its other strides are multiples of that dimension's extent. */
static tkg_view by_four(tkg_view v) {
  const bool copies = v.stride[0][0] != 0;
  v.shape[0] /= 4;
  for (int d = 1; d < v.rank && copies; d++) v.stride[d][0] /= 4;
  return v;
}

static int broadcast_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t n = tkg__count(c->node);
  const tkg_view v = tkg__view(c->node, c->in[0], c->in[0]);
  const bool repeats = v.stride[0][0] == 0, four = tkg_vec4_aligned(c->out, v.shape[0]);
  if (four && repeats)
    broadcast_launch<uint32_t, uint4>(c, by_four(v), n / 4, stream);
  else if (four && tkg_vec4_aligned(c->data[0], 0))
    broadcast_launch<uint4, uint4>(c, by_four(v), n / 4, stream);
  else
    broadcast_launch<uint32_t, uint32_t>(c, v, n, stream);
  return TKG_OK;
}

/* ---- argmax ---- */

/* Element and position in one number, the largest of which is the answer: the float as an integer
 * of the same order, with -0 as 0 and NaN above all; below it the position, earlier ones larger. */
static __device__ __forceinline__ unsigned long long rank_of(float x, uint32_t position) {
  const uint32_t bits = v_bits(x == 0.0F ? 0.0F : x);
  const uint32_t order = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (unsigned long long)(x == x ? order : UINT32_MAX) << 32 | (UINT32_MAX - position);
}

/* The largest rank among a lane's elements. A row without elements gives position 0. */
static __device__ __forceinline__ unsigned long long best_of(const float *x, int64_t cols, int lane,
                                                             int lanes) {
  unsigned long long best = UINT32_MAX;
  for (int64_t j = lane; j < cols; j += 4 * lanes) {
    float v[4];
    TKG_UNROLL
    for (int k = 0; k < 4; k++) v[k] = j + k * lanes < cols ? x[j + k * lanes] : 0.0F;
    TKG_UNROLL
    for (int k = 0; k < 4; k++) {
      const unsigned long long rank = rank_of(v[k], (uint32_t)(j + k * lanes));
      if (j + k * lanes < cols && rank > best) best = rank;
    }
  }
  return best;
}

static __global__ void short_argmax(int64_t rows, int64_t cols, int width, const float *x,
                                    int32_t *out) {
  const tkg_group g = tkg_group_of(width);
  for (int64_t r = g.row; tkg_any_row(r, rows); r += g.stride) {
    const bool exists = r < rows;
    unsigned long long best =
        best_of(x + (exists ? r * cols : 0), exists ? cols : 0, g.lane, width);
    best = tkg_group_max(best, width);
    if (exists && g.lane == 0) out[r] = (int32_t)(UINT32_MAX - (uint32_t)best);
  }
}

static __global__ void long_argmax(int64_t rows, int64_t cols, const float *x, int32_t *out) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const unsigned long long best =
        tkg_block_max(best_of(x + r * cols, cols, (int)threadIdx.x, TKG_THREADS));
    if (threadIdx.x == 0) out[r] = (int32_t)(UINT32_MAX - (uint32_t)best);
  }
}

static int argmax_run(const tkg_call *c, cudaStream_t stream) {
  const int64_t rows = tkg__rows(c->in[0]), cols = tkg__cols(c->in[0]);
  const float *x = tkg_in<float>(c, 0);
  int32_t *out = tkg_out<int32_t>(c);
  const int width = tkg_group_width(tkg_ceil(cols, 4));
  const tkg_shape blocks = {dim3(tkg_blocks(rows)), dim3(TKG_THREADS), 0};
  if (cols > SHORT_ROW)
    tkg_launch(long_argmax, blocks, stream, rows, cols, x, out);
  else
    tkg_launch(short_argmax, tkg_groups(rows, width), stream, rows, cols, width, x, out);
  return TKG_OK;
}

const tkg_cuda_op tkg__cuda_reduce[] = {
    {TKG_OP_SUM, sum_run, sum_scratch},
    {TKG_OP_BROADCAST, broadcast_run, NULL},
    {TKG_OP_ARGMAX, argmax_run, NULL},
    {TKG_OP_DOT, dot_run, dot_scratch},
    {0, NULL, NULL},
};
