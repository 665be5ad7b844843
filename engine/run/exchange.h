/* What ranks exchange while a plan runs (placement.h). */
#ifndef TKG_RUN_EXCHANGE_H
#define TKG_RUN_EXCHANGE_H

#include "base/backend.h"
#include "base/engine.h"

/* Runs an EXCHANGE. A status. */
int tkg__run_exchange(tkg_engine *engine, const tkg_call *call);

/* Completes a sum over rows that are dealt to ranks: `scratch` has this rank's partial sums, and
 * room for those of all ranks behind them. They are added in the order of rows, as by one rank. */
int tkg__add_parts(tkg_engine *engine, const tkg_call *call);

/* Bytes that this rank sends in an EXCHANGE of x, or in a sum over rows (call->node of another op).
 */
int64_t tkg__sent_bytes(const tkg_node *n, const tkg_node *x, int rank, int ranks);

#endif
