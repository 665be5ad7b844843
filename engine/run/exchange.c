#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/error.h"
#include "base/placement.h"
#include "collective/collective.h"
#include "device_exchange.h"
#include "exchange_codes.h"

/* An exchange under way. Memory is the host's, that of the value itself on the CPU, or the device's
 * if a link joins those of ranks. */
typedef struct exchange {
  tkg_engine *engine;
  const tkg_link *link; /* NULL: memory is the host's */
  const tkg_node *n, *x;
  char *from, *to, *scratch;
  int64_t scratch_bytes;
  int rank, ranks, pieces;
  tkg_sent_rows codes; /* of an exchange in codes: its noise and columns */
  tkg_part *parts;     /* of the piece that begins */
} exchange;

/* ---- rows and bytes ---- */

static int64_t first_row(const exchange *e, int rank) {
  return tkg__first_row(e->n->i[1], rank, e->ranks);
}

/* The rows of a rank's values before piece k. */
static int64_t rows_before(int64_t rows, int k, int pieces) { return rows * k / pieces; }

/* Bytes of rows of a value; masks have a bit per element, and rows of which ranks have a multiple
 * of 8. */
static int64_t bytes_of_rows(const tkg_node *x, int64_t rows) {
  const int64_t count = rows * tkg__cols(x);
  return x->dtype == TKG_MASK ? (count + 7) / 8 : 4 * count;
}

/* A piece: rows of this rank, and its part of scratch, where a block per rank has their columns. */
typedef struct piece {
  int64_t first, rows;
  char *blocks;
} piece;

static piece piece_of(const exchange *e, int k) {
  const tkg_node *wide = e->n->i[0] == TKG_TO_COLUMNS ? e->x : e->n;
  const int64_t rows = tkg__rows(wide), first = rows_before(rows, k, e->pieces);
  const int64_t half = e->pieces > 1 ? e->scratch_bytes / 2 : 0;
  return (piece){first, rows_before(rows, k + 1, e->pieces) - first, e->scratch + k % 2 * half};
}

/* ---- columns side by side ---- */

/* Copies rows from blocks, one per rank, each with its columns, to whole rows, or back. */
static void join(const exchange *e, char *blocks, char *rows, int64_t count, int64_t bytes) {
  if (e->link) {
    e->engine->backend->interleave(blocks, rows, count, bytes, e->ranks, true);
    return;
  }
  for (int r = 0; r < e->ranks; r++)
    for (int64_t i = 0; i < count; i++)
      memcpy(rows + (i * e->ranks + r) * bytes, blocks + (r * count + i) * bytes, (size_t)bytes);
}

static void part(const exchange *e, char *rows, char *blocks, int64_t count, int64_t bytes) {
  if (e->link) {
    e->engine->backend->interleave(blocks, rows, count, bytes, e->ranks, false);
    return;
  }
  for (int r = 0; r < e->ranks; r++)
    for (int64_t i = 0; i < count; i++)
      memcpy(blocks + (r * count + i) * bytes, rows + (i * e->ranks + r) * bytes, (size_t)bytes);
}

/* ---- in codes ---- */

/* Rank r's place in a piece's scratch, of what it sends and of what it is sent. */
static uint8_t *coded_of(const exchange *e, const piece *own, int r, bool sent) {
  const int64_t slot = tkg__exchanged_rows(e->n, e->x, e->ranks);
  return (uint8_t *)own->blocks +
         (sent ? e->ranks + r : r) * slot * tkg__sent_row_bytes(e->codes.cols);
}

/* Rows of rank r in piece k; *first is the first of them, of the whole. */
static int64_t rows_in_piece(const exchange *e, int r, int k, int64_t *first) {
  const int64_t begin = first_row(e, r), rows = first_row(e, r + 1) - begin;
  *first = begin + rows_before(rows, k, e->pieces);
  return begin + rows_before(rows, k + 1, e->pieces) - *first;
}

