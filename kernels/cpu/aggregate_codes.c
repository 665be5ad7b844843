/* AGGREGATE and AGGREGATE_MUL of rows that are packed codes, all of them or those of a list: codes
 * are decoded in registers, between the load of a few bytes and the sum. The terms and the order of
 * each sum are those of aggregate.c, so the bits are those of decoding first.
 *
 * Edges are taken in windows (coded_rows.h), also across the ends of rows. Sums of up to four
 * registers of columns stay in registers while the edges of a row pass; columns behind the last
 * whole group of sixteen are summed one by one. */
#include "aggregate_codes.h"

#include "coded_rows.h"

typedef struct sum {
  coded_rows x;
  tkg_graph g;
  const float *r; /* relation vectors, or NULL */
  const float *w; /* by edge, or NULL: all are 1 */
  int64_t d;
  /* of the window */
  float weight[CODED_ROWS];
  const float *vector[CODED_ROWS];
  bool by_row; /* the sum of a listed row goes to that row of the result, not to its place */
} sum;

static void open_window(sum *s, int64_t p, int64_t limit) {
  if (coded_apart(&s->x))
    TKG_ISA_NAME(tkg__coded_decode)(&s->x, p, limit);
  else
    TKG_ISA_NAME(tkg__coded_window)(&s->x, p, limit, CODED_ROWS);
  for (int i = 0; i < (int)(s->x.end - p); i++) {
    const int64_t edge = s->w || s->r ? tkg__edge_number(&s->g, p + i) : 0;
    s->weight[i] = s->w ? s->w[edge] : 1.0F;
    s->vector[i] = s->r ? s->r + tkg__relation_at(s->g.relations, edge) * s->d : NULL;
  }
}

/* Adds the terms of window entries i..end-1 to columns c.. of a row, `registers` of them; begins:
 * to zero. */
TKG_INLINE void add_registers(const sum *s, int i, int end, int64_t c, int registers, int bits,
                              bool mul, bool signs, bool begins, float *out) {
  const coded_rows *x = &s->x;
  const code_levels levels = code_levels_of(bits, x->half);
  wide total[4];
  words noise[4];
  for (int k = 0; k < registers; k++) {
    total[k] = (wide){0};
    if (!begins) total[k] = wide_load(out + c + k * WIDTH);
    noise[k] = words_load(x->column_noise + c + k * WIDTH);
  }
  for (; i < end; i++) {
    const uint8_t *codes = x->codes[i] + c / 8 * bits;
    for (int k = 0; k < registers; k++) {
      const int first = k * WIDTH % CODE_GROUP, group = k * WIDTH / CODE_GROUP;
      const words q = code_load(codes + group * (CODE_GROUP / 8 * bits), bits, first);
      const words n = code_noise(noise[k], (uint32_t)x->noise[i]);
      wide t = x->zero[i] + code_value(q, bits, &levels, n) * x->unit[i];
      if (signs) t = code_signed(t, coded_signs(x, i, c + group * CODE_GROUP, CODE_GROUP), first);
      if (mul) t *= wide_load(s->vector[i] + c + k * WIDTH);
      total[k] += t * s->weight[i];
    }
  }
  for (int k = 0; k < registers; k++) wide_store(out + c + k * WIDTH, total[k]);
}

static void add_column(const sum *s, int i, int end, int64_t c, bool begins, float *out) {
  const coded_rows *x = &s->x;
  const int bits = x->codec.bits;
  float total = begins ? 0 : out[c];
  for (; i < end; i++) {
    const uint32_t q = (uint32_t)x->codes[i][c * bits / 8] >> (c * bits % 8) & ((1U << bits) - 1);
    const uint32_t noise = tkg__codec_affine(x->column_noise[c] >> 16, (uint32_t)x->noise[i]);
    const int32_t value = (int32_t)((q << 17 | x->half) - 2 * noise);
    float t = x->zero[i] + (float)value * x->unit[i];
    if (x->signs && !(coded_signs(x, i, c, 1) & 1)) t = 0;
    if (s->r) t *= s->vector[i][c];
    total += t * s->weight[i];
  }
  out[c] = total;
}

