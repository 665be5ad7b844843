/* Exchanges among the devices of ranks, without copies to the host (NCCL on CUDA). */
#ifndef TKG_LINK_H
#define TKG_LINK_H

#include <stdbool.h>
#include <stdint.h>

/* One rank's part of an exchange: what it is sent and what is received of it. */
typedef struct tkg_rank_part {
  int rank;
  const void *send;
  int64_t send_bytes;
  void *receive;
  int64_t receive_bytes;
} tkg_part;

enum { TKG_LINK_ID = 128, TKG_LINK_NAME = 64, TKG_LINK_SLOTS = 2 };

/* What a rank knows of its device: ranks with equal ones share it. */
typedef struct tkg_link_device {
  char name[TKG_LINK_NAME]; /* "NVIDIA H200" */
  char bus[32];             /* its place in the machine */
} tkg_link_device;

/* Statuses; TKG_E_RANKS where `check` has returned it: another rank has failed. A message is that
 * of the backend's `error`. */
typedef struct tkg_link {
  /* "NCCL 2.28.9" and the device. TKG_E_UNSUPPORTED, with the reason: there is no library. */
  int (*describe)(char library[TKG_LINK_NAME], tkg_link_device *device);
  /* Rank 0 makes the id by which all of them join. While it waits, here and in what follows, it
   * calls check(of) now and then; a status of that ends the link. */
  int (*create_id)(char id[TKG_LINK_ID]);
  int (*join)(const char id[TKG_LINK_ID], int rank, int size, int (*check)(void *of), void *of);
  /* Queues n parts with other ranks, which begin when all that was queued before is done and travel
   * beside what is queued later. What is queued after `end` of the same slot, 0 or 1, begins when
   * they have gone and come. All memory is the device's. */
  int (*begin)(int slot, const tkg_part *parts, int n);
  int (*end)(int slot);
  /* Ends it: in an orderly way, in which all ranks call it, or at once. */
  void (*leave)(bool at_once);
  /* About how many bytes of device memory the library takes in each of so many ranks. */
  int64_t (*bytes)(int size);
} tkg_link;

#endif