/* Encodes what rank r is sent of piece k. */
static tkg_part coded_part(const exchange *e, const piece *own, int k, int r) {
  tkg_sent_rows rows = e->codes;
  const bool to_rows = e->n->i[0] == TKG_TO_ROWS;
  const int64_t bytes = tkg__sent_row_bytes(rows.cols);
  int64_t first, mine;
  const int64_t theirs = rows_in_piece(e, r, k, &first);
  const int64_t all = rows_in_piece(e, e->rank, k, &mine);
  rows.rows = to_rows ? theirs : all;
  rows.row = to_rows ? first : mine;
  rows.col = (to_rows ? e->rank : r) * rows.cols;
  const float *from = (const float *)e->from;
  from += to_rows ? first * rows.cols : own->first * rows.whole + rows.col;
  tkg__encode_sent(&rows, from, to_rows ? rows.cols : rows.whole, coded_of(e, own, r, true));
  return (tkg_part){r, coded_of(e, own, r, true), rows.rows * bytes, coded_of(e, own, r, false),
                    (to_rows ? all : theirs) * bytes};
}

/* Copies the part of piece k that stays on this rank. */
static void keep_part(const exchange *e, const piece *own, int k) {
  const int64_t cols = e->codes.cols, whole = e->codes.whole;
  int64_t row;
  const int64_t rows = rows_in_piece(e, e->rank, k, &row);
  float *to = (float *)e->to;
  const float *from = (const float *)e->from;
  for (int64_t i = 0; i < rows; i++) {
    const int64_t narrow = (row + i) * cols, wide = (own->first + i) * whole + e->rank * cols;
    if (e->n->i[0] == TKG_TO_ROWS)
      memcpy(to + wide, from + narrow, (size_t)(4 * cols));
    else
      memcpy(to + narrow, from + wide, (size_t)(4 * cols));
  }
}

/* Puts what has come of piece k in its place. */
static void place_coded(const exchange *e, const piece *own, int k) {
  const int64_t cols = e->codes.cols, whole = e->codes.whole;
  const bool to_rows = e->n->i[0] == TKG_TO_ROWS;
  float *to = (float *)e->to;
  for (int r = 0; r < e->ranks; r++) {
    int64_t row;
    const int64_t theirs = rows_in_piece(e, r, k, &row);
    if (r == e->rank) continue;
    const uint8_t *come = coded_of(e, own, r, false);
    if (to_rows)
      tkg__decode_sent(come, own->rows, cols, to + own->first * whole + r * cols, whole);
    else
      tkg__decode_sent(come, theirs, cols, to + row * cols, cols);
  }
  keep_part(e, own, k);
}

/* ---- pieces ---- */

/* What rank r is sent of piece k, and what it sends. */
static tkg_part part_with(const exchange *e, const piece *own, int k, int r) {
  tkg_part p = {.rank = r};
  const int64_t begin = first_row(e, r), rows = first_row(e, r + 1) - begin;
  const int64_t at = begin + rows_before(rows, k, e->pieces);
  const int64_t other = begin + rows_before(rows, k + 1, e->pieces) - at;
  const int64_t block = bytes_of_rows(e->n->i[0] == TKG_TO_COLUMNS ? e->n : e->x, own->rows);
  switch ((enum tkg_relay)e->n->i[0]) {
  case TKG_TO_ROWS:
    p.send = e->from + bytes_of_rows(e->x, at);
    p.send_bytes = bytes_of_rows(e->x, other);
    p.receive = own->blocks + r * block;
    p.receive_bytes = block;
    break;
  case TKG_TO_COLUMNS:
    p.send = own->blocks + r * block;
    p.send_bytes = block;
    p.receive = e->to + bytes_of_rows(e->n, at);
    p.receive_bytes = bytes_of_rows(e->n, other);
    break;
  case TKG_JOIN_COLUMNS:
    p.send = e->from + bytes_of_rows(e->x, own->first);
    p.send_bytes = block;
    p.receive = own->blocks + r * block;
    p.receive_bytes = block;
    break;
  case TKG_ADD_PARTS: /* add_up */
    break;
  case TKG_JOIN_ROWS:
    p.send = e->from;
    p.send_bytes = bytes_of_rows(e->x, tkg__rows(e->x));
    p.receive = e->to + bytes_of_rows(e->n, begin);
    p.receive_bytes = bytes_of_rows(e->n, rows);
    break;
  }
  return p;
}

