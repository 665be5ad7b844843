/* Whether a plan's next run may be replayed. A device that queues can capture a run once and queue
 * it as a whole afterwards (backend.h). A capture holds addresses, so it is valid as long as they
 * are: those of the leaves, which the recipe chooses, and that of the arena. So are the rates of
 * updates, which are arguments of kernels. */
#ifndef TKG_REPLAY_H
#define TKG_REPLAY_H

#include "base/backend.h"

/* The replay state of a plan, zeros at the beginning. */
typedef struct tkg_replay {
  tkg_capture *capture; /* NULL: no valid one */
  const void **bound;   /* what the last run was bound to */
  int count;
  bool refused; /* the device could not capture it: it is run op by op from now on */
} tkg_replay;

/* Sets the addresses that the next run is bound to; `bound` is malloc'd and becomes the state's.
 * Returns whether the last run was bound to the same; if not, frees the capture. */
bool tkg__replay_bind(tkg_replay *replay, const tkg_backend *backend, const void **bound,
                      int count);

/* Frees the capture and the addresses. */
void tkg__replay_forget(tkg_replay *replay, const tkg_backend *backend);

#endif
