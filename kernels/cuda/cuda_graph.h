/* A run as a CUDA graph: captured once, then launched as a whole. A step of a small model is a
 * hundred kernels of some microseconds each, and launching them one by one takes longer than they
 * do.
 *
 * Captured is what the entries queue: kernels, memsets, copies on the device. Their arguments are
 * frozen; what differs between runs is read from run_params.h. Slots for bad ids (device_errors.h)
 * are given out while entries run, so a recording has a copy of who has which. */
#ifndef TKG_CUDA_GRAPH_H
#define TKG_CUDA_GRAPH_H

#include "cuda.h"

/* Host. `begin` starts to capture: false where the device does not. `end` gives the recording, or
 * NULL when something was queued that cannot be captured; nothing has run either way. */
bool tkg__record_begin(cudaStream_t stream);
tkg_recording *tkg__record_end(cudaStream_t stream);
cudaError_t tkg__record_launch(tkg_recording *recording, cudaStream_t stream);
void tkg__record_free(tkg_recording *recording);

#endif
