#include "device_exchange.h"

#include <stdlib.h>

#include "base/error.h"

int tkg__begin_on_device(tkg_engine *engine, enum tkg_collective_kind kind, const tkg_part *parts,
                         int slot) {
  const tkg_backend *backend = engine->backend;
  const tkg_part *own = &parts[0];
  int64_t sent = 0;
  if (own->receive_bytes > 0) backend->copy(own->receive, own->send, own->receive_bytes);
  for (int i = 1; i < engine->ranks; i++) sent += parts[i].send_bytes;
  tkg__collective_count(engine->collective, kind, sent);
  return tkg__link_status(engine->collective, backend,
                          backend->link->begin(slot, parts + 1, engine->ranks - 1));
}

int tkg__end_on_device(tkg_engine *engine, int slot) {
  return tkg__link_status(engine->collective, engine->backend, engine->backend->link->end(slot));
}

int tkg__gather_on_device(tkg_engine *engine, void *mine, void *all, const int64_t *bytes) {
  const int rank = engine->rank, size = engine->ranks;
  int64_t at = 0;
  tkg_part *parts = calloc((size_t)size, sizeof *parts);
  if (!parts) return tkg__fail(TKG_E_MEMORY, "no memory to add up the sums of ranks");
  for (int r = 0; r < size; r++) {
    parts[(r - rank + size) % size] = (tkg_part){r, mine, bytes[rank], (char *)all + at, bytes[r]};
    at += bytes[r];
  }
  int status = tkg__begin_on_device(engine, TKG_ALL_GATHER, parts, 0);
  free(parts);
  return status ? status : tkg__end_on_device(engine, 0);
}
