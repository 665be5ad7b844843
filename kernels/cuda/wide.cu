/* Groups of elementwise ops on matrices whose rows are too wide for a tile of them: an interpreter.
 *
 * A tile is 2,048 elements that follow each other, wherever rows end. A thread has eight of them,
 * of which one Philox block has noise, in all ops of the group. What only the group reads lies in
 * shared memory, where each thread finds its own elements: there are no barriers. So a group reads
 * what goes in and writes what comes out, once.
 *
 * Of its operands, others than whole matrices are found by an element's row and column. What moves
 * columns (NARROW, PAD) reads or writes elsewhere what is as large as it reads or writes here.
 * Formulas and noise are those of the kernels that compute a value as a whole: so are the bits. */
#include "wide.h"

#include "codes.cuh"
#include "elementwise.cuh"
#include "family.h"
#include "random.cuh"
#include "tiles.h"

enum {
  INPUTS = 2,
  RESULT = 31,                             /* bit of in_tile */
  HALF = (int)sizeof(float4) * TKG_THREADS /* bytes: of eight elements, the first four of all */
};

/* An operand: an address, or an offset in the tile's memory; and elements from one row, and column,
 * to the next. */
typedef struct wide_operand {
  char *at;
  int row, column;
  bool four; /* at 16 bytes */
} wide_operand;

typedef struct wide_codes {
  packed_layout l;
  tkg_noise noise;
  int64_t before;
  int rounding, bits;
  const uint8_t *signs; /* NULL: none */
} wide_codes;

typedef struct wide_op {
  int op, inputs;
  uint32_t in_tile; /* bit k: input k lies in the tile's memory; bit RESULT: the result */
  wide_operand in[INPUTS], out;
  union {
    float f[2];
    random_stream random;
    dropout_numbers dropout;
    wide_codes codes;
    uint32_t columns[2]; /* the first that is moved, and their number */
  } x;
} wide_op;

typedef struct wide_list {
  uint32_t count, cols; /* elements; of a row */
  int ops;
  wide_op op[TKG_MOST_OPS];
} wide_list;

/* A thread's elements: first..first+7, of which `number` exist. The first has this row and column;
 * rows have eight columns at least, so there are two rows at most. */
typedef struct wide_place {
  uint32_t first, row, column, cols;
  int number;
  char *memory; /* of its first four elements of a value at offset 0 */
} wide_place;

/* ---- loads and stores ---- */

static __device__ __forceinline__ void place_of(const wide_place &p, int k, uint32_t *row,
                                                uint32_t *column) {
  const bool next = p.column + (uint32_t)k >= p.cols;
  *row = p.row + (next ? 1 : 0);
  *column = p.column + (uint32_t)k - (next ? p.cols : 0);
}

static __device__ __forceinline__ void load_four_of(const char *at, float *v) {
  const float4 x = *reinterpret_cast<const float4 *>(at);
  v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
}

/* Input k of an op. */
static __device__ __forceinline__ void load(const wide_op &o, int k, const wide_place &p,
                                            float v[VEC8]) {
  const wide_operand &x = o.in[k];
  if (o.in_tile >> k & 1) {
    const char *from = p.memory + reinterpret_cast<intptr_t>(x.at);
    load_four_of(from, v);
    load_four_of(from + HALF, v + 4);
    return;
  }
  const float *at = reinterpret_cast<const float *>(x.at);
  if (x.row == (int)p.cols && x.column == 1) {
    load_vec8(at + p.first, x.four && p.number == VEC8, p.number, v);
    return;
  }
  TKG_UNROLL
  for (int e = 0; e < VEC8; e++) {
    uint32_t row, column;
    place_of(p, e, &row, &column);
    v[e] = e < p.number ? at[(int64_t)row * x.row + (int64_t)column * x.column] : 0.0F;
  }
}

static __device__ __forceinline__ void store(const wide_op &o, const wide_place &p,
                                             const float v[VEC8]) {
  if (o.in_tile >> RESULT & 1) {
    char *to = p.memory + reinterpret_cast<intptr_t>(o.out.at);
    *reinterpret_cast<float4 *>(to) = make_float4(v[0], v[1], v[2], v[3]);
    *reinterpret_cast<float4 *>(to + HALF) = make_float4(v[4], v[5], v[6], v[7]);
    return;
  }
  store_vec8(reinterpret_cast<float *>(o.out.at) + p.first, o.out.four && p.number == VEC8,
             p.number, v);
}

