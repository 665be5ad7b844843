/* What the files of this folder share. */
#ifndef TKG_COLLECTIVE_STATE_H
#define TKG_COLLECTIVE_STATE_H

#include "collective.h"
#include "lifeline.h"
#include "machine.h"
#include "transport.h"

struct tkg_collective {
  const tkg_transport *transport;
  tkg_lifeline *lifeline; /* NULL: there could be none; the launcher alone notices a dead rank */
  tkg_sharing sharing;
  char note[512];
  size_t base_note;           /* characters of it that do not tell of devices */
  const tkg_backend *backend; /* that of the devices that were looked at last */
  const tkg_link *link;       /* that has joined them; NULL: none */
  char *devices;              /* a line per rank */
  tkg_line_event failed;      /* of the first rank that failed or is gone; kind 0: none */
  bool left;                  /* tkg__collective_leave was called */
  int64_t exchanges;          /* so far; the same number on all ranks */
  int64_t bytes[TKG_COLLECTIVE_KINDS], calls[TKG_COLLECTIVE_KINDS];
  tkg_part *parts; /* of the operation that begins, one per rank */
  int64_t *sizes;  /* one per rank */
  char *scratch;   /* of all_reduce */
  int64_t scratch_bytes;
};

/* Exchanges n parts with other ranks and waits until all have gone and come. Bytes are counted as
 * those of `kind`. */
int tkg__exchange(tkg_collective *c, enum tkg_collective_kind kind, const tkg_part *parts, int n);

/* Makes room for at least so many bytes in `scratch`. A status. */
int tkg__reserve(tkg_collective *c, int64_t bytes);

/* Reads what the lines say; TKG_E_RANKS with a message if a rank has failed or is gone. */
int tkg__hear(tkg_collective *c, int milliseconds);

#endif
