/* ADAM_BLOCKS: Adam for parameters of 16 bits (shared/bf16.h), for moments of 8 bits or one per row
 * (shared/moments.h), for gradients of some rows, and for some rows alone.
 *
 * One group of lanes takes a block, each lane eight of its elements: p and moments are decoded,
 * updated and encoded in registers. Memory is gone through once: with moments of 8 bits, 4 bytes of
 * gradient are read, and 4 bytes of parameter and 2 bytes of codes read and written, per element. A
 * block's largest m and v are maxima by shuffles, which no order can change, and codes are integers
 * and single float operations: the same bytes in every run and on the CPU. A row's mean square is a
 * sum by shuffles: the same bytes in every run.
 *
 * Which formats there are is the same for all threads, so one kernel serves them all by branches
 * that cost nothing beside memory. */
#include "adam.cuh"
#include "device_errors.h"
#include "family.h"
#include "philox.cuh"
#include "vec8.cuh"
#include "warp.cuh"

struct adam_blocks {
  void *p;
  const float *g;
  void *first;                 /* m: floats, or codes (and v's) */
  float *second;               /* v, or scales */
  const int32_t *index;        /* by block: the row of g, or -1, that is zero; may be NULL */
  const int32_t *ids, *places; /* of the blocks to be updated; may be NULL */
  int64_t n, units;            /* elements; blocks or ids */
  bool compact;                /* g has a row per listed id */
  bool half;                   /* p has 16 bits */
  bool coded, rowwise;
  bool whole; /* each lane's elements are aligned to 16 bytes in each array */
  uint32_t stream;
  tkg_moments s;
};

/* A lane's elements of a block. */
struct lane_part {
  int64_t block, at, g; /* the first one's place in the arrays, and in the gradient */
  int count, group, lane;
  bool exists, whole, zero; /* zero: the gradient is */
  float p[VEC8], m[VEC8], v[VEC8];
};

/* ---- eight elements of one or two bytes ---- */

static __device__ __forceinline__ void load_halves(const void *from, int64_t at, bool whole,
                                                   int count, uint16_t x[VEC8]) {
  const uint16_t *source = static_cast<const uint16_t *>(from) + at;
  uint4 four = make_uint4(0, 0, 0, 0);
  if (whole) four = *reinterpret_cast<const uint4 *>(source);
  const uint32_t words[4] = {four.x, four.y, four.z, four.w};
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    x[k] = whole ? (uint16_t)(words[k / 2] >> 16 * (k % 2)) : k < count ? source[k] : (uint16_t)0;
}

static __device__ __forceinline__ void store_halves(void *to, int64_t at, bool whole, int count,
                                                    const uint16_t x[VEC8]) {
  uint16_t *target = static_cast<uint16_t *>(to) + at;
  uint32_t words[4];
  TKG_UNROLL
  for (int k = 0; k < VEC8; k += 2) words[k / 2] = x[k] | (uint32_t)x[k + 1] << 16;
  if (whole)
    *reinterpret_cast<uint4 *>(target) = make_uint4(words[0], words[1], words[2], words[3]);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (!whole && k < count) target[k] = x[k];
}

static __device__ __forceinline__ void load_bytes(const void *from, int64_t at, bool whole,
                                                  int count, uint8_t x[VEC8]) {
  const uint8_t *source = static_cast<const uint8_t *>(from) + at;
  uint2 two = make_uint2(0, 0);
  if (whole) two = *reinterpret_cast<const uint2 *>(source);
  const uint32_t words[2] = {two.x, two.y};
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    x[k] = whole ? (uint8_t)(words[k / 4] >> 8 * (k % 4)) : k < count ? source[k] : (uint8_t)0;
}

static __device__ __forceinline__ void store_bytes(void *to, int64_t at, bool whole, int count,
                                                   const uint8_t x[VEC8]) {
  uint8_t *target = static_cast<uint8_t *>(to) + at;
  uint32_t words[2] = {0, 0};
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) words[k / 4] |= (uint32_t)x[k] << 8 * (k % 4);
  if (whole) *reinterpret_cast<uint2 *>(target) = make_uint2(words[0], words[1]);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (!whole && k < count) target[k] = x[k];
}

/* ---- decoding ---- */

/* The numbers of block b in the second state tensor: scales, of m and of v, or row-wise of m and v
 * itself; without codes v alone, row-wise. */
static __device__ __forceinline__ float *of_block(const adam_blocks &x, int64_t b) {
  return x.coded ? x.second + 2 * b : x.second + b;
}

static __device__ __forceinline__ void load_parameter(const adam_blocks &x, lane_part *e) {
  uint16_t halves[VEC8];
  if (!x.half) {
    load_vec8(static_cast<const float *>(x.p) + e->at, e->whole, e->count, e->p);
    return;
  }
  load_halves(x.p, e->at, e->whole, e->count, halves);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) e->p[k] = tkg__bf16_value(halves[k]);
}