/* ---- ops ---- */

template <int OP>
static __device__ __forceinline__ void run_unary(const wide_op &o, const wide_place &p) {
  float v[VEC8];
  load(o, 0, p, v);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] = unary(OP, v[k], o.x.f[0], o.x.f[1]);
  store(o, p, v);
}

template <int OP>
static __device__ __forceinline__ void run_binary(const wide_op &o, const wide_place &p) {
  float v[VEC8], w[VEC8];
  load(o, 0, p, v);
  load(o, 1, p, w);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] = binary(OP, v[k], w[k]);
  store(o, p, v);
}

template <int OP>
static __device__ __forceinline__ void run_grad(const wide_op &o, const wide_place &p) {
  float v[VEC8], w[VEC8];
  load(o, 0, p, v);
  load(o, 1, p, w);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] = grad(OP, v[k], w[k], o.x.f[0], o.x.f[1]);
  store(o, p, v);
}

static __device__ __forceinline__ void run_random(const wide_op &o, const wide_place &p) {
  const random_stream r = o.x.random;
  float v[VEC8];
  TKG_UNROLL
  for (int half = 0; half < 2; half++) {
    uint32_t words[4];
    tkg_draw(r.noise, (uint64_t)r.before + p.first / 4 + (uint32_t)half, words);
    random_four(r.kind, words, v + 4 * half);
  }
  store(o, p, v);
}

static __device__ __forceinline__ void run_dropout(const wide_op &o, const wide_place &p) {
  const dropout_numbers &d = o.x.dropout;
  uint32_t words[4];
  float v[VEC8];
  load(o, 0, p, v);
  tkg_draw(d.noise, (uint64_t)d.before + p.first / VEC8, words);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] = tkg_half(words, k) >= d.threshold ? v[k] * d.scale : 0.0F;
  store(o, p, v);
}

/* x / n */
static __device__ __forceinline__ void run_normalize(const wide_op &o, const wide_place &p) {
  float v[VEC8], n[VEC8];
  load(o, 0, p, v);
  load(o, 1, p, n);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) v[k] *= 1.0F / n[k];
  store(o, p, v);
}

/* Codes have groups of eight columns, which lie in two threads' elements, and a thread's in up to
 * three groups: it decodes each of them and stores what is its own. */
template <int BITS>
static __device__ __forceinline__ void decode_places(const wide_op &o, const wide_place &p) {
  const wide_codes &c = o.x.codes;
  const uint8_t *packed = reinterpret_cast<const uint8_t *>(o.in[0].at);
  codes_noise noise = {c.noise, c.before, c.rounding, -1, {}, NULL, 0};
  const bool in_tile = o.in_tile >> RESULT & 1;
  char *to = in_tile ? p.memory + reinterpret_cast<intptr_t>(o.out.at)
                     : o.out.at + sizeof(float) * (int64_t)p.first;
  TKG_ROLLED
  for (int k = 0; k < p.number;) { /* the first element of a group */
    uint32_t row, column;
    place_of(p, k, &row, &column);
    const int64_t e = column / VEC8;
    const uint32_t *pairs = reinterpret_cast<const uint32_t *>(packed + c.l.pair_offset);
    const int skipped = (int)(column % VEC8), begin = k - skipped;
    const int columns = columns_of(c.l, e);
    float v[VEC8];
    decode_vec8<BITS>(c.l, packed, row, e, tkg__codec_pair_of(pairs[row]), noise, v);
    if (c.signs) restore_zeros(c.signs, (int64_t)row * p.cols + e * VEC8, columns, v);
    TKG_UNROLL
    for (int j = 0; j < VEC8; j++) {
      const int own = begin + j;
      if (j < skipped || j >= columns || own >= p.number) continue;
      const int at =
          in_tile ? own / 4 * HALF + own % 4 * (int)sizeof(float) : own * (int)sizeof(float);
      *reinterpret_cast<float *>(to + at) = v[j];
    }
    k = begin + columns;
  }
}

