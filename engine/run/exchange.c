#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/error.h"
#include "base/placement.h"
#include "collective/collective.h"

/* An exchange under way. Memory is the host's: that of the value itself on the CPU. */
typedef struct exchange {
  tkg_engine *engine;
  const tkg_node *n, *x;
  const char *from;
  char *to, *scratch;
  int ranks;
  int64_t *sent, *received; /* bytes, by rank */
} exchange;

/* ---- which bytes ---- */

static int64_t rows_of(const exchange *e, int rank) {
  return tkg__first_row(e->n->i[1], rank + 1, e->ranks) - tkg__first_row(e->n->i[1], rank, e->ranks);
}

/* Bytes of a row of a value in its own type; masks have a bit per element, and rows of which ranks
 * have a multiple of 8. */
static int64_t bytes_of_rows(const tkg_node *x, int64_t rows) {
  const int64_t count = rows * tkg__cols(x);
  return x->dtype == TKG_MASK ? (count + 7) / 8 : 4 * count;
}

static void count_bytes(const exchange *e) {
  const int own = e->engine->rank;
  for (int r = 0; r < e->ranks; r++) {
    switch ((enum tkg_relay)e->n->i[0]) {
    case TKG_TO_ROWS:
      e->sent[r] = bytes_of_rows(e->x, rows_of(e, r));
      e->received[r] = bytes_of_rows(e->x, rows_of(e, own));
      break;
    case TKG_TO_COLUMNS:
      e->sent[r] = bytes_of_rows(e->n, rows_of(e, own));
      e->received[r] = bytes_of_rows(e->n, rows_of(e, r));
      break;
    case TKG_JOIN_COLUMNS:
      e->received[r] = tkg__bytes(e->x);
      break;
    case TKG_JOIN_ROWS:
      e->received[r] = bytes_of_rows(e->x, rows_of(e, r));
      break;
    }
  }
}

/* ---- columns side by side ---- */

/* Copies rows of `cols` numbers each from columns that lie apart, block after block, to whole rows,
 * or back. */
static void join(const char *apart, char *rows, int64_t count, int64_t bytes, int ranks) {
  for (int r = 0; r < ranks; r++)
    for (int64_t i = 0; i < count; i++)
      memcpy(rows + (i * ranks + r) * bytes, apart + (r * count + i) * bytes, (size_t)bytes);
}

static void part(const char *rows, char *apart, int64_t count, int64_t bytes, int ranks) {
  for (int r = 0; r < ranks; r++)
    for (int64_t i = 0; i < count; i++)
      memcpy(apart + (r * count + i) * bytes, rows + (i * ranks + r) * bytes, (size_t)bytes);
}

static int run(const exchange *e) {
  tkg_collective *c = e->engine->collective;
  int status = TKG_OK;
  switch ((enum tkg_relay)e->n->i[0]) {
  case TKG_TO_ROWS:
    status = tkg__all_to_all(c, e->from, e->sent, e->scratch, e->received);
    if (!status) join(e->scratch, e->to, tkg__rows(e->n), 4 * tkg__cols(e->x), e->ranks);
    return status;
  case TKG_TO_COLUMNS:
    part(e->from, e->scratch, tkg__rows(e->x), 4 * tkg__cols(e->n), e->ranks);
    return tkg__all_to_all(c, e->scratch, e->sent, e->to, e->received);
  case TKG_JOIN_COLUMNS:
    status = tkg__all_gather(c, e->from, e->scratch, e->received);
    if (!status) join(e->scratch, e->to, tkg__rows(e->n), 4 * tkg__cols(e->x), e->ranks);
    return status;
  case TKG_JOIN_ROWS:
    return tkg__all_gather(c, e->from, e->to, e->received);
  }
  return TKG_OK;
}

/* ---- devices of which the host cannot read the memory ---- */

static bool on_host(const tkg_engine *engine) { return engine->backend == &tkg__cpu_backend; }

/* Runs the exchange on copies of what it reads and writes. */
static int run_on_copies(exchange *e, const tkg_call *call) {
  const tkg_backend *backend = e->engine->backend;
  const int64_t in = tkg__bytes(e->x), out = tkg__bytes(e->n);
  const int64_t scratch = tkg__exchange_scratch(e->n, e->x);
  char *memory = malloc((size_t)(in + out + scratch) + 1);
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

int tkg__run_exchange(tkg_engine *engine, const tkg_call *call) {
  const int ranks = engine->ranks;
  int64_t *bytes = calloc(2 * (size_t)ranks, sizeof *bytes);
  if (!bytes) return tkg__fail(TKG_E_MEMORY, "no memory to exchange values between ranks");
  exchange e = {engine,        call->node, call->in[0], call->data[0], call->out,
                call->scratch, ranks,      bytes,       bytes + ranks};
  count_bytes(&e);
  int status = on_host(engine) ? run(&e) : run_on_copies(&e, call);
  free(bytes);
  return status;
}

/* ---- partial sums ---- */

/* The number of parts of a whole that ranks have. */
static int parts_of_rank(int64_t rows, int rank, int ranks) {
  const int parts = tkg__parts_of(rows);
  return parts * (rank + 1) / ranks - parts * rank / ranks;
}

int tkg__add_parts(tkg_engine *engine, const tkg_call *call) {
  const int64_t count = tkg__count(call->node), whole = call->in[0]->whole_rows;
  const int ranks = engine->ranks, parts = tkg__parts_of(whole);
  int64_t *bytes = calloc((size_t)ranks, sizeof *bytes);
  if (!bytes) return tkg__fail(TKG_E_MEMORY, "no memory to add up the sums of ranks");
  for (int r = 0; r < ranks; r++) bytes[r] = 4 * count * parts_of_rank(whole, r, ranks);
  const float *own = call->scratch;
  float *all = (float *)call->scratch + bytes[engine->rank] / 4, *out = call->out;
  int status = tkg__all_gather(engine->collective, own, all, bytes);
  free(bytes);
  for (int64_t j = 0; j < count && !status; j++) {
    double sum = 0;
    for (int p = 0; p < parts; p++) sum += (double)all[p * count + j];
    out[j] = (float)sum;
  }
  return status;
}

int64_t tkg__sent_bytes(const tkg_node *n, const tkg_node *x, int rank, int ranks) {
  const int64_t others = ranks - 1;
  if (n->op != TKG_OP_EXCHANGE)
    return others * 4 * tkg__count(n) * parts_of_rank(x->whole_rows, rank, ranks);
  switch ((enum tkg_relay)n->i[0]) {
  case TKG_TO_ROWS:
    return bytes_of_rows(x, n->i[1] - (tkg__first_row(n->i[1], rank + 1, ranks) -
                                       tkg__first_row(n->i[1], rank, ranks)));
  case TKG_TO_COLUMNS:
    return others * bytes_of_rows(n, x->shape[0]);
  default:
    return others * tkg__bytes(x);
  }
}
