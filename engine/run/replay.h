/* Whether a plan's next run may be replayed. A device that queues can capture a run once and queue
 * it as a whole afterwards (backend.h). A capture holds addresses, so it is valid as long as they
 * are: those of the leaves, which the recipe chooses, and that of the arena. */
#ifndef TKG_REPLAY_H
#define TKG_REPLAY_H

#include "base/backend.h"

/* Of a plan; all zero to begin with. */
typedef struct tkg_replay {
  tkg_capture *capture; /* NULL: no valid one */
  const void **bound;   /* what the last run was bound to */
  int count;
  bool refused; /* the device could not capture it: it is run op by op from now on */
} tkg_replay;

/* What the coming run is bound to: `bound` is malloc'd and taken over. Returns whether the last run
 * was bound to the same; if not, the capture is freed. */
bool tkg__replay_bind(tkg_replay *replay, const tkg_backend *backend, const void **bound,
                      int count);

void tkg__replay_forget(tkg_replay *replay, const tkg_backend *backend);

#endif
