/* The first NaN or infinity of a step, where it is made (step option `check`). */
#ifndef TKG_CHECK_FINITE_H
#define TKG_CHECK_FINITE_H

#include "base/backend.h"

/* Looks at the floats that `call` has made; TKG_E_NOT_FINITE with a message that has the op, the
 * place of the first bad one, and whether it came with an input. Values of other nodes have been
 * looked at before; bit k of `leaves`: input k is a tensor from outside, which nobody has. */
int tkg__check_finite(const tkg_backend *backend, const tkg_call *call, uint32_t leaves,
                      bool backward);

#endif