static int begin_piece(const exchange *e, int k, tkg_exchange **out) {
  const piece own = piece_of(e, k);
  const bool coded = tkg__exchanges_codes(e->n);
  const bool to_columns = e->n->i[0] == TKG_TO_COLUMNS;
  const bool gathers = e->n->i[0] == TKG_JOIN_COLUMNS || e->n->i[0] == TKG_JOIN_ROWS;
  for (int i = 1; i < e->ranks && coded; i++)
    e->parts[i] = coded_part(e, &own, k, (e->rank + i) % e->ranks);
  if (coded)
    return tkg__exchange_begin(e->engine->collective, TKG_ALL_TO_ALL, e->parts + 1, e->ranks - 1,
                               out);
  if (to_columns)
    part(e, e->from + bytes_of_rows(e->x, own.first), own.blocks, own.rows, 4 * tkg__cols(e->n));
  for (int i = 0; i < e->ranks; i++) e->parts[i] = part_with(e, &own, k, (e->rank + i) % e->ranks);
  const tkg_part *mine = &e->parts[0];
  const enum tkg_collective_kind kind = gathers ? TKG_ALL_GATHER : TKG_ALL_TO_ALL;
  if (e->link) return tkg__begin_on_device(e->engine, kind, e->parts, k % TKG_LINK_SLOTS);
  if (mine->receive_bytes > 0) memcpy(mine->receive, mine->send, (size_t)mine->receive_bytes);
  return tkg__exchange_begin(e->engine->collective, kind, e->parts + 1, e->ranks - 1, out);
}

static int end_piece(const exchange *e, int k, tkg_exchange *begun) {
  const piece own = piece_of(e, k);
  int status =
      e->link ? tkg__end_on_device(e->engine, k % TKG_LINK_SLOTS) : tkg__exchange_end(begun);
  const bool coded = tkg__exchanges_codes(e->n);
  if (!status && coded) place_coded(e, &own, k);
  if (!status && !coded && (e->n->i[0] == TKG_TO_ROWS || e->n->i[0] == TKG_JOIN_COLUMNS))
    join(e, own.blocks, e->to + bytes_of_rows(e->n, own.first), own.rows, 4 * tkg__cols(e->x));
  return status;
}

/* Puts a piece in its place while the next one travels. */
static int run(const exchange *e) {
  tkg_exchange *begun = NULL, *next = NULL;
  int status = begin_piece(e, 0, &begun);
  for (int k = 0; k < e->pieces && !status; k++) {
    if (k + 1 < e->pieces) status = begin_piece(e, k + 1, &next);
    if (!status) status = end_piece(e, k, begun);
    begun = next;
  }
  return status;
}

/* ---- devices of which the host cannot read the memory ---- */

static bool on_host(const tkg_engine *engine) { return engine->backend == &tkg__cpu_backend; }

/* Runs the exchange on copies of what it reads and writes. */
static int run_on_copies(exchange *e, const tkg_call *call) {
  const tkg_backend *backend = e->engine->backend;
  const int64_t in = tkg__bytes(e->x), out = tkg__bytes(e->n);
  char *memory = malloc((size_t)(in + out + e->scratch_bytes) + 1);
  if (!memory) return tkg__fail(TKG_E_MEMORY, "no memory to exchange values between ranks");
  e->from = memory;
  e->to = memory + in;
  e->scratch = memory + in + out;
  int status = tkg__keep_backend_message(backend, backend->read(memory, call->data[0], in));
  if (!status) status = run(e);
  if (!status) backend->write(call->out, e->to, out);
  free(memory);
  return status;
}

