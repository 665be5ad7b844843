/* The edges that a sum has to read, in order, with their rows on the way: those whose weight is not
 * zero, or, where x has rows for some tails alone, those whose tail has one. Dropout gives many
 * edges a weight of zero, half of them in KGIN. Such a term adds zero to a sum that is never -0, so
 * sums that skip it have the same bits, as long as rows are finite; what they need not do is read
 * the row. No branch depends on an edge, as none could be predicted: edges are selected a window at
 * a time. */
#ifndef TKG_CPU_KEPT_EDGES_H
#define TKG_CPU_KEPT_EDGES_H

#include "edges.h"
#include "shared/vmath.h"
#include "wide.h"

enum {
  KEPT_WINDOW = 512, /* edges */
  KEPT_SAMPLES = 64,
  KEPT_PART = 8,
  FAR_TAILS = 1 << 18, /* row_of of more tails does not fit the second cache: it is prefetched */
};

typedef struct kept_edges {
  const tkg_graph *g;
  const float *w;        /* by edge number; may be NULL if there is row_of */
  const int32_t *row_of; /* the row of x by tail, -1: none; NULL: tail t has row t */
  int32_t rows;          /* of x, if there is row_of */
  bool leads_outside;    /* row_of has named a row that x has not; such an edge is not kept */
  const char *x;         /* row r is at x + r row_bytes */
  int64_t row_bytes;
  int64_t begin, end, limit;                     /* places of the window; edges end at `limit` */
  int at, count;                                 /* the entry to be taken next; entries */
  int32_t place[KEPT_WINDOW];                    /* after `begin`, ascending */
  int32_t row[KEPT_WINDOW], number[KEPT_WINDOW]; /* of x; of the edge */
  float weight[KEPT_WINDOW];                     /* 0 without w */
} kept_edges;

/* Whether at least an eighth of the edges first..last-1 seem to be left out, by the first of them:
 * those that are to be read next. */
static inline bool leaves_out_edges(const tkg_graph *g, const float *w, int64_t first,
                                    int64_t last) {
  const int64_t samples = last - first < KEPT_SAMPLES ? last - first : KEPT_SAMPLES;
  int64_t zeros = 0;
  for (int64_t k = 0; w && k < samples; k++) zeros += w[tkg__edge_number(g, first + k)] == 0;
  return zeros > 0 && zeros * KEPT_PART >= samples;
}

/* Prepares to go through those of the edges first..last-1 whose weight is not zero; rows of x have
 * so many bytes. */
static inline void begin_kept(kept_edges *k, const tkg_graph *g, const float *w, const void *x,
                              int64_t row_bytes, int64_t first, int64_t last) {
  k->g = g;
  k->w = w;
  k->row_of = NULL;
  k->rows = 0;
  k->leads_outside = false;
  k->x = x;
  k->row_bytes = row_bytes;
  k->begin = k->end = first;
  k->limit = last;
  k->at = k->count = 0;
}

/* Changes that to the edges whose tail has one of the `rows` rows of x. */
static inline void keep_tails(kept_edges *k, const int32_t *row_of, int64_t rows) {
  k->row_of = row_of;
  k->rows = rows < INT32_MAX ? (int32_t)rows : INT32_MAX;
}

/* Prefetches what tells of the edges a window behind place p: weights by number lie anywhere. */
TKG_PREFETCH void prefetch_window(const kept_edges *k, int64_t p) {
  if (p + KEPT_WINDOW >= k->limit) return;
  if (k->row_of && k->g->m > FAR_TAILS)
    __builtin_prefetch(k->row_of + k->g->ids[p + KEPT_WINDOW]);
  else if (!k->row_of && k->g->order)
    prefetch_numbered(k->g, p + KEPT_WINDOW, k->w, true);
}