/* The same for all columns of rows that were decoded when their window was opened. */
static void add_decoded(const sum *s, int i, int end, bool begins, float *restrict out) {
  if (begins) memset(out, 0, (size_t)s->d * sizeof *out);
  for (; i < end; i++) {
    const float *restrict x = s->x.decoded + i * s->x.stride, *restrict r = s->vector[i];
    const float w = s->weight[i];
    for (int64_t c = 0; c < s->d; c++) out[c] += (r ? x[c] * r[c] : x[c]) * w;
  }
}

TKG_INLINE void add_entries(const sum *s, int i, int end, int bits, bool mul, bool signs,
                            bool begins, float *out) {
  enum { MOST = 4 / CODE_REGISTERS * CODE_REGISTERS };
  int64_t c = 0;
  if (coded_apart(&s->x)) {
    add_decoded(s, i, end, begins, out);
    return;
  }
  for (; c + MOST * WIDTH <= s->d; c += MOST * WIDTH)
    add_registers(s, i, end, c, MOST, bits, mul, signs, begins, out);
  for (; c + CODE_GROUP <= s->d; c += CODE_GROUP)
    add_registers(s, i, end, c, CODE_REGISTERS, bits, mul, signs, begins, out);
  for (; c < s->d; c++) add_column(s, i, end, c, begins, out);
}

/* Sums one row, whose edges are read up to `limit` with those of other rows. */
TKG_INLINE void sum_row(sum *s, int64_t row, int64_t limit, float *out, int bits, bool mul,
                        bool signs) {
  const int64_t first = s->g.offsets[row], last = s->g.offsets[row + 1];
  if (first == last) memset(out, 0, (size_t)s->d * sizeof *out);
  for (int64_t p = first; p < last;) {
    if (p < s->x.begin || p >= s->x.end) open_window(s, p, limit);
    const int64_t end = last < s->x.end ? last : s->x.end;
    add_entries(s, (int)(p - s->x.begin), (int)(end - s->x.begin), bits, mul, signs, p == first,
                out);
    p = end;
  }
}

/* Sums rows first..last-1 of the graph, or of the list. */
TKG_INLINE void sum_rows(sum *s, const int32_t *list, int64_t first, int64_t last, float *out,
                         int bits, bool mul, bool signs) {
  for (int64_t i = first; i < last; i++) {
    const int64_t row = list ? list[i] : i, at = s->by_row ? row : i;
    sum_row(s, row, s->g.offsets[list ? row + 1 : last], out + at * s->d, bits, mul, signs);
  }
}

void TKG_ISA_NAME(tkg__aggregate_codes)(const tkg_call *c, const float *r, const float *w,
                                        const int32_t *list, int64_t first, int64_t last) {
  sum s;
  float *out = c->out;
  s.g = edges_graph(c);
  s.r = r;
  s.w = w;
  s.d = tkg__cols(c->node);
  s.by_row = c->node->op == TKG_OP_AGGREGATE_WHERE;
  TKG_ISA_NAME(tkg__coded_open)(&s.x, c, 1, s.g.ids);
  const bool mul = r, signs = s.x.signs;
  switch (s.x.codec.bits * 4 + 2 * mul + signs) {
#define X(bits, mul, signs)                                                                        \
  case (bits)*4 + 2 * (mul) + (signs):                                                             \
    sum_rows(&s, list, first, last, out, bits, mul, signs);                                        \
    break;
#define XX(bits) X(bits, 0, 0) X(bits, 0, 1) X(bits, 1, 0) X(bits, 1, 1)
    XX(8) XX(4) XX(2) XX(1)
#undef XX
#undef X
  }
}