/* ---- pieces ---- */

enum { ADDED_AT_ONCE = 1 << 19 }; /* elements */

static int add_up(const exchange *e) {
  const int64_t n = tkg__count(e->n);
  int status = TKG_OK;
  if (e->to != e->from) memcpy(e->to, e->from, (size_t)(4 * n));
  for (int64_t i = 0; i < n && !status; i += ADDED_AT_ONCE)
    status = tkg__all_reduce(e->engine->collective, TKG_SUM_F32, e->to + 4 * i,
                             n - i < ADDED_AT_ONCE ? n - i : ADDED_AT_ONCE);
  return status;
}

static int64_t bytes_added_up(int64_t n, int rank, int ranks) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < n; i += ADDED_AT_ONCE)
    bytes += tkg__all_reduce_bytes(4, n - i < ADDED_AT_ONCE ? n - i : ADDED_AT_ONCE, rank, ranks);
  return bytes;
}

bool tkg__exchanges_by_host(const tkg_engine *engine) {
  return engine->ranks > 1 && !tkg__collective_link(engine->collective, engine->backend);
}

int tkg__left_alone(tkg_engine *engine, int status) {
  if (!status || !tkg__collective_link(engine->collective, engine->backend)) return TKG_OK;
  const int cause = tkg__link_status(engine->collective, engine->backend, status);
  return cause == TKG_E_RANKS || cause == TKG_E_INTERRUPTED ? cause : TKG_OK;
}

int tkg__run_exchange(tkg_engine *engine, const tkg_call *call) {
  exchange e = {.engine = engine,
                .link = tkg__collective_link(engine->collective, engine->backend),
                .n = call->node,
                .x = call->in[0],
                .from = call->data[0],
                .to = call->out,
                .scratch = call->scratch,
                .rank = engine->rank,
                .ranks = engine->ranks};
  if (tkg__exchanges_codes(e.n)) {
    const bool wide = tkg__cols(e.n) > tkg__cols(e.x);
    e.codes = (tkg_sent_rows){.seed = call->context->seed,
                              .step = call->context->step,
                              .stream = (uint32_t)(e.n->i[3] - 1),
                              .whole = tkg__cols(wide ? e.n : e.x),
                              .cols = tkg__cols(wide ? e.x : e.n)};
  }
  e.pieces = tkg__exchange_pieces(e.n, e.x, e.ranks);
  e.scratch_bytes = tkg__exchange_scratch(e.n, e.x, e.ranks);
  e.parts = calloc((size_t)e.ranks, sizeof *e.parts);
  if (!e.parts) return tkg__fail(TKG_E_MEMORY, "no memory to exchange values between ranks");
  int status = e.n->i[0] == TKG_ADD_PARTS  ? add_up(&e)
               : on_host(engine) || e.link ? run(&e)
                                           : run_on_copies(&e, call);
  free(e.parts);
  return status;
}

/* ---- partial sums ---- */

/* The number of parts of a whole that ranks have. */
static int parts_of_rank(int64_t rows, int rank, int ranks) {
  const int parts = tkg__parts_of(rows);
  return parts * (rank + 1) / ranks - parts * rank / ranks;
}

/* Bytes of what a device leaves for each of these parts. */
static int64_t bytes_of_part(const tkg_engine *engine, const tkg_node *n, const tkg_node *const *in,
                             int finer) {
  const tkg_backend *backend = engine->backend;
  const int64_t bytes = backend->part_bytes ? backend->part_bytes(n, in, finer > 0) : tkg__bytes(n);
  return finer > 0 ? finer * bytes : bytes;
}

