/* Adam with its moments in 8 bits (shared/moments.h): p, m and v of each element are updated, and m
 * and v are stored as codes with one scale per block of elements.
 *
 * A unit is a chunk of blocks of at most CHUNK elements. Decoding, updating and encoding go over
 * the chunk one after the other, while its moments and noise stay in the first cache; memory is
 * gone through once. Inner loops are over 32-bit words alone: a loop that mixes them with bytes is
 * vectorised only for blocks longer than many rows are. Blocks are independent, so the split over
 * threads does not change a result. */
#include "adam.h"
#include "base/error.h"
#include "flat.h"
#include "isa.h"
#include "philox_fill.h"
#include "shared/moments.h"

enum { CHUNK = 1024 };

typedef struct chunk {
  _Alignas(64) float m[CHUNK], v[CHUNK];
  _Alignas(64) uint32_t noise[CHUNK];
  _Alignas(64) uint16_t drawn[CHUNK / 2 + 8 * TKG__BLOCKS];
  float largest[CHUNK / 16][2]; /* of a block's m and v */
} chunk;

static tkg_moments moments_of(const tkg_node *p) {
  return tkg__moments_of(tkg__count(p), tkg__cols(p));
}

static int64_t blocks_per_chunk(const tkg_moments *s) { return CHUNK / (16 * s->draws); }

static int64_t chunk_units(const tkg_node *node, const tkg_node *const *in) {
  (void)in;
  const tkg_moments s = moments_of(node);
  return (s.blocks + blocks_per_chunk(&s) - 1) / blocks_per_chunk(&s);
}

static void draw(const tkg_run_context *c, int64_t first, int64_t draws, chunk *x) {
  tkg__philox_halves(c->seed, (uint64_t)first, draws, (uint32_t)c->t, TKG_MOMENTS_STREAM, x->drawn);
  for (int64_t i = 0; i < draws; i++) {
    const uint16_t *from = x->drawn + 8 * i;
    uint32_t *to = x->noise + 16 * i;
    for (int k = 0; k < 8; k++) to[k] = tkg__moments_noise(from[k]);
    for (int k = 0; k < 8; k++) to[k + 8] = tkg__moments_noise(65535u - from[k]);
  }
}

/* Kingma and Ba, ICLR 2015, algorithm 1, on one block; m and v are decoded first. */
static void update(float *restrict p, const float *restrict g, const int16_t *restrict codes,
                   int64_t n, const float scales[2], const adam a, float *restrict m,
                   float *restrict v, float largest[2]) {
  const float decayed_m = a.beta1 * scales[0], decayed_v = a.beta2 * scales[1];
  float most_m = 0, most_v = 0;
#pragma omp simd reduction(max : most_m, most_v)
  for (int64_t i = 0; i < n; i++) {
    float gradient = g[i] + a.decay * p[i];
    m[i] = tkg__moments_first(codes[i]) * decayed_m + a.rest1 * gradient;
    v[i] = tkg__moments_second(codes[i]) * decayed_v + a.rest2 * (gradient * gradient);
    p[i] -= a.rate * m[i] / (sqrtf(v[i]) * a.scale + a.eps);
    float size = fabsf(m[i]);
    most_m = size > most_m ? size : most_m;
    most_v = v[i] > most_v ? v[i] : most_v;
  }
  largest[0] = most_m;
  largest[1] = most_v;
}

static void encode(const float *restrict m, const float *restrict v, const uint32_t *restrict noise,
                   int64_t n, const float largest[2], int16_t *restrict codes) {
  const float units_m = tkg__moments_units(largest[0], TKG_FIRST_TOP);
  const float units_v = tkg__moments_units(largest[1], TKG_SECOND_TOP);
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    codes[i] = tkg__moments_encode(m[i] * units_m, v[i] * units_v, noise[i]);
}

/* Updates all blocks before it encodes the first: encoding waits for the last square root of a
 * block. */
static void update_chunk(const tkg_call *c, const tkg_moments *s, int64_t block, int64_t blocks,
                         const adam a, chunk *x) {
  const int64_t at = block * s->length, length = s->length, left = tkg__count(c->node) - at;
  const int64_t n = blocks * length < left ? blocks * length : left;
  float *p = (float *)c->data[0] + at, *scales = (float *)c->data[3] + 2 * block;
  const float *g = (const float *)c->data[1] + at;
  int16_t *codes = (int16_t *)c->data[2] + at;
  draw(c->context, block * s->draws, blocks * s->draws, x);
  for (int64_t b = 0, i = 0; b < blocks; b++, i += length)
    update(p + i, g + i, codes + i, n - i < length ? n - i : length, scales + 2 * b, a, x->m + i,
           x->v + i, x->largest[b]);
  for (int64_t b = 0, i = 0; b < blocks; b++, i += length) {
    encode(x->m + i, x->v + i, x->noise + 16 * b * s->draws, n - i < length ? n - i : length,
           x->largest[b], codes + i);
    scales[2 * b] = tkg__moments_scale(x->largest[b][0], TKG_FIRST_TOP);
    scales[2 * b + 1] = tkg__moments_scale(x->largest[b][1], TKG_SECOND_TOP);
  }
}

static int adam8_run(const tkg_call *c, int64_t begin, int64_t end) {
  const tkg_moments s = moments_of(c->node);
  const adam a = adam_of(c);
  const int64_t per_chunk = blocks_per_chunk(&s);
  chunk x;
  for (int64_t unit = begin; unit < end; unit++) {
    const int64_t block = unit * per_chunk, left = s.blocks - block;
    update_chunk(c, &s, block, left < per_chunk ? left : per_chunk, a, &x);
  }
  return TKG_OK;
}

const tkg_cpu_op TKG_ISA_NAME(tkg__cpu_adam8)[] = {
    {.op = TKG_OP_ADAM8, .run = adam8_run, .units = chunk_units, .work = flat_work_8},
    {0},
};
