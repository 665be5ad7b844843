/* How bytes get from rank to rank: one table per library. */
#ifndef TKG_TRANSPORT_H
#define TKG_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

/* A message on its way. The receiver takes the one that has this tag, of 15 bits. */
typedef struct tkg_message {
  uintptr_t handle; /* the transport's request */
  int rank;         /* where it goes, or comes from */
  int tag;
  int64_t bytes;
  bool is_received;
  bool is_other; /* what has come has other bytes */
} tkg_message;

enum { TKG_TRANSPORT_NAME = 96 };

typedef struct tkg_transport {
  char name[TKG_TRANSPORT_NAME]; /* library and version */
  int rank, size;
  /* Begin to send, or to receive, a message of at most `most` bytes, all set but its handle.
   * Messages between two ranks arrive in the order of sending. Statuses. */
  int64_t most;
  int (*send)(const void *from, tkg_message *message);
  int (*receive)(void *to, tkg_message *message);
  /* Moves messages on; sets *done if this one has gone or come, which frees it, and is_other. */
  int (*test)(tkg_message *message, bool *done);
  /* The tag of a message that a rank has sent and that nothing here receives yet; -1: none. */
  int (*waiting)(int rank);
  int (*finish)(void);     /* all ranks call it; nothing is sent afterwards */
  void (*abort)(int code); /* ends all ranks */
} tkg_transport;

/* Writes the name and version of the MPI library that tkg__mpi_open would open. A status. */
int tkg__mpi_describe(char name[TKG_TRANSPORT_NAME]);

/* Opens the MPI library that fits the launcher, or that TINYKG_MPI names, and joins its ranks.
 * TKG_E_UNSUPPORTED, TKG_E_DEVICE. */
int tkg__mpi_open(const tkg_transport **out);

#endif
