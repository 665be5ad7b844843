#include "device_errors.h"

#include <stdlib.h>

#include "launch.h"

enum { SLOTS = 4096 };

/* What the host knows of a slot's launch. */
enum checked { IDS, CSR_ROWS, EDGES };
typedef struct slot {
  enum checked checked;
  const char *op, *where;
  int64_t limit;          /* of ids; entries of a CSR table */
  const int32_t *offsets; /* of a CSR table */
} slot;

static struct {
  unsigned long long *first; /* device: SLOTS words, then the flag */
  unsigned *failed;
  unsigned long long *found; /* host, pinned: a copy of the slots in use */
  slot slots[SLOTS];
  int used;
} errors;

static int clear(cudaStream_t stream) {
  cudaError_t error = cudaMemsetAsync(errors.first, 0xff, SLOTS * sizeof *errors.first, stream);
  if (!error) error = cudaMemsetAsync(errors.failed, 0, sizeof *errors.failed, stream);
  return tkg_cuda_status(error);
}

int tkg__device_errors_open(cudaStream_t stream) {
  void *device = NULL, *host = NULL;
  const size_t bytes = SLOTS * sizeof *errors.first;
  if (errors.first) return TKG_OK;
  cudaError_t error = cudaMalloc(&device, bytes + sizeof *errors.failed);
  if (!error) error = cudaMallocHost(&host, bytes);
  if (error) return tkg_cuda_status(error);
  errors.first = (unsigned long long *)device;
  errors.failed = (unsigned *)(errors.first + SLOTS);
  errors.found = (unsigned long long *)host;
  return clear(stream);
}

const unsigned *tkg__run_failed(void) { return errors.failed; }

/* ---- slots ---- */

static tkg_error_slot claim_slot(const tkg_call *c, slot s) {
  if (!s.op) s.op = tkg__ops[c->node->op].name;
  s.where = tkg__line_of(c, TKG_E_RANGE);
  /* No step has so many launches; if one had, the last slot would stand for several. */
  const int at = errors.used < SLOTS ? errors.used++ : SLOTS - 1;
  errors.slots[at] = s;
  return {errors.first + at, errors.failed};
}

tkg_error_slot tkg__error_slot_ids(const tkg_call *c, int64_t limit) {
  return claim_slot(c, {IDS, NULL, NULL, limit, NULL});
}

tkg_error_slot tkg__error_slot_named(const tkg_call *c, const char *name, int64_t limit) {
  return claim_slot(c, {IDS, name, NULL, limit, NULL});
}

tkg_error_slot tkg__error_slot_csr_rows(const tkg_call *c, const int32_t *offsets,
                                        int64_t entries) {
  return claim_slot(c, {CSR_ROWS, NULL, NULL, entries, offsets});
}

tkg_error_slot tkg__error_slot_edges(const tkg_call *c) {
  return claim_slot(c, {EDGES, NULL, NULL, 0, NULL});
}

/* Ids below `from` are not looked at. */
static __global__ void check_ids(const int32_t *ids, int64_t count, int32_t from, int64_t limit,
                                 tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    if (ids[i] >= from) tkg_check_id(ids[i], limit, i, error, true);
}

void tkg__check_ids(const int32_t *ids, int64_t count, int64_t limit, tkg_error_slot error,
                    cudaStream_t stream) {
  tkg_launch(check_ids, tkg_flat(count), stream, ids, count, INT32_MIN, limit, error);
}

void tkg__check_entries(const int32_t *ids, int64_t count, int64_t limit, tkg_error_slot error,
                        cudaStream_t stream) {
  tkg_launch(check_ids, tkg_flat(count), stream, ids, count, 0, limit, error);
}

/* ---- reports, in the words of cpu/ids.h, cpu/csr_rows.h and cpu/aggregate_max.c ---- */

static int bad_csr_row(const slot *s, int64_t row, cudaStream_t stream) {
  int32_t ends[2] = {0, 0};
  cudaError_t error =
      cudaMemcpyAsync(ends, s->offsets + row, sizeof ends, cudaMemcpyDeviceToHost, stream);
  if (!error) error = cudaStreamSynchronize(stream);
  if (error) return tkg_cuda_status(error);
  return tkg__fail(TKG_E_RANGE,
                   "%s: row %" PRId64 " is entries %" PRId32 "..%" PRId32 " of a table of %" PRId64,
                   s->op, row, ends[0], ends[1], s->limit);
}

static int bad_id(const slot *s, int64_t position, int32_t id) {
  if (s->limit == 0)
    return tkg__fail(TKG_E_RANGE,
                     "%s: id %" PRId32 " at position %" PRId64 ", but there are no rows", s->op, id,
                     position);
  return tkg__fail(TKG_E_RANGE, "%s: id %" PRId32 " at position %" PRId64 " is outside 0..%" PRId64,
                   s->op, id, position, s->limit - 1);
}

static int bad_edge(const slot *s, int64_t row, int32_t edge) {
  return tkg__fail(TKG_E_RANGE, "%s: row %" PRId64 " has no edge %" PRId32, s->op, row, edge);
}

static int report(const slot *s, unsigned long long word, cudaStream_t stream) {
  const int32_t id = (int32_t)word;
  const int64_t position = (int64_t)(word >> 32);
  int status = s->checked == CSR_ROWS ? bad_csr_row(s, id, stream)
               : s->checked == EDGES  ? bad_edge(s, position, id)
                                      : bad_id(s, position, id);
  return s->where ? tkg__fail_at(status, "%s", s->where) : status;
}

void tkg__error_slots_clear(void) { errors.used = 0; }

cudaError_t tkg__device_errors_fetch(cudaStream_t stream) {
  if (errors.used == 0) return cudaSuccess;
  return cudaMemcpyAsync(errors.found, errors.first, (size_t)errors.used * sizeof *errors.first,
                         cudaMemcpyDeviceToHost, stream);
}

int tkg__device_errors_report(cudaStream_t stream) {
  const int used = errors.used;
  errors.used = 0;
  for (int i = 0; i < used; i++) {
    if (errors.found[i] == ~0ull) continue;
    const int status = report(&errors.slots[i], errors.found[i], stream);
    clear(stream);
    return status;
  }
  return TKG_OK;
}

/* ---- captures ---- */

struct tkg_error_slots {
  int used;
  slot slots[1]; /* `used` of them */
};

tkg_error_slots *tkg__error_slots_save(void) {
  const size_t bytes = (size_t)errors.used * sizeof(slot);
  tkg_error_slots *saved = static_cast<tkg_error_slots *>(malloc(sizeof *saved + bytes));
  if (saved) {
    saved->used = errors.used;
    memcpy(saved->slots, errors.slots, bytes);
  }
  errors.used = 0;
  return saved;
}

void tkg__error_slots_restore(const tkg_error_slots *saved) {
  errors.used = saved->used;
  memcpy(errors.slots, saved->slots, (size_t)saved->used * sizeof(slot));
}
