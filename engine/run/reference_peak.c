/* The peak that an op-by-op FP32 program with the same steps would have (passes/fp32_peak.c). */
#include <stdlib.h>

#include "base/error.h"
#include "passes/fp32_peak.h"
#include "step.h"

/* What plans hold between steps: what several hold counts once, with the most that one needs. */
typedef struct union_of {
  tkg_fp32_held *list;
  size_t n, capacity;
  int64_t work; /* the most of one plan */
} union_of;

static int grow(union_of *u, int more) {
  u->capacity += (size_t)more;
  tkg_fp32_held *list = realloc(u->list, (u->capacity + 1) * sizeof *list);
  if (!list) return tkg__fail(TKG_E_MEMORY, "reference_peak: no memory");
  u->list = list;
  return TKG_OK;
}

static void add_held(union_of *u, const tkg_fp32_held *held) {
  size_t at = 0;
  while (at < u->n && (u->list[at].owner != held->owner || u->list[at].tensor != held->tensor))
    at++;
  if (at == u->n)
    u->list[u->n++] = *held;
  else if (u->list[at].bytes < held->bytes)
    u->list[at].bytes = held->bytes;
}

static int add_plan(union_of *u, const tkg_program *p) {
  int status = grow(u, p->reference_held_count);
  for (int i = 0; i < p->reference_held_count && !status; i++) add_held(u, &p->reference_held[i]);
  if (p->reference_work > u->work) u->work = p->reference_work;
  return status;
}

double tkg_reference_peak(const tkg_step *const *steps, int n) {
  TKG__NEEDS(steps || n == 0, -1);
  union_of u = {0};
  int status = TKG_OK;
  for (int s = 0; s < n; s++)
    for (int i = 0; i < (steps[s] ? steps[s]->cache.count : 0) && !status; i++)
      status = add_plan(&u, &steps[s]->cache.plans[i]->program);
  int64_t bytes = u.work;
  for (size_t i = 0; i < u.n; i++) bytes += u.list[i].bytes;
  free(u.list);
  return status ? -1 : (double)bytes;
}
