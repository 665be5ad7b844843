#include "device_errors.h"

#include <stdlib.h>

#include "launch.h"

enum { SLOTS = 4096 };

/* What the host remembers of a slot. */
enum about { IDS, SPANS, EDGES };
typedef struct slot {
  enum about about;
  const char *op, *where;
  int64_t limit;          /* of ids, or entries of a table */
  const int32_t *offsets; /* a table's */
} slot;

static struct {
  unsigned long long *first; /* device: SLOTS words, then the `failed` word */
  unsigned *failed;
  unsigned long long *found; /* host, pinned: a copy of the slots used */
  slot slots[SLOTS];
  int used;
  int status; /* of a fault met when the slots ran out */
} faults;

static int cuda_failed(cudaError_t error) {
  if (error == cudaSuccess) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "cuda: %s", cudaGetErrorString(error));
}

static int clear(cudaStream_t stream) {
  cudaError_t error = cudaMemsetAsync(faults.first, 0xff, SLOTS * sizeof *faults.first, stream);
  if (!error) error = cudaMemsetAsync(faults.failed, 0, sizeof *faults.failed, stream);
  return cuda_failed(error);
}

int tkg__faults_open(cudaStream_t stream) {
  void *device = NULL, *host = NULL;
  const size_t bytes = SLOTS * sizeof *faults.first;
  if (faults.first) return TKG_OK;
  cudaError_t error = cudaMalloc(&device, bytes + sizeof *faults.failed);
  if (!error) error = cudaMallocHost(&host, bytes);
  if (error) return cuda_failed(error);
  faults.first = (unsigned long long *)device;
  faults.failed = (unsigned *)(faults.first + SLOTS);
  faults.found = (unsigned long long *)host;
  return clear(stream);
}

const unsigned *tkg__fault_failed(void) { return faults.failed; }

/* ---- slots ---- */

static tkg_fault use(const tkg_call *c, slot s) {
  s.op = tkg__ops[c->node->op].name;
  s.where = c->where;
  /* More launches than any step has: the last slot then stands for several. */
  const int at = faults.used < SLOTS ? faults.used++ : SLOTS - 1;
  faults.slots[at] = s;
  return {faults.first + at, faults.failed};
}

tkg_fault tkg__fault_ids(const tkg_call *c, int64_t limit) {
  return use(c, {IDS, NULL, NULL, limit, NULL});
}

tkg_fault tkg__fault_spans(const tkg_call *c, const int32_t *offsets, int64_t entries) {
  return use(c, {SPANS, NULL, NULL, entries, offsets});
}

tkg_fault tkg__fault_edges(const tkg_call *c) { return use(c, {EDGES, NULL, NULL, 0, NULL}); }

static __global__ void check_ids(const int32_t *ids, int64_t count, int64_t limit,
                                 tkg_fault fault) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride())
    tkg_id_ok(ids[i], limit, i, fault, true);
}

void tkg__fault_check(const int32_t *ids, int64_t count, int64_t limit, tkg_fault fault,
                      cudaStream_t stream) {
  tkg_launch(check_ids, tkg_flat(count), stream, ids, count, limit, fault);
}

/* ---- reports: the words of the CPU backend (cpu/ids.h, cpu/csr_rows.h, cpu/aggregate_max.c) ----
 */

static int bad_span(const slot *s, int64_t row, cudaStream_t stream) {
  int32_t ends[2] = {0, 0};
  cudaError_t error =
      cudaMemcpyAsync(ends, s->offsets + row, sizeof ends, cudaMemcpyDeviceToHost, stream);
  if (!error) error = cudaStreamSynchronize(stream);
  if (error) return cuda_failed(error);
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
  int status = s->about == SPANS   ? bad_span(s, id, stream)
               : s->about == EDGES ? bad_edge(s, position, id)
                                   : bad_id(s, position, id);
  return s->where ? tkg__fail_at(status, "%s", s->where) : status;
}

cudaError_t tkg__faults_fetch(cudaStream_t stream) {
  if (faults.used == 0) return cudaSuccess;
  return cudaMemcpyAsync(faults.found, faults.first, (size_t)faults.used * sizeof *faults.first,
                         cudaMemcpyDeviceToHost, stream);
}

int tkg__faults_report(cudaStream_t stream) {
  const int used = faults.used;
  faults.used = 0;
  for (int i = 0; i < used; i++) {
    if (faults.found[i] == ~0ull) continue;
    const int status = report(&faults.slots[i], faults.found[i], stream);
    clear(stream);
    return status;
  }
  return TKG_OK;
}

/* ---- recordings ---- */

struct tkg_fault_slots {
  int used;
  slot slots[1]; /* in truth `used` */
};

tkg_fault_slots *tkg__faults_take(void) {
  const size_t bytes = (size_t)faults.used * sizeof(slot);
  tkg_fault_slots *taken = static_cast<tkg_fault_slots *>(malloc(sizeof *taken + bytes));
  if (taken) {
    taken->used = faults.used;
    memcpy(taken->slots, faults.slots, bytes);
  }
  faults.used = 0;
  return taken;
}

void tkg__faults_put(const tkg_fault_slots *taken) {
  faults.used = taken->used;
  memcpy(faults.slots, taken->slots, (size_t)taken->used * sizeof(slot));
}
