/* Where the time of runs goes: seconds, bytes and flops by op, and the latest events. */
#ifndef TKG_PROFILE_H
#define TKG_PROFILE_H

#include "base/engine.h"

/* For an engine that has a profile; others pay a test for NULL per op. Both run the call, or the
 * group of calls, on the backend as it is done without one, wait until it is done, and note what it
 * took. The backend's status. */
int tkg__profile_call(tkg_engine *engine, const tkg_call *call);
int tkg__profile_tiles(tkg_engine *engine, const tkg_tile_call *calls, int n,
                       const tkg_tiling *tiling);

/* Seconds of a clock, and a whole run that began at `began` and is over now. */
double tkg__profile_clock(void);
void tkg__profile_run(tkg_engine *engine, double began, uint32_t number);

#endif
