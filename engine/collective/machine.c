#define _GNU_SOURCE // sched_getaffinity; NOLINT(bugprone-reserved-identifier)
#include "machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tkg__machine_describe(tkg_machine *out) {
  cpu_set_t set[TKG_MOST_CORES / CPU_SETSIZE];
  char host[64] = "", boot[40] = "";
  memset(out, 0, sizeof *out);
  gethostname(host, sizeof host - 1);
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
  if (file) {
    if (!fgets(boot, sizeof boot, file)) boot[0] = 0;
    fclose(file);
  }
  snprintf(out->name, sizeof out->name, "%s %.36s", host, boot);
  if (readlink("/proc/self/ns/net", out->network, sizeof out->network - 1) < 0) out->network[0] = 0;
  if (sched_getaffinity(0, sizeof set, set)) return;
  for (int core = 0; core < TKG_MOST_CORES; core++)
    if (CPU_ISSET_S((size_t)core, sizeof set, set)) out->cores[core / 64] |= 1ULL << core % 64;
}

static bool same(const tkg_machine *a, const tkg_machine *b) {
  return strncmp(a->name, b->name, sizeof a->name) == 0;
}

static bool same_network(const tkg_machine *a, const tkg_machine *b) {
  return same(a, b) && strncmp(a->network, b->network, sizeof a->network) == 0;
}

static bool has(const tkg_machine *m, int core) { return m->cores[core / 64] >> core % 64 & 1; }

/* The sum over the cores of a rank of its share of each: of a core that three may use, a third. */
static int threads_of(const tkg_machine *of, int size, int rank) {
  double share = 0;
  for (int core = 0; core < TKG_MOST_CORES; core++) {
    int users = 0;
    if (!has(&of[rank], core)) continue;
    for (int r = 0; r < size; r++) users += same(&of[r], &of[rank]) && has(&of[r], core);
    share += 1.0 / users;
  }
  int threads = (int)(share + 1e-6);
  return threads > 1 ? threads : 1;
}

tkg_sharing tkg__machine_sharing(const tkg_machine *of, int size, int rank) {
  tkg_sharing s = {0};
  for (int r = 0; r < size; r++) {
    bool first = true;
    for (int q = 0; q < r && first; q++) first = !same_network(&of[q], &of[r]);
    s.machines += first;
    if (!same_network(&of[r], &of[rank])) continue;
    s.local_size++;
    s.local_rank += r < rank;
  }
  s.threads = threads_of(of, size, rank);
  return s;
}
