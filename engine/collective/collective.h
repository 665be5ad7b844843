/* Ranks: processes of one launcher (mpirun, srun) that compute one run together, and the collective
 * operations among them. Every rank calls the same operations in the same order.
 *
 * Memory is the host's. NULL in place of a collective stands for one rank alone: copies, no
 * communication. Operations return a status: TKG_E_RANKS if another rank has failed or is gone,
 * with its message; TKG_E_ARGUMENT if another rank calls another operation; TKG_E_DEVICE for an
 * error of the transport; TKG_E_MEMORY. After a failure all operations fail but
 * tkg__collective_leave. */
#ifndef TKG_COLLECTIVE_H
#define TKG_COLLECTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/engine.h"

/* What is counted and measured apart. */
enum tkg_collective_kind {
  TKG_ALL_TO_ALL,
  TKG_ALL_GATHER,
  TKG_ALL_REDUCE,
  TKG_BROADCAST,
  TKG_BARRIER,
  TKG_COLLECTIVE_KINDS
};

/* How all_reduce combines, element by element. Sums are made in the order of ranks, so they are the
 * same bits on each rank and in each run. */
enum tkg_reduction { TKG_SUM_F32, TKG_MAX_F32, TKG_SUM_F64, TKG_SUM_I64, TKG_MAX_I64 };

/* Joins the ranks that the launcher has started with this process. `how`: "none" (alone), "mpi", or
 * "auto", which is "mpi" where the launcher's variables say that there is more than one process.
 * *out is NULL for a process alone. A process joins once; later calls give the same collective.
 * TKG_E_ARGUMENT for another name, TKG_E_UNSUPPORTED if there is no MPI library, or one of another
 * kind than the launcher's; TKG_E_DEVICE. */
int tkg__collective_join(const char *how, tkg_collective **out);

int tkg__collective_rank(const tkg_collective *c); /* 0..size-1 */
int tkg__collective_size(const tkg_collective *c);
/* Ranks on this machine, and which of them this one is. */
int tkg__collective_local_rank(const tkg_collective *c);
int tkg__collective_local_size(const tkg_collective *c);
/* Threads for each rank on this machine so that no core has two: at least 1. */
int tkg__collective_threads(const tkg_collective *c);
/* 'Open MPI 4.1.4, 4 ranks on 2 machines'; "" alone. */
const char *tkg__collective_note(const tkg_collective *c);

/* Looks at the ranks' devices, which all ranks call when they open one, and joins them if that can
 * be; the note says how values go from one to the other. Later calls with the same backend do
 * nothing. */
int tkg__collective_devices(tkg_collective *c, const tkg_backend *backend);
/* A line per rank, "rank 0  host  cuda:0, NVIDIA H200, 0000:1B:00.0"; "" alone. */
const char *tkg__collective_device_list(const tkg_collective *c);
/* What joins the devices of this backend; NULL: nothing does, values go through the host. */
const tkg_link *tkg__collective_link(const tkg_collective *c, const tkg_backend *backend);
/* The status that a function of the link has returned, with its message; if another rank is the
 * cause, with that rank's. */
int tkg__link_status(tkg_collective *c, const tkg_backend *backend, int status);

/* Sends send_bytes[r] bytes to each rank r, from chunks that lie one after another in `send`, and
 * receives receive_bytes[r] bytes of each rank into chunks of `receive`. Arrays of `size` numbers;
 * what r is sent is what r receives of this rank. The memory does not overlap. */
int tkg__all_to_all(tkg_collective *c, const void *send, const int64_t *send_bytes, void *receive,
                    const int64_t *receive_bytes);

/* The same, begun: chunks travel while the caller computes, until tkg__exchange_end waits for them
 * and frees the exchange. Exchanges end in the order of their beginning. tkg__exchange_push lets
 * what has arrived move on; call it now and then. */
typedef struct tkg_exchange tkg_exchange;
int tkg__all_to_all_begin(tkg_collective *c, const void *send, const int64_t *send_bytes,
                          void *receive, const int64_t *receive_bytes, tkg_exchange **out);

/* The same for n parts with other ranks, whose chunks lie where they like. Bytes are counted as
 * those of `kind`. */
int tkg__exchange_begin(tkg_collective *c, enum tkg_collective_kind kind, const tkg_part *parts,
                        int n, tkg_exchange **out);
int tkg__exchange_push(tkg_exchange *exchange);
int tkg__exchange_end(tkg_exchange *exchange);

/* Writes the chunks of all ranks one after another to `all`; that of rank r has bytes[r] bytes.
 * `mine` may be this rank's place in `all`. */
int tkg__all_gather(tkg_collective *c, const void *mine, void *all, const int64_t *bytes);
/* The same with chunks of equal size. */
int tkg__all_gather_equal(tkg_collective *c, const void *mine, void *all, int64_t bytes);

/* Combines n elements of all ranks, in place, on all ranks. */
int tkg__all_reduce(tkg_collective *c, enum tkg_reduction how, void *values, int64_t n);
/* Bytes that a rank sends in it, of n elements of `each` bytes. */
int64_t tkg__all_reduce_bytes(int64_t each, int64_t n, int rank, int size);

/* Copies rank `root`'s bytes to all ranks. */
int tkg__broadcast(tkg_collective *c, void *data, int64_t bytes, int root);

/* Returns when all ranks have called it. */
int tkg__barrier(tkg_collective *c);

/* TKG_E_RANKS if another rank has said that it failed, or is gone; it does not wait. */
int tkg__collective_check(tkg_collective *c);

/* Ends the ranks' work in this process, which is to exit with `code`. 0: waits until all ranks are
 * here; TKG_E_RANKS if one fails instead. Else: tells the others `message`, if this rank is the
 * first to fail, and ranks other than 0 wait until rank 0 has ended: a launcher ends all processes
 * with the first that fails, and rank 0 is the one that prints. Later calls do nothing. */
int tkg__collective_leave(tkg_collective *c, int code, const char *message);

/* Counts an operation that a link has done. */
void tkg__collective_count(tkg_collective *c, enum tkg_collective_kind kind, int64_t bytes);

/* Bytes that this rank has sent to others in operations of a kind, and how many there were. */
int64_t tkg__collective_bytes(const tkg_collective *c, enum tkg_collective_kind kind);
int64_t tkg__collective_calls(const tkg_collective *c, enum tkg_collective_kind kind);
void tkg__collective_reset_counts(tkg_collective *c);

#endif
