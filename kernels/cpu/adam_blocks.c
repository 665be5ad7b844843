/* ADAM_BLOCKS: Adam for parameters of 16 bits (shared/bf16.h), for moments of 8 bits or one per row
 * (shared/moments.h), for gradients of some rows, and for some rows alone.
 *
 * A unit is a chunk of blocks of at most CHUNK elements. Decoding, updating and encoding go over
 * the chunk one after the other, while its numbers and noise stay in the first cache; memory is
 * gone through once. Inner loops are over 32-bit words alone: a loop that mixes them with bytes is
 * vectorised only for blocks longer than many rows are. Numbers that are all floats are updated in
 * place. Where rows are listed by id, a unit is as many places of the list instead. Blocks are
 * independent, so the split over threads does not change a result. */
#include "adam.h"
#include "base/error.h"
#include "ids.h"
#include "isa.h"
#include "lanes.h"
#include "philox_fill.h"
#include "shared/bf16.h"
#include "shared/moments.h"
#include "wide.h"

enum { CHUNK = 1024, CHUNK_BLOCKS = CHUNK / 16 };

typedef struct operands {
  void *p;
  const float *g;
  void *first;                 /* m: floats, or codes (and v's) */
  float *second;               /* v, or scales */
  const int32_t *index;        /* by block: the row of g, or -1, that is zero; may be NULL */
  const int32_t *ids, *places; /* of the blocks to be updated; may be NULL */
  bool compact;                /* g has a row per listed id */
  bool half;                   /* p has 16 bits */
  bool coded, rowwise;
  tkg_moments s;
  int64_t count;
  uint32_t stream;
  adam a;
} operands;

/* The blocks of a chunk: block k lies at `slot[k]` of the arrays. */
typedef struct chunk {
  _Alignas(64) float p[CHUNK], m[CHUNK], v[CHUNK];
  _Alignas(64) uint32_t noise[CHUNK];
  _Alignas(64) uint16_t drawn[CHUNK / 2 + 8 * TKG__BLOCKS];
  int64_t block[CHUNK_BLOCKS];
  const float *g[CHUNK_BLOCKS];
  float largest[CHUNK_BLOCKS][2]; /* of a block's m and v; row-wise the latter is v */
  int blocks;
} chunk;

static tkg_moments moments_of(const tkg_node *n) {
  return tkg__moments_of(tkg__count(n), tkg__cols(n), (int)n->i[1]);
}

static int64_t slot_of(const operands *u) { return 16 * u->s.draws; }
static int64_t blocks_per_chunk(const tkg_moments *s) { return CHUNK / (16 * s->draws); }

/* Whether only the rows of a list of ids are updated. */
static bool is_listed(const tkg_node *node) { return node->inputs == 6; }

static int64_t chunk_units(const tkg_node *node, const tkg_node *const *in) {
  const tkg_moments s = moments_of(node);
  const int64_t n = is_listed(node) ? tkg__count(in[4]) : s.blocks;
  return (n + blocks_per_chunk(&s) - 1) / blocks_per_chunk(&s);
}

static int64_t work(const tkg_node *node, const tkg_node *const *in) {
  const bool floats = in[0]->dtype == TKG_F32 && !(node->i[1] & ~TKG_MOMENTS_BY_ROW);
  const int64_t count = is_listed(node) ? tkg__count(in[4]) * tkg__cols(node) : tkg__count(node);
  return (floats ? 4 : 8) * count;
}

static operands operands_of(const tkg_call *c) {
  const int64_t *i = c->node->i;
  return (operands){.p = c->data[0],
                    .g = c->data[1],
                    .first = c->data[2],
                    .second = c->data[3],
                    .index = is_listed(c->node) ? NULL : c->data[4],
                    .ids = is_listed(c->node) ? c->data[4] : NULL,
                    .places = c->data[5],
                    .half = c->in[0]->dtype == TKG_BF16,
                    .compact = i[3] != 0,
                    .coded = i[1] & TKG_MOMENTS_8,
                    .rowwise = i[1] & TKG_MOMENTS_ROWWISE,
                    .s = moments_of(c->node),
                    .count = tkg__count(c->node),
                    .stream = (uint32_t)(TKG_PARAMETER_STREAM + i[2]),
                    .a = adam_of(c)};
}

