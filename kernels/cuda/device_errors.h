/* Bad ids, found by kernels. The host learns of them when the run is over, so a kernel that meets
 * one records it, reads and writes nothing with it, and goes on; updates of parameters that come
 * later in the stream see that something failed and leave the parameters as they were.
 *
 * A launch that reads ids has a slot in device memory: the smallest position of a bad id, with its
 * value. Slots are used in the order of the ops, so what is reported is what the CPU backend, which
 * stops at the first bad id, would have said. */
#ifndef TKG_CUDA_DEVICE_ERRORS_H
#define TKG_CUDA_DEVICE_ERRORS_H

#include "cuda.h"

typedef struct tkg_fault {
  unsigned long long *first; /* position << 32 | value; all ones: none */
  unsigned *failed;          /* of the run */
} tkg_fault;

/* Host: a slot for ids that must lie in 0..limit-1; for rows of a CSR table of so many entries; for
 * edges that are none of their row's, where the position is the row. */
tkg_fault tkg__fault_ids(const tkg_call *c, int64_t limit);
tkg_fault tkg__fault_spans(const tkg_call *c, const int32_t *offsets, int64_t entries);
tkg_fault tkg__fault_edges(const tkg_call *c);

/* Host: queues a look at all ids, for ops that have nothing else to do with them. */
void tkg__fault_check(const int32_t *ids, int64_t count, int64_t limit, tkg_fault fault,
                      cudaStream_t stream);

/* Device word that is not 0 once a kernel of this run has met a bad id. */
const unsigned *tkg__fault_failed(void);

/* Host, for the backend: makes the slots. At the end of a run `fetch` queues a copy of them, and
 * once the stream is through `report` turns the first fault into a status and tkg__fail's message
 * and forgets all. */
int tkg__faults_open(cudaStream_t stream);
cudaError_t tkg__faults_fetch(cudaStream_t stream);
int tkg__faults_report(cudaStream_t stream);

/* Host, for recordings: who was given which slot since the run began, malloc'd, or NULL without
 * memory, and none is given out any more; and the same again for a run that is played back. */
typedef struct tkg_fault_slots tkg_fault_slots;
tkg_fault_slots *tkg__faults_take(void);
void tkg__faults_put(const tkg_fault_slots *slots);

static __device__ __forceinline__ void tkg_fault_note(tkg_fault f, int64_t position,
                                                      int32_t value) {
  const uint64_t at = position < 0xffffffff ? (uint64_t)position : 0xffffffffu;
  atomicMin(f.first, (unsigned long long)(at << 32 | (uint32_t)value));
  atomicExch(f.failed, 1u);
}

/* Whether ids[position] may be used; notes it if not, once for all lanes that look at it. */
static __device__ __forceinline__ bool tkg_id_ok(int32_t id, int64_t limit, int64_t position,
                                                 tkg_fault f, bool notes) {
  if (id >= 0 && id < limit) return true;
  if (notes) tkg_fault_note(f, position, id);
  return false;
}

#endif