/* m, and v unless it is the row's, multiplied by their betas. */
static __device__ __forceinline__ void load_moments(const adam_blocks &x, const adam &rule,
                                                    lane_part *e) {
  const float *scales = of_block(x, e->block);
  const float decayed_m = rule.beta1 * (x.coded ? scales[0] : 1);
  const float decayed_v = rule.beta2 * (x.coded ? scales[1] : 1);
  if (x.coded && x.rowwise) {
    uint8_t codes[VEC8];
    load_bytes(x.first, e->at, e->whole, e->count, codes);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) e->m[k] = tkg__moments_first(codes[k]) * decayed_m;
  } else if (x.coded) {
    uint16_t codes[VEC8];
    load_halves(x.first, e->at, e->whole, e->count, codes);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) {
      e->m[k] = tkg__moments_first((int16_t)codes[k]) * decayed_m;
      e->v[k] = tkg__moments_second((int16_t)codes[k]) * decayed_v;
    }
  } else {
    load_vec8(static_cast<const float *>(x.first) + e->at, e->whole, e->count, e->m);
    if (!x.rowwise) load_vec8(x.second + e->at, e->whole, e->count, e->v);
    TKG_UNROLL
    for (int k = 0; k < VEC8; k++) e->m[k] *= decayed_m, e->v[k] *= decayed_v;
  }
}

/* ---- updating ---- */

static __device__ __forceinline__ void update_lane(const adam &rule, const float g[VEC8],
                                                   lane_part *e) {
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) e->p[k] = rule.advance(e->p[k], g[k], &e->m[k], &e->v[k]);
}

/* All lanes of the group take part; returns the row's new v. The old one is read before they meet,
 * as lane 0 writes the new one. */
static __device__ __forceinline__ float update_row(const adam_blocks &x, const adam &rule,
                                                   const float g[VEC8], lane_part *e) {
  const float before = e->exists ? of_block(x, e->block)[x.coded] : 0.0F;
  float square = 0;
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    const float gradient = k < e->count ? g[k] + rule.decay * e->p[k] : 0.0F;
    square += gradient * gradient;
    e->m[k] = tkg__first_settled(e->m[k] + rule.rest1 * gradient);
  }
  square = tkg_group_sum(square, e->group) / (float)x.s.length;
  const float v = tkg__second_settled(rule.beta2 * before + rule.rest2 * square);
  const float step = rule.row_step(v);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) e->p[k] = rule.keep * e->p[k] - step * e->m[k];
  return v;
}

static __device__ __forceinline__ float largest_of(const float x[VEC8], int count, int width) {
  float most = 0;
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++)
    if (k < count && fabsf(x[k]) > most) most = fabsf(x[k]);
  return tkg_group_max(most, width);
}

/* ---- encoding ---- */

static __device__ __forceinline__ void draw(const adam_blocks &x, const tkg_run_params *run,
                                            uint32_t stream, uint64_t before, const lane_part *e,
                                            uint32_t noise[VEC8]) {
  uint32_t words[4];
  tkg__philox_block(run->seed, before + (uint64_t)(e->block * x.s.draws + e->lane / 2), run->update,
                    stream, words);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) noise[k] = tkg_half(words, k) ^ (e->lane % 2 ? 0xffffu : 0u);
}

static __device__ __forceinline__ void
store_parameter(const adam_blocks &x, const tkg_run_params *run, const lane_part *e) {
  uint32_t noise[VEC8];
  uint16_t halves[VEC8];
  if (!x.half) {
    store_vec8(static_cast<float *>(x.p) + e->at, e->whole, e->count, e->p);
    return;
  }
  draw(x, run, x.stream, tkg__parameter_blocks(run->step), e, noise);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) halves[k] = tkg__bf16_round(e->p[k], noise[k]);
  store_halves(x.p, e->at, e->whole, e->count, halves);
}

static __device__ __forceinline__ void store_codes(const adam_blocks &x, const tkg_run_params *run,
                                                   const lane_part *e, float most_m, float most_v) {
  const float units_m = tkg__moments_units(most_m, TKG_FIRST_TOP);
  const float units_v = tkg__moments_units(most_v, TKG_SECOND_TOP);
  uint32_t noise[VEC8];
  uint16_t both[VEC8];
  uint8_t first[VEC8];
  draw(x, run, TKG_MOMENTS_STREAM, 0, e, noise);
  TKG_UNROLL
  for (int k = 0; k < VEC8; k++) {
    const uint32_t bits = tkg__moments_noise(noise[k]);
    first[k] = (uint8_t)tkg__moments_encode_first(e->m[k] * units_m, bits);
    both[k] = (uint16_t)tkg__moments_encode(e->m[k] * units_m, e->v[k] * units_v, bits);
  }
  if (x.rowwise)
    store_bytes(x.first, e->at, e->whole, e->count, first);
  else
    store_halves(x.first, e->at, e->whole, e->count, both);
  float *scales = of_block(x, e->block);
  if (e->lane > 0) return;
  scales[0] = tkg__moments_scale(most_m, TKG_FIRST_TOP);
  if (!x.rowwise) scales[1] = tkg__moments_scale(most_v, TKG_SECOND_TOP);
}