static int64_t length_of(const operands *u, int64_t block) {
  const int64_t left = u->count - block * u->s.length;
  return left < u->s.length ? left : u->s.length;
}

/* The numbers of block b in the second state tensor: scales, of m and of v, or row-wise of m and v
 * itself; without codes v alone, row-wise. */
static float *of_block(const operands *u, int64_t b) {
  return u->coded ? u->second + 2 * b : u->rowwise ? u->second + b : NULL;
}

/* ---- noise ---- */

/* Draws 16 bits for each element of the chunk, by blocks: their numbers follow each other unless
 * they are listed. `before`: Philox blocks before those of the first. */
static void draw(const operands *u, const tkg_run_context *c, uint32_t stream, uint64_t before,
                 chunk *x) {
  const int64_t draws = u->s.draws;
  const int calls = u->ids ? x->blocks : 1;
  for (int k = 0; k < calls; k++)
    tkg__philox_fill(c->seed, before + (uint64_t)(x->block[k] * draws),
                     u->ids ? draws : x->blocks * draws, (uint32_t)c->t, stream,
                     x->drawn + 8 * k * draws);
  for (int64_t i = 0; i < x->blocks * draws; i++) {
    const uint16_t *from = x->drawn + 8 * i;
    uint32_t *to = x->noise + 16 * i;
    for (int k = 0; k < 8; k++) to[k] = from[k];
    for (int k = 0; k < 8; k++) to[k + 8] = 65535u - from[k];
  }
}

/* ---- one block of n elements: at `at` in memory, at `i` in the chunk ---- */

/* p itself, or its numbers as floats. */
static float *open_parameter(const operands *u, int64_t at, int64_t n, float *restrict floats) {
  const uint16_t *restrict from = (const uint16_t *)u->p + at;
  if (!u->half) return (float *)u->p + at;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) floats[j] = tkg__bf16_value(from[j]);
  return floats;
}

/* Reads m and, unless it is the row's, v, multiplied by their betas. */
static void decode(const operands *u, int64_t at, int64_t n, const float *scales, float *restrict m,
                   float *restrict v) {
  const float decayed_m = u->a.beta1 * (u->coded ? scales[0] : 1);
  const float decayed_v = u->a.beta2 * (u->coded ? scales[1] : 1);
  if (u->coded && u->rowwise) {
    const uint8_t *restrict codes = (const uint8_t *)u->first + at;
    for (int64_t j = 0; j < n; j++) m[j] = tkg__moments_first(codes[j]) * decayed_m;
  } else if (u->coded) {
    const int16_t *restrict codes = (const int16_t *)u->first + at;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
      m[j] = tkg__moments_first(codes[j]) * decayed_m;
      v[j] = tkg__moments_second(codes[j]) * decayed_v;
    }
  } else {
    const float *restrict from = (const float *)u->first + at;
    for (int64_t j = 0; j < n; j++) m[j] = from[j] * decayed_m;
    for (int64_t j = 0; j < n && !u->rowwise; j++) v[j] = u->second[at + j] * decayed_v;
  }
}

/* Kingma and Ba, ICLR 2015, algorithm 1. */
static void update(const adam a, const float *restrict g, int64_t n, float *restrict p,
                   float *restrict m, float *restrict v, float largest[2]) {
  float most_m = 0, most_v = 0;
#pragma omp simd reduction(max : most_m, most_v)
  for (int64_t j = 0; j < n; j++) {
    float gradient = g[j] + a.decay * p[j];
    m[j] = tkg__first_settled(m[j] + a.rest1 * gradient);
    v[j] = tkg__second_settled(v[j] + a.rest2 * (gradient * gradient));
    p[j] = a.keep * p[j] - a.rate * m[j] / (sqrtf(v[j]) * a.scale + a.eps);
    float size = fabsf(m[j]);
    most_m = size > most_m ? size : most_m;
    most_v = v[j] > most_v ? v[j] : most_v;
  }
  largest[0] = most_m;
  largest[1] = most_v;
}

