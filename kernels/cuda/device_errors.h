/* Errors that only the device can find: bad ids in the data of the user. The host learns of them at
 * the end of a run, so a kernel that meets a bad id reports it, neither reads nor writes with it,
 * and goes on. Updates of parameters later in the run see that it failed and change nothing.
 *
 * A launch that reads ids claims a slot in device memory, which holds the smallest position of a
 * bad id and the id itself (by atomicMin, so the order of threads does not matter). Slots are
 * claimed in the order of the ops. The first slot that is set is therefore the error at which the
 * CPU backend would have stopped, and is reported in the same words. */
#ifndef TKG_CUDA_DEVICE_ERRORS_H
#define TKG_CUDA_DEVICE_ERRORS_H

#include "cuda.h"

typedef struct tkg_error_slot {
  unsigned long long *first; /* position << 32 | id; all ones: no error */
  unsigned *failed;          /* the run's flag */
} tkg_error_slot;

/* Host: claim a slot for ids that must lie in 0..limit-1, `named` as the text says in place of the
 * op's name; for rows of a CSR table of so many entries; for edges that must belong to their row
 * (the position is then the row). */
tkg_error_slot tkg__error_slot_ids(const tkg_call *c, int64_t limit);
tkg_error_slot tkg__error_slot_named(const tkg_call *c, const char *name, int64_t limit);
tkg_error_slot tkg__error_slot_csr_rows(const tkg_call *c, const int32_t *offsets, int64_t entries);
tkg_error_slot tkg__error_slot_edges(const tkg_call *c);

/* Host: queues a check of all ids, for ops without elements, whose kernels read none. */
void tkg__check_ids(const int32_t *ids, int64_t count, int64_t limit, tkg_error_slot error,
                    cudaStream_t stream);

/* Host: the same, where an id below zero stands for none. */
void tkg__check_entries(const int32_t *ids, int64_t count, int64_t limit, tkg_error_slot error,
                        cudaStream_t stream);

/* Address of the run's flag on the device: not 0 once a kernel has reported an error. */
const unsigned *tkg__run_failed(void);

/* Host, for the backend: `open` allocates the slots. At the end of a run `fetch` queues a copy of
 * those in use. After the stream was synchronized, `report` frees them and returns the first error
 * as a status with tkg__fail's message. */
int tkg__device_errors_open(cudaStream_t stream);
cudaError_t tkg__device_errors_fetch(cudaStream_t stream);
int tkg__device_errors_report(cudaStream_t stream);

/* Host: frees the slots of calls that were only counted. */
void tkg__error_slots_clear(void);

/* Host, for captures: `save` returns the slots claimed since the run began, in memory of malloc
 * (NULL: none left), and frees them; `restore` claims the same slots for a run that is replayed. */
typedef struct tkg_error_slots tkg_error_slots;
tkg_error_slots *tkg__error_slots_save(void);
void tkg__error_slots_restore(const tkg_error_slots *saved);

static __device__ __forceinline__ void tkg_report_error(tkg_error_slot error, int64_t position,
                                                        int32_t id) {
  const uint32_t at = position < UINT32_MAX ? (uint32_t)position : UINT32_MAX;
  /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): it is unsigned */
  atomicMin(error.first, (unsigned long long)at << 32 | (uint32_t)id);
  atomicExch(error.failed, 1u);
}

/* Whether id, which stands at `position`, lies in 0..limit-1. If not, the lane that `reports` does
 * so; other lanes that check the same id need not. */
static __device__ __forceinline__ bool tkg_check_id(int32_t id, int64_t limit, int64_t position,
                                                    tkg_error_slot error, bool reports) {
  if (id >= 0 && id < limit) return true;
  if (reports) tkg_report_error(error, position, id);
  return false;
}

#endif
