#include "plan_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void plan_free(tkg_plan *plan) {
  if (!plan) return;
  if (plan->program.tape) tkg__replay_forget(&plan->replay, plan->program.tape->engine->backend);
  tkg__program_free(&plan->program);
  free(plan->nodes);
  free(plan->requested);
  free(plan);
}

void tkg__plan_cache_free(tkg_plan_cache *cache) {
  for (int i = 0; i < cache->count; i++) plan_free(cache->plans[i]);
}

/* ---- keys ---- */

/* FNV-1a over words of 8 bytes, then over the bytes that are left. */
static uint64_t hash_words(uint64_t h, const void *data, size_t bytes) {
  const unsigned char *at = data;
  for (; bytes >= 8; bytes -= 8, at += 8) {
    uint64_t word = 0;
    memcpy(&word, at, 8);
    h = (h ^ word) * 0x100000001b3ULL;
    h ^= h >> 32;
  }
  for (; bytes; bytes--) h = (h ^ *at++) * 0x100000001b3ULL;
  return h;
}

/* Fills the key of a plan; `nodes` and the list of what is requested are copies. */
static int make_key(tkg_plan *key, const tkg_tape *tape, const tkg_request *request,
                    const tkg_policy *policy) {
  const tkg_optimizer *o = request->optimizer;
  size_t outputs = (size_t)request->n, bytes = (size_t)tape->n * sizeof *tape->nodes;
  key->n = tape->n;
  key->requested_count = request->n + 1;
  key->requested = malloc((outputs + 1) * sizeof *key->requested);
  key->policy = *policy;
  key->optimizer = o;
  if (!key->requested) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  key->requested[0] = request->loss;
  if (outputs) memcpy(key->requested + 1, request->outputs, outputs * sizeof *key->requested);
  if (o) {
    const double constants[] = {o->beta1,        o->beta2,    o->eps,       o->eps_hat,
                                o->weight_decay, o->momentum, o->decay_rank};
    memcpy(key->constants, constants, sizeof key->constants);
  }
  key->hash = hash_words(14695981039346656037ULL, tape->nodes, bytes);
  key->hash = hash_words(key->hash, key->requested, (outputs + 1) * sizeof *key->requested);
  return TKG_OK;
}

static bool same_constants(const tkg_plan *a, const tkg_plan *b) {
  for (int i = 0; i < TKG_OPTIMIZER_CONSTANTS; i++)
    if (a->constants[i] != b->constants[i]) return false;
  return true;
}

static bool same_policy(const tkg_policy *a, const tkg_policy *b) {
  return a->bits == b->bits && a->rounding == b->rounding && a->small == b->small &&
         a->save == b->save && a->rows == b->rows && a->tiles == b->tiles && a->check == b->check;
}

/* A plan that updates parameters is theirs: others of the same shapes have another state. */
static bool same_parameters(const tkg_program *p, const tkg_tape *tape) {
  for (int i = 0; i < p->gradient_count && p->updates; i++) {
    const tkg_side *side = &p->tape->side[p->leaf_of[i]];
    if (tape->side[side->origin - 1].tensor != side->tensor) return false;
  }
  return true;
}

static bool fits(const tkg_plan *plan, const tkg_plan *key, const tkg_tape *tape) {
  return plan->hash == key->hash && plan->n == key->n &&
         plan->requested_count == key->requested_count && plan->optimizer == key->optimizer &&
         same_constants(plan, key) && same_policy(&plan->policy, &key->policy) &&
         memcmp(plan->requested, key->requested,
                (size_t)key->requested_count * sizeof *key->requested) == 0 &&
         memcmp(plan->nodes, tape->nodes, (size_t)key->n * sizeof *tape->nodes) == 0 &&
         same_parameters(&plan->program, tape);
}

/* ---- finding ---- */

/* Compiles a plan for the key, whose memory becomes the plan's. */
static int make_plan(tkg_plan *key, const tkg_tape *tape, const tkg_request *request,
                     tkg_plan **out) {
  tkg_plan *plan = malloc(sizeof *plan);
  size_t bytes = (size_t)key->n * sizeof *key->nodes;
  if (!plan) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  *plan = *key;
  key->requested = NULL;
  plan->nodes = malloc(bytes + 1);
  int status = plan->nodes ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    if (bytes) memcpy(plan->nodes, tape->nodes, bytes);
    status = tkg__compile(tape, request, &plan->policy, &plan->program);
  }
  if (status)
    plan_free(plan);
  else
    *out = plan;
  return status;
}

/* A free place, or that of the plan unused for longest, which is freed. */
static tkg_plan **free_place(tkg_plan_cache *cache) {
  if (cache->count < TKG_MAX_PLANS) return &cache->plans[cache->count++];
  int oldest = 0;
  for (int i = 1; i < TKG_MAX_PLANS; i++)
    if (cache->plans[i]->last_use < cache->plans[oldest]->last_use) oldest = i;
  plan_free(cache->plans[oldest]);
  return &cache->plans[oldest];
}

int tkg__plan_find(tkg_plan_cache *cache, const tkg_tape *tape, const tkg_request *request,
                   const tkg_policy *policy, tkg_plan **out) {
  tkg_plan key = {0};
  int status = make_key(&key, tape, request, policy);
  *out = NULL;
  for (int i = 0; i < cache->count && !status && !*out; i++)
    if (fits(cache->plans[i], &key, tape)) *out = cache->plans[i];
  if (!status && !*out) {
    status = make_plan(&key, tape, request, out);
    if (!status) {
      cache->made++;
      *free_place(cache) = *out;
    }
  }
  if (!status) (*out)->last_use = ++cache->clock;
  free(key.requested);
  return status;
}