/* The same with one v for the row: v_row of before, the new one to largest[1]. `gradient` is of n
 * elements, to be written. */
static void update_rowwise(const adam a, const float *restrict g, int64_t n, float v_row,
                           float *restrict p, float *restrict m, float *restrict gradient,
                           float largest[2]) {
  float most_m = 0;
  for (int64_t j = 0; j < n; j++) gradient[j] = g[j] + a.decay * p[j];
  const float square = lanes_dot(gradient, gradient, n) / (float)n;
  largest[1] = tkg__second_settled(a.beta2 * v_row + a.rest2 * square);
  const float step = a.rate / (sqrtf(largest[1]) * a.scale + a.eps);
#pragma omp simd reduction(max : most_m)
  for (int64_t j = 0; j < n; j++) {
    m[j] = tkg__first_settled(m[j] + a.rest1 * gradient[j]);
    p[j] = a.keep * p[j] - step * m[j];
    float size = fabsf(m[j]);
    most_m = size > most_m ? size : most_m;
  }
  largest[0] = most_m;
}

/* Writes the moments and their scales. */
static void encode(const operands *u, int64_t at, int64_t n, float *scales, chunk *x, int64_t i,
                   const float largest[2]) {
  const float *restrict m = x->m + i, *restrict v = x->v + i;
  const uint32_t *restrict noise = x->noise + i;
  const float units_m = tkg__moments_units(largest[0], TKG_FIRST_TOP);
  const float units_v = tkg__moments_units(largest[1], TKG_SECOND_TOP);
  if (!u->coded) {
    memcpy((float *)u->first + at, m, (size_t)n * sizeof *m);
    if (!u->rowwise) memcpy(u->second + at, v, (size_t)n * sizeof *v);
    return;
  }
  scales[0] = tkg__moments_scale(largest[0], TKG_FIRST_TOP);
  if (u->rowwise) {
    uint8_t *restrict codes = (uint8_t *)u->first + at;
    for (int64_t j = 0; j < n; j++)
      codes[j] = (uint8_t)tkg__moments_encode_first(m[j] * units_m, tkg__moments_noise(noise[j]));
    return;
  }
  scales[1] = tkg__moments_scale(largest[1], TKG_SECOND_TOP);
  int16_t *restrict codes = (int16_t *)u->first + at;
#pragma omp simd
  for (int64_t j = 0; j < n; j++)
    codes[j] = tkg__moments_encode(m[j] * units_m, v[j] * units_v, tkg__moments_noise(noise[j]));
}

static void store(const operands *u, int64_t at, int64_t n, const chunk *x, int64_t i) {
  uint16_t *restrict to = (uint16_t *)u->p + at;
#pragma omp simd
  for (int64_t j = 0; j < n; j++) to[j] = tkg__bf16_round(x->p[i + j], x->noise[i + j]);
}

/* ---- a chunk ---- */

static const float zeros[CHUNK]; /* the gradient of blocks that have none */

/* Adds block b, whose gradient is block `at` of g; -1: zero. */
static void add_block(const operands *u, int64_t b, int64_t at, chunk *x) {
  x->block[x->blocks] = b;
  x->g[x->blocks++] = at < 0 ? zeros : u->g + at * u->s.length;
}

/* Lists the blocks first..last-1, or the rows whose ids have their first place there. */
static void list_blocks(const operands *u, int64_t first, int64_t last, chunk *x) {
  x->blocks = 0;
  for (int64_t k = first; k < last; k++) {
    if (!u->ids)
      add_block(u, k, u->index ? u->index[k] : k, x);
    else if (u->places[k] == k)
      add_block(u, u->ids[k], u->compact ? k : u->ids[k], x);
  }
}

