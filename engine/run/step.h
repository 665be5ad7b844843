/* A step object: settings and the plans made so far. */
#ifndef TKG_STEP_H
#define TKG_STEP_H

#include "plan_cache.h"

struct tkg_step {
  tkg_engine *engine;
  tkg_policy policy;
  tkg_value_bits *values; /* the policy's */
  uint32_t number;
  tkg_plan_cache cache;
  uint64_t replayed; /* runs that the device was given as a whole */
};

#endif
