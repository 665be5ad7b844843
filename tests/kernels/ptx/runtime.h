/* A stand-in for CUDA's runtime, cuBLAS and CUB under the code that nvcc made. It checks what the
 * host does and ends the program at the first fault, with a line that begins with "check:".
 *
 *   device.cpp   memory of the device, which the host cannot touch, and of pinned blocks
 *   stream.cpp   one stream, whose work is done as late as CUDA may do it; events, captures, graphs
 *   launch.cpp   kernels: their limits and parameters; runs what translate.py made of their PTX
 *   library.cpp  products (cuBLAS) and sorts (CUB)
 *   sparse.cpp   sparse products (cuSPARSE)
 */
#ifndef TKG_PTX_RUNTIME_H
#define TKG_PTX_RUNTIME_H

#include <cuda_runtime_api.h>

#include <functional>

[[noreturn]] void check_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- device.cpp ---- */

/* Where the host sees `bytes` of a live block. Faults, naming `what`, if they are not in one. */
char *host_view(const void *device, size_t bytes, const char *what);
bool is_device_pointer(const void *memory); /* of the device's address space, live or not */
bool is_pinned(const void *memory);
/* Lets kernels read and write device memory while they run. */
void open_device_memory(bool open);

/* ---- stream.cpp ---- */

/* Adds work to the stream, or to the graph that is captured. */
void submit(cudaStream_t stream, const char *what, std::function<void()> work);
void finish_stream(void);
bool capturing(void);
/* Faults while the stream is captured: CUDA refuses `call` then. */
void not_in_capture(const char *call);

#endif
