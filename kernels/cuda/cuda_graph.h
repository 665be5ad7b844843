/* A run as a CUDA graph: captured once, then launched as a whole. A step of a small model is a
 * hundred kernels of some microseconds each; launching them one by one takes longer than running
 * them.
 *
 * A graph holds what the entries queue: kernels, memsets and copies on the device, with their
 * arguments. What differs between runs is read from device memory instead (run_params.h). Entries
 * claim slots for errors as they run (device_errors.h), so a capture has a copy of those too. */
#ifndef TKG_CUDA_GRAPH_H
#define TKG_CUDA_GRAPH_H

#include "cuda.h"

/* Starts to capture what is queued on the stream. False where the device refuses. */
bool tkg__capture_begin(cudaStream_t stream);

/* Ends it. Returns the capture, or NULL when something was queued that cannot be captured. Nothing
 * has run either way. */
tkg_capture *tkg__capture_end(cudaStream_t stream);

cudaError_t tkg__capture_launch(tkg_capture *capture, cudaStream_t stream);
void tkg__capture_free(tkg_capture *capture);

#endif
