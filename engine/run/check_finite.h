/* Finds the node that makes the first NaN or infinity of a step (step option `check`). */
#ifndef TKG_CHECK_FINITE_H
#define TKG_CHECK_FINITE_H

#include "base/backend.h"

/* Reads the output of `call` on the host. Returns TKG_E_NOT_FINITE if an element is not finite,
 * with a message that has the op, the element's place, and which input had one too. Inputs made by
 * other nodes have been checked before, so only leaves are read: bit k of `leaves` says that input
 * k is one. */
int tkg__check_finite(const tkg_backend *backend, const tkg_call *call, uint32_t leaves,
                      bool backward);

#endif
