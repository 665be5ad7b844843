/* Ranking by products of rows: blocks of users, each on one thread. */
#include "rank.h"

#include <omp.h>

#include "cpu/rank.h"
#include "gemm.h"
#include "isa.h"

TKG__DECLARE_TABLES(tkg__rank_kernel, tkg__cpu_rank);

static int64_t blocks_of(const tkg_ranking *r) {
  return (r->n + TKG_RANKED_USERS - 1) / TKG_RANKED_USERS;
}

static int64_t threads_of(const tkg_ranking *r) {
  const int64_t blocks = blocks_of(r);
  return r->threads < blocks ? r->threads : blocks;
}

static int64_t of_thread(const tkg_ranking *r) {
  return (TKG__PICK(tkg__cpu_rank)->bytes(r) + 63) / 64 * 64;
}

int64_t tkg__rank_bytes(const tkg_ranking *r) { return threads_of(r) * of_thread(r); }

int tkg__rank(const tkg_ranking *r, void *memory) {
  const tkg__rank_kernel *kernel = TKG__PICK(tkg__cpu_rank);
  const int64_t blocks = blocks_of(r), size = of_thread(r);
  int64_t failed = blocks;
#pragma omp parallel for num_threads((int)threads_of(r)) schedule(dynamic, 1) reduction(min        \
                                                                                        : failed)
  for (int64_t i = 0; i < blocks; i++) {
    char *mine = (char *)memory + omp_get_thread_num() * size;
    if (kernel->block(r, i * TKG_RANKED_USERS, mine) && i < failed) failed = i;
  }
  if (failed == blocks) return 0;
  int status = kernel->block(r, failed * TKG_RANKED_USERS, memory); /* again, for its message */
  return status ? status : tkg__no_gemm();
}