static __device__ __forceinline__ void store_floats(const adam_blocks &x, const lane_part *e) {
  store_vec8(static_cast<float *>(x.first) + e->at, e->whole, e->count, e->m);
  if (!x.rowwise) store_vec8(x.second + e->at, e->whole, e->count, e->v);
}

/* ---- kernel ---- */

/* The lane's part of unit k, which need not exist: of block k, or of the row whose id has its first
 * place at k. */
static __device__ __forceinline__ lane_part part_of(const adam_blocks &x, const tkg_group &group,
                                                    int64_t k) {
  lane_part e = {};
  const int64_t in_block = (int64_t)group.lane * VEC8;
  const bool meant = k < x.units && (!x.ids || x.places[k] == k);
  e.block = meant && x.ids ? x.ids[k] : k;
  e.at = e.block * x.s.length + in_block;
  e.group = group.width;
  e.lane = group.lane;
  const int64_t left = x.s.length - in_block < x.n - e.at ? x.s.length - in_block : x.n - e.at;
  const int64_t row = meant && x.index ? x.index[k] : x.compact ? k : e.block;
  e.exists = meant && left > 0;
  e.zero = row < 0;
  e.count = !e.exists ? 0 : left < VEC8 ? (int)left : VEC8;
  e.whole = x.whole && e.count == VEC8;
  e.g = row * x.s.length + in_block;
  return e;
}

static __global__ void adam_blocks_kernel(adam_blocks x, int width, adam rule,
                                          const tkg_run_params *run, const unsigned *failed) {
  const tkg_group group = tkg_group_of(width);
  if (*failed) return;
  rule.read(run);
  for (int64_t k = group.row; tkg_any_row(k, x.units); k += group.stride) {
    lane_part e = part_of(x, group, k);
    float g[VEC8] = {}, v_row = 0;
    if (e.exists) {
      if (!e.zero) load_vec8(x.g + e.g, e.whole, e.count, g);
      load_parameter(x, &e);
      load_moments(x, rule, &e);
    }
    if (x.rowwise)
      v_row = update_row(x, rule, g, &e);
    else if (e.exists)
      update_lane(rule, g, &e);
    const float most_m = x.coded ? largest_of(e.m, e.count, width) : 0.0F;
    const float most_v = x.coded && !x.rowwise ? largest_of(e.v, e.count, width) : 0.0F;
    if (!e.exists) continue;
    store_parameter(x, run, &e);
    if (x.coded)
      store_codes(x, run, &e, most_m, most_v);
    else
      store_floats(x, &e);
    if (x.rowwise && e.lane == 0) of_block(x, e.block)[x.coded] = v_row;
  }
}

/* ---- launcher ---- */

static adam_blocks operands_of(const tkg_call *c) {
  const int64_t *i = c->node->i;
  adam_blocks x = {};
  x.p = c->data[0];
  x.g = tkg_in<float>(c, 1);
  x.first = c->data[2];
  x.second = static_cast<float *>(c->data[3]);
  const bool listed = c->node->inputs == 6;
  (listed ? x.ids : x.index) = tkg_in<int32_t>(c, 4);
  x.places = tkg_in<int32_t>(c, 5);
  x.n = tkg__count(c->node);
  x.half = c->in[0]->dtype == TKG_BF16;
  x.compact = i[3] != 0;
  x.coded = i[1] & TKG_MOMENTS_8;
  x.rowwise = i[1] & TKG_MOMENTS_ROWWISE;
  x.stream = (uint32_t)(TKG_PARAMETER_STREAM + i[2]);
  x.s = tkg__moments_of(x.n, tkg__cols(c->node), (int)i[1]);
  x.units = listed ? tkg__count(c->in[4]) : x.s.blocks;
  x.whole = x.s.length % VEC8 == 0 && tkg_vec4_aligned(x.p, 0) && tkg_vec4_aligned(x.g, 0) &&
            tkg_vec4_aligned(x.first, 0) && tkg_vec4_aligned(x.second, 0);
  return x;
}

static int adam_blocks_run(const tkg_call *c, cudaStream_t stream) {
  const adam_blocks x = operands_of(c);
  const int width = tkg_group_width(tkg_ceil(x.s.length, VEC8));
  adam a;
  const int status = adam_of(c, &a);
  if (!status && x.units > 0)
    tkg_launch(adam_blocks_kernel, tkg_groups(x.units, width), stream, x, width, a,
               tkg__run_params(), tkg__run_failed());
  return status;
}

const tkg_cuda_op tkg__cuda_adam_blocks[] = {
    {TKG_OP_ADAM_BLOCKS, adam_blocks_run, NULL},
    {0, NULL, NULL},
};