/* Rows by id lie anywhere, and hardware cannot foresee them. */
static void prefetch_blocks(const operands *u, const chunk *x) {
  const int64_t n = u->s.length;
  for (int k = 0; k < x->blocks; k++) {
    const int64_t at = x->block[k] * n;
    prefetch_row((const float *)u->p + (u->half ? at / 2 : at), u->half ? n / 2 : n);
    prefetch_row((const float *)u->first + (u->coded ? at / 2 : at), u->coded ? n / 2 : n);
    if (!u->coded && !u->rowwise) prefetch_row(u->second + at, n);
  }
}

/* Updates blocks of floats in place; `length` is a constant where models have it. Blocks that are
 * no whole registers are updated at once where they have no gradient and follow each other. */
TKG_INLINE void update_floats(int64_t length, const operands *u, const chunk *x) {
  const bool joins = length % WIDTH != 0;
  for (int k = 0, next; k < x->blocks; k = next) {
    const int64_t at = x->block[k] * length;
    for (next = k + 1; joins && x->g[k] == zeros && next < x->blocks && x->g[next] == zeros;)
      next++;
    adam_update((float *)u->p + at, x->g[k], (float *)u->first + at, u->second + at,
                (next - k) * length, u->a);
  }
}

static void update_block(const operands *u, chunk *x, int k) {
  const int64_t b = x->block[k], at = b * u->s.length, n = length_of(u, b), i = k * slot_of(u);
  const float *g = x->g[k];
  float *scales = of_block(u, b), *p = open_parameter(u, at, n, x->p + i);
  decode(u, at, n, scales, x->m + i, x->v + i);
  if (!u->rowwise) {
    update(u->a, g, n, p, x->m + i, x->v + i, x->largest[k]);
    return;
  }
  float *v_row = scales + u->coded;
  update_rowwise(u->a, g, n, *v_row, p, x->m + i, x->v + i, x->largest[k]);
  *v_row = x->largest[k][1];
}

/* Updates all blocks before it encodes the first: encoding waits for the last square root of a
 * block. */
static void update_chunk(const operands *u, const tkg_run_context *c, chunk *x) {
  for (int k = 0; k < x->blocks; k++) update_block(u, x, k);
  if (u->coded) draw(u, c, TKG_MOMENTS_STREAM, 0, x);
  for (int k = 0; k < x->blocks; k++) {
    const int64_t b = x->block[k];
    encode(u, b * u->s.length, length_of(u, b), of_block(u, b), x, k * slot_of(u), x->largest[k]);
  }
  if (u->half) draw(u, c, u->stream, tkg__parameter_blocks(c->step), x);
  for (int k = 0; k < x->blocks && u->half; k++) {
    const int64_t b = x->block[k];
    store(u, b * u->s.length, length_of(u, b), x, k * slot_of(u));
  }
}

static int adam_blocks_run(const tkg_call *c, int64_t begin, int64_t end) {
  const operands u = operands_of(c);
  const int64_t per_chunk = blocks_per_chunk(&u.s);
  const int64_t count = u.ids ? tkg__count(c->in[4]) : u.s.blocks;
  const bool floats = (u.index || u.ids) && !u.half && !u.coded && !u.rowwise;
  chunk x;
  for (int64_t unit = begin; unit < end; unit++) {
    const int64_t first = unit * per_chunk, last = first + per_chunk;
    list_blocks(&u, first, last < count ? last : count, &x);
    if (u.ids) prefetch_blocks(&u, &x);
    if (floats) {
      EACH_COLUMNS(update_floats, u.s.length, &u, &x);
    } else if (x.blocks) {
      update_chunk(&u, c->context, &x);
    }
  }
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_adam_blocks)[] = {
    {.op = TKG_OP_ADAM_BLOCKS, .run = adam_blocks_run, .units = chunk_units, .work = work},
    {0},
};