static void add_on_host(const tkg_call *call, const float *all, int parts) {
  const int64_t count = tkg__count(call->node);
  float *out = call->out;
  for (int64_t j = 0; j < count; j++) {
    double sum = 0;
    for (int p = 0; p < parts; p++) sum += (double)all[p * count + j];
    out[j] = (float)sum;
  }
}

/* Puts the parts of all ranks behind those of this one. */
static int gather_parts(tkg_engine *engine, char *own, const int64_t *bytes) {
  const tkg_backend *backend = engine->backend;
  int64_t sum = 0;
  char *all = own + bytes[engine->rank];
  if (on_host(engine)) return tkg__all_gather(engine->collective, own, all, bytes);
  if (tkg__collective_link(engine->collective, backend))
    return tkg__gather_on_device(engine, own, all, bytes);
  for (int r = 0; r < engine->ranks; r++) sum += bytes[r];
  char *memory = malloc((size_t)(bytes[engine->rank] + sum));
  if (!memory) return tkg__fail(TKG_E_MEMORY, "no memory to add up the sums of ranks");
  char *copied = memory + bytes[engine->rank];
  int status = tkg__keep_backend_message(backend, backend->read(memory, own, bytes[engine->rank]));
  if (!status) status = tkg__all_gather(engine->collective, memory, copied, bytes);
  if (!status) backend->write(all, copied, sum);
  free(memory);
  return status;
}

int tkg__add_parts(tkg_engine *engine, const tkg_call *call, int finer) {
  const tkg_backend *backend = engine->backend;
  const bool dealt = call->node->inputs > 0 && call->in[0]->whole_rows > 0;
  if (!dealt || tkg__row_parts(call->node, call->in) == 0) return TKG_OK;
  const int64_t whole = call->in[0]->whole_rows,
                each = bytes_of_part(engine, call->node, call->in, finer);
  const int ranks = engine->ranks, parts = tkg__parts_of(whole) * (finer > 0 ? finer : 1);
  int64_t *bytes = calloc((size_t)ranks, sizeof *bytes);
  if (!bytes) return tkg__fail(TKG_E_MEMORY, "no memory to add up the sums of ranks");
  for (int r = 0; r < ranks; r++) bytes[r] = each * parts_of_rank(whole, r, ranks);
  char *all = (char *)call->scratch + bytes[engine->rank];
  int status = gather_parts(engine, call->scratch, bytes);
  free(bytes);
  if (status) return status;
  if (backend->add_parts)
    return tkg__keep_backend_message(backend, backend->add_parts(call, all, parts, finer > 0));
  add_on_host(call, (const float *)all, parts);
  return TKG_OK;
}

int64_t tkg__sent_bytes(const tkg_engine *engine, const tkg_node *n, const tkg_node *const *in,
                        int finer) {
  const tkg_node *x = in[0];
  const int rank = engine->rank, ranks = engine->ranks;
  const int64_t others = ranks - 1;
  if (n->op != TKG_OP_EXCHANGE)
    return others * bytes_of_part(engine, n, in, finer) * parts_of_rank(x->whole_rows, rank, ranks);
  const bool coded = tkg__exchanges_codes(n);
  switch ((enum tkg_relay)n->i[0]) {
  case TKG_TO_ROWS: {
    const int64_t begin = tkg__first_row(n->i[1], rank, ranks);
    const int64_t sent = n->i[1] - (tkg__first_row(n->i[1], rank + 1, ranks) - begin);
    return coded ? sent * tkg__sent_row_bytes(tkg__cols(x)) : bytes_of_rows(x, sent);
  }
  case TKG_TO_COLUMNS:
    return others * (coded ? x->shape[0] * tkg__sent_row_bytes(tkg__cols(n))
                           : bytes_of_rows(n, x->shape[0]));
  case TKG_ADD_PARTS:
    return bytes_added_up(tkg__count(n), rank, ranks);
  default:
    return others * tkg__bytes(x);
  }
}