static __device__ __forceinline__ void run_decode(const wide_op &o, const wide_place &p) {
  if (o.x.codes.bits == 8)
    decode_places<8>(o, p);
  else if (o.x.codes.bits == 4)
    decode_places<4>(o, p);
  else if (o.x.codes.bits == 2)
    decode_places<2>(o, p);
  else
    decode_places<1>(o, p);
}

/* Some columns of x. */
static __device__ __forceinline__ void run_narrow(const wide_op &o, const wide_place &p) {
  float v[VEC8];
  load(o, 0, p, v);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    uint32_t row, column;
    place_of(p, k, &row, &column);
    column -= o.x.columns[0];
    if (k < p.number && column < o.x.columns[1])
      reinterpret_cast<float *>(o.out.at)[(int64_t)row * o.x.columns[1] + column] = v[k];
  }
}

/* Zeros, or input 1; to some columns input 0 is added, or of zeros written. */
static __device__ __forceinline__ void run_pad(const wide_op &o, const wide_place &p) {
  float v[VEC8] = {0, 0, 0, 0, 0, 0, 0, 0};
  if (o.inputs > 1) load(o, 1, p, v);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    uint32_t row, column;
    place_of(p, k, &row, &column);
    column -= o.x.columns[0];
    if (k >= p.number || column >= o.x.columns[1]) continue;
    const float x =
        reinterpret_cast<const float *>(o.in[0].at)[(int64_t)row * o.x.columns[1] + column];
    v[k] = o.inputs > 1 ? v[k] + x : x;
  }
  store(o, p, v);
}

static __device__ __forceinline__ void run_op(const wide_op &o, const wide_place &p) {
#define X(name, ...)                                                                               \
  case TKG_OP_##name:                                                                              \
    return RUN<TKG_OP_##name>(o, p);
  switch (o.op) {
#define RUN run_unary
    UNARY_OPS(X)
#undef RUN
#define RUN run_binary
    ARITHMETIC_OPS(X)
#undef RUN
#define RUN run_grad
    GRAD_OPS(X)
#undef RUN
  case TKG_OP_RANDOM:
    return run_random(o, p);
  case TKG_OP_DROPOUT:
    return run_dropout(o, p);
  case TKG_OP_NORMALIZE:
    return run_normalize(o, p);
  case TKG_OP_DECODE:
    return run_decode(o, p);
  case TKG_OP_NARROW:
    return run_narrow(o, p);
  case TKG_OP_PAD:
    return run_pad(o, p);
  }
#undef X
}

static __global__ void __launch_bounds__(TKG_THREADS) wide_kernel(TKG_CONSTANT(wide_list) l) {
  TKG_DYNAMIC_SHARED(char, memory);
  const uint32_t tiles = (l.count + TKG_WIDE_TILE - 1) / TKG_WIDE_TILE;
  for (uint32_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    wide_place p;
    p.first = tile * TKG_WIDE_TILE + threadIdx.x * VEC8;
    if (p.first >= l.count) continue;
    p.row = p.first / l.cols;
    p.column = p.first - p.row * l.cols;
    p.cols = l.cols;
    p.number = l.count - p.first < VEC8 ? (int)(l.count - p.first) : VEC8;
    p.memory = memory + threadIdx.x * sizeof(float4);
    TKG_ROLLED
    for (int k = 0; k < l.ops; k++) run_op(l.op[tkg_opaque(k)], p);
  }
}

/* ---- the list ---- */

static wide_operand operand_of(const tkg_node *x, const tkg_node *frame, void *at) {
  const int64_t rows = tkg__extent(x, frame, 0), cols = tkg__extent(x, frame, 1);
  return {static_cast<char *>(at), rows == 1 ? 0 : (int)cols, cols == 1 ? 0 : 1,
          tkg_vec4_aligned(at, 0)};
}

static void fill_codes(wide_op *o, const tkg_call *c) {
  const tkg_node *n = c->in[0];
  o->x.codes.bits = (int)n->i[0];
  o->x.codes.l = layout_of(o->x.codes.bits, tkg__rows(n), tkg__cols(n), NULL);
  o->x.codes.l.whole = tkg__cols(n) % VEC8 == 0;
  o->x.codes.noise = tkg_noise_of(c, n->i[2]);
  o->x.codes.before = n->first_row;
  o->x.codes.rounding = (int)n->i[1];
  o->x.codes.signs = codes_signs(c, 0);
}

