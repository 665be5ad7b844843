/* NCCL, opened when ranks join their devices, so that nothing needs it to be built or to start. */
#ifndef TKG_CUDA_NCCL_H
#define TKG_CUDA_NCCL_H

#include <stdbool.h>
#include <stddef.h>

/* Of nccl.h: ncclUniqueId, and what functions return. */
typedef struct tkg_nccl_id {
  char bytes[128];
} tkg_nccl_id;
enum { NCCL_OK = 0, NCCL_IN_PROGRESS = 7, NCCL_BYTES = 0 /* ncclInt8 */ };

/* ncclConfig_t as of 2.17. Later libraries take it, and choose what it does not have. */
enum { NCCL_CONFIG_VERSION = 21700 };
typedef struct tkg_nccl_config {
  size_t size;
  unsigned magic, version;
  int blocking, cluster, least_blocks, most_blocks;
  const char *network;
} tkg_nccl_config;

/* The functions that are used. */
typedef struct tkg_nccl {
  int (*version)(int *out);
  int (*unique_id)(tkg_nccl_id *out);
  int (*init)(void **comm, int size, tkg_nccl_id id, int rank, tkg_nccl_config *config);
  int (*async_error)(void *comm, int *out);
  int (*finalize)(void *comm);
  int (*destroy)(void *comm);
  int (*abort)(void *comm);
  const char *(*error_text)(int code);
  const char *(*last_error)(void *comm);
  int (*group_start)(void);
  int (*group_end)(void);
  int (*send)(const void *from, size_t count, int type, int to, void *comm, void *stream);
  int (*receive)(void *to, size_t count, int type, int from, void *comm, void *stream);
} tkg_nccl;

/* Fills the table, from TKG_NCCL in the environment (a library's path; "no": none is used), else
 * from where the toolkit, the loader or NVIDIA's Python package has it. Returns NULL, or why there
 * is none. */
const char *tkg__nccl_open(tkg_nccl *functions);

#endif
