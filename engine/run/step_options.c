/* The options of a step: of all its values, and the bits of single ones. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "shared/codec.h"
#include "step.h"

/* More than a value has, and what int64_t holds. */
static const double MOST_BYTES = 0x1p62;

static bool is_width(double bits) {
  return bits == 32 || bits == 8 || bits == 4 || bits == 2 || bits == 1;
}

int tkg_step_set_value(tkg_step *step, const char *where, int nth, int bits) {
  TKG__NEEDS(step && where, TKG_E_ARGUMENT);
  if (!is_width(bits))
    return tkg__fail(TKG_E_ARGUMENT, "bits of %s #%d: %d is not one of 32, 8, 4, 2, 1", where, nth,
                     bits);
  if (nth < 1 || nth > TKG_MOST_NTH)
    return tkg__fail(TKG_E_ARGUMENT, "bits of %s #%d: a number of 1 to %d is expected", where, nth,
                     TKG_MOST_NTH);
  if (step->cache.count)
    return tkg__fail(TKG_E_ARGUMENT, "bits of %s #%d: the step has a plan already", where, nth);
  int n = step->policy.value_count;
  tkg_value_bits *values = realloc(step->values, ((size_t)n + 1) * sizeof *values);
  if (values) step->policy.values = step->values = values;
  char *copy = values ? strdup(where) : NULL;
  if (!copy) return tkg__fail(TKG_E_MEMORY, "no memory for the bits of a value");
  step->values[n] = (tkg_value_bits){copy, nth, bits};
  step->policy.value_count = n + 1;
  return TKG_OK;
}

int tkg_step_set(tkg_step *step, const char *option, double value) {
  TKG__NEEDS(step && option, TKG_E_ARGUMENT);
  tkg_policy *p = &step->policy;
  const struct {
    const char *name;
    bool *at;
  } flags[] = {{"save", &p->save},
               {"fuse", &p->fuse},
               {"rows", &p->rows},
               {"tiles", &p->tiles},
               {"divide", &p->divide},
               {"check", &p->check},
               {"sums_in_place", &p->in_place}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (strcmp(option, flags[i].name) == 0) {
      *flags[i].at = value != 0;
      return TKG_OK;
    }
  if (strcmp(option, "bits") == 0) {
    if (!is_width(value))
      return tkg__fail(TKG_E_ARGUMENT, "bits: %g is not one of 32, 8, 4, 2, 1", value);
    p->bits = (int)value;
  } else if (strcmp(option, "rank_bits") == 0 && (value == 8 || value == 32))
    p->rank_bits = (int)value;
  else if (strcmp(option, "rounding") == 0 && value >= 0 && value < TKG_ROUNDINGS)
    p->rounding = (int)value;
  else if (strcmp(option, "small") == 0 && value >= 0)
    p->small = value < MOST_BYTES ? (int64_t)value : (int64_t)MOST_BYTES;
  else if (strcmp(option, "number") == 0 && value >= 0 && value <= UINT32_MAX)
    step->number = (uint32_t)value;
  else
    return tkg__fail(TKG_E_ARGUMENT, "a step has no option '%s' with the value %g", option, value);
  return TKG_OK;
}
