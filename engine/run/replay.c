#include "replay.h"

#include <stdlib.h>
#include <string.h>

static void drop_capture(tkg_replay *replay, const tkg_backend *backend) {
  if (replay->capture) backend->capture_free(replay->capture);
  replay->capture = NULL;
}

bool tkg__replay_bind(tkg_replay *replay, const tkg_backend *backend, const void **bound,
                      int count) {
  bool same = replay->bound && replay->count == count &&
              memcmp(replay->bound, bound, (size_t)count * sizeof *bound) == 0;
  if (!same) drop_capture(replay, backend);
  free(replay->bound);
  replay->bound = bound;
  replay->count = count;
  return same;
}

void tkg__replay_forget(tkg_replay *replay, const tkg_backend *backend) {
  drop_capture(replay, backend);
  free(replay->bound);
  *replay = (tkg_replay){0};
}