#if defined(__AVX512F__)
/* Which of sixteen tails have rows of x; makes them those rows. */
static inline __mmask16 tails_with_rows(kept_edges *k, __m512i *row) {
  const __m512i rows = _mm512_set1_epi32(k->rows);
  *row = _mm512_i32gather_epi32(*row, k->row_of, 4);
  k->leads_outside |= _mm512_cmpge_epi32_mask(*row, rows) != 0;
  return _mm512_cmplt_epu32_mask(*row, rows);
}

/* Adds the edges p..p+WIDTH-1 of the window that are kept to its `n` entries. Returns how many
 * there are then. */
static inline int select_register(kept_edges *k, int64_t p, int n) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i number = k->g->order ? _mm512_loadu_si512(k->g->order + p)
                                     : _mm512_add_epi32(lanes, _mm512_set1_epi32((int32_t)p));
  const __m512i place = _mm512_add_epi32(lanes, _mm512_set1_epi32((int32_t)(p - k->begin)));
  __m512i row = _mm512_loadu_si512(k->g->ids + p);
  __mmask16 kept = k->row_of ? tails_with_rows(k, &row) : 0xffff;
  __m512 w = _mm512_setzero_ps();
  if (k->w)
    w = k->g->order ? _mm512_mask_i32gather_ps(w, kept, number, k->w, 4)
                    : _mm512_loadu_ps(k->w + p);
  if (!k->row_of) kept = _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  _mm512_storeu_si512(k->place + n, _mm512_maskz_compress_epi32(kept, place));
  _mm512_storeu_si512(k->row + n, _mm512_maskz_compress_epi32(kept, row));
  _mm512_storeu_si512(k->number + n, _mm512_maskz_compress_epi32(kept, number));
  _mm512_storeu_ps(k->weight + n, _mm512_maskz_compress_ps(kept, w));
  return n + __builtin_popcount(kept);
}
#endif

TKG_PREFETCH void prefetch_kept(const kept_edges *k, int entry, int64_t bytes) {
  // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): open_kept wrote `count`
  if (entry < k->count) prefetch_far(k->x + k->row[entry] * k->row_bytes, bytes);
}

/* Opens the window behind this one. */
static inline void open_kept(kept_edges *k, int64_t bytes) {
  const int64_t begin = k->end, left = k->limit - begin;
  const int64_t end = begin + (left < KEPT_WINDOW ? left : KEPT_WINDOW);
  int64_t p = begin;
  int n = 0;
  k->begin = begin;
  for (int64_t q = begin; q < end; q++) prefetch_window(k, q);
#if defined(__AVX512F__)
  for (; p + WIDTH <= end; p += WIDTH) n = select_register(k, p, n);
#endif
  for (; p < end; p++) {
    const int64_t number = tkg__edge_number(k->g, p);
    const int32_t tail = k->g->ids[p], row = k->row_of ? k->row_of[tail] : tail;
    const float w = k->w ? k->w[number] : 0;
    k->place[n] = (int32_t)(p - begin);
    k->row[n] = row;
    k->number[n] = (int32_t)number;
    k->weight[n] = w;
    k->leads_outside |= k->row_of && row >= k->rows;
    n += k->row_of ? row >= 0 && row < k->rows : w != 0;
  }
  k->end = end;
  k->at = 0;
  k->count = n;
  for (int i = 0; i < EDGES_AHEAD; i++) prefetch_kept(k, i, bytes);
}

/* Whether entry k->at is an edge before place `end`, up to which callers take all; they add one to
 * `at` for each. Of a row so many bytes are read. */
TKG_INLINE bool is_kept_before(kept_edges *k, int64_t end, int64_t bytes) {
  while (k->at == k->count && k->end < end) open_kept(k, bytes);
  if (k->at == k->count || k->begin + k->place[k->at] >= end) return false;
  prefetch_kept(k, k->at + EDGES_AHEAD, bytes);
  if (k->at + EDGES_NEAR < k->count)
    prefetch_row((const float *)(k->x + k->row[k->at + EDGES_NEAR] * k->row_bytes), bytes / 4);
  return true;
}

#endif
