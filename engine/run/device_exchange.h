/* Exchanges in the memory of devices that a link joins (base/link.h). They are queued, as what
 * comes before and after is. Statuses. */
#ifndef TKG_DEVICE_EXCHANGE_H
#define TKG_DEVICE_EXCHANGE_H

#include "base/engine.h"
#include "collective/collective.h"

/* Begins the parts with all ranks, of which the first is this rank's own; those with others end
 * with `end` of the same slot. */
int tkg__begin_on_device(tkg_engine *engine, enum tkg_collective_kind kind, const tkg_part *parts,
                         int slot);
int tkg__end_on_device(tkg_engine *engine, int slot);

/* tkg__all_gather. */
int tkg__gather_on_device(tkg_engine *engine, void *mine, void *all, const int64_t *bytes);

#endif
