/* What ranks exchange while a plan runs (placement.h). */
#ifndef TKG_RUN_EXCHANGE_H
#define TKG_RUN_EXCHANGE_H

#include "base/backend.h"
#include "base/engine.h"

/* Whether values go to other ranks through the host, which no capture holds. */
bool tkg__exchanges_by_host(const tkg_engine *engine);

/* After a run that ended with a status: TKG_E_RANKS with the message of the rank that is the cause,
 * TKG_E_INTERRUPTED; TKG_OK if none is. */
int tkg__left_alone(tkg_engine *engine, int status);

/* Runs an EXCHANGE. A status. */
int tkg__run_exchange(tkg_engine *engine, const tkg_call *call);

/* Completes a sum over rows, if they are dealt to ranks: `scratch` has this rank's partial sums,
 * and room for those of all ranks behind them. They are added in the order of rows, as by one rank.
 * `finer`: tkg__finer_parts of the node. */
int tkg__add_parts(tkg_engine *engine, const tkg_call *call, int finer);

/* Bytes that this rank sends in an EXCHANGE, or in a sum over rows (of another op). */
int64_t tkg__sent_bytes(const tkg_engine *engine, const tkg_node *n, const tkg_node *const *in,
                        int finer);

#endif