static void fill(wide_op *o, const tkg_tile_call *t) {
  const tkg_call *c = &t->call;
  const tkg_node *n = c->node, *frame = n->op == TKG_OP_NARROW ? c->in[0] : n;
  o->op = n->op;
  o->inputs = n->inputs;
  o->in_tile = t->in_tile | (t->out_in_tile ? 1u << RESULT : 0u);
  o->out = {static_cast<char *>(c->out), 0, 0, tkg_vec4_aligned(c->out, 0)};
  for (int k = 0; k < n->inputs && k < INPUTS; k++) {
    void *at = const_cast<void *>(static_cast<const void *>(c->data[k]));
    o->in[k] = n->op == TKG_OP_PAD && k == 0 ? wide_operand{static_cast<char *>(at), 0, 0, false}
                                             : operand_of(c->in[k], frame, at);
  }
  switch (n->op) {
  case TKG_OP_RANDOM:
    o->x.random = random_stream_of(c);
    break;
  case TKG_OP_DROPOUT:
    o->x.dropout = dropout_numbers_of(c);
    break;
  case TKG_OP_DECODE:
    fill_codes(o, c);
    break;
  case TKG_OP_NARROW:
  case TKG_OP_PAD:
    o->x.columns[0] = (uint32_t)n->i[1];
    o->x.columns[1] = (uint32_t)tkg__cols(n->op == TKG_OP_PAD ? c->in[0] : n);
    break;
  default:
    o->x.f[0] = (float)n->f[0];
    o->x.f[1] = (float)n->f[1];
  }
}

int tkg__run_wide(const tkg_tile_call *calls, int n, const tkg_tiling *tiling,
                  cudaStream_t stream) {
  wide_list list = {};
  list.count = (uint32_t)(tiling->rows * tiling->wide);
  list.cols = (uint32_t)tiling->wide;
  list.ops = n;
  for (int k = 0; k < n; k++) fill(&list.op[k], &calls[k]);
  const int64_t tiles = tkg_ceil(list.count, TKG_WIDE_TILE);
  const tkg_shape shape = {dim3(tkg_blocks(tiles)), dim3(TKG_THREADS), (size_t)tiling->tile_bytes};
  tkg_launch(wide_kernel, shape, stream, list);
  return TKG_OK;
}

cudaError_t tkg__wide_open(int most_bytes) {
  return cudaFuncSetAttribute(wide_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_bytes);
}

/* ---- the rule ---- */

static bool runs_op(const tkg_node *n) {
#define X(name, ...) case TKG_OP_##name:
  switch (n->op) {
    UNARY_OPS(X) ARITHMETIC_OPS(X) GRAD_OPS(X) X(RANDOM) X(NORMALIZE) X(DECODE) return true;
  case TKG_OP_DROPOUT:
    return n->inputs == 1;
  case TKG_OP_NARROW:
  case TKG_OP_PAD:
    return n->i[0] == 1;
  default:
    return false;
  }
#undef X
}

bool tkg__runs_wide(const tkg_node *node, const tkg_node *const *in) {
  const tkg_node *frame = node->op == TKG_OP_NARROW ? in[0] : node;
  if (!runs_op(node) || node->dtype != TKG_F32 || node->rank != 2 || frame->rank != 2) return false;
  if (node->whole_rows > 0 || node->whole_cols > 0 || tkg__count(node) == 0) return false;
  if (tkg__cols(frame) < VEC8 || tkg__count(frame) > INT32_MAX - TKG_WIDE_TILE) return false;
  for (int k = 0; k < node->inputs; k++) {
    const bool codes = node->op == TKG_OP_DECODE;
    if (in[k]->dtype != (codes ? TKG_CODES : TKG_F32) || in[k]->rank > 2) return false;
    if (in[k]->whole_rows > 0 || in[k]->whole_cols > 0 || tkg__count(in[k]) == 0) return false;
  }
  return true;
}
