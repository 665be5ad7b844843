/* Whether a plan's next run may be played back. A device that queues can take note of a run once
 * and queue it as a whole afterwards (backend.h); the note holds addresses, so it is good for as
 * long as they are: those of the leaves, which the recipe chooses, and that of the arena. */
#ifndef TKG_REPLAY_H
#define TKG_REPLAY_H

#include "base/backend.h"

/* Of a plan; all zero to begin with. */
typedef struct tkg_replay {
  tkg_recording *recording; /* NULL: none that holds */
  const void **bound;       /* what the last run was bound to */
  int count;
  bool refused; /* the device could not record it: run it op by op for good */
} tkg_replay;

/* What the coming run is bound to: `bound` is malloc'd and taken over. Returns whether the last run
 * was bound to the same; else a recording is of no use any more and forgotten. */
bool tkg__replay_bind(tkg_replay *replay, const tkg_backend *backend, const void **bound,
                      int count);

void tkg__replay_forget(tkg_replay *replay, const tkg_backend *backend);

#endif
