#include "plan_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void plan_free(tkg_plan *plan) {
  if (!plan) return;
  if (plan->program.tape) tkg__replay_forget(&plan->replay, plan->program.tape->engine->backend);
  tkg__program_free(&plan->program);
  free(plan->nodes);
  free(plan->lines);
  free((int32_t *)plan->request.outputs);
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

/* A hash of the decay of the parameters on a tape, which their updates contain. */
static uint64_t hash_decay(const tkg_tape *tape) {
  uint64_t hash = 0;
  for (int i = 0; i < tape->n; i++) {
    const tkg_tensor *t = tape->side[i].tensor;
    if (!t || !tape->nodes[i].parameter) continue;
    const double decay = t->has_decay ? t->decay : -1;
    hash = hash_words(hash, &decay, sizeof decay);
  }
  return hash;
}

/* The key of a plan for this tape; `nodes` and the outputs are the caller's. */
static tkg_plan key_of(const tkg_tape *tape, const tkg_request *request, const tkg_policy *policy) {
  const tkg_optimizer *o = request->optimizer;
  tkg_plan key = {.nodes = tape->nodes, .n = tape->n, .request = *request, .policy = *policy};
  if (o) {
    const double constants[] = {o->beta1,        o->beta2,    o->eps,        o->eps_hat,
                                o->weight_decay, o->momentum, o->decay_rank, o->clip};
    memcpy(key.constants, constants, sizeof key.constants);
    key.optimizer = o->serial;
    key.decay = hash_decay(tape);
  }
  key.hash = hash_words(14695981039346656037ULL, key.nodes, (size_t)key.n * sizeof *key.nodes);
  key.hash = hash_words(key.hash, &request->loss, sizeof request->loss);
  key.hash = hash_words(key.hash, request->outputs, (size_t)request->n * sizeof *request->outputs);
  return key;
}

static bool same_bytes(const void *a, const void *b, size_t bytes) {
  return bytes == 0 || memcmp(a, b, bytes) == 0;
}

static bool same_constants(const tkg_plan *a, const tkg_plan *b) {
  for (int i = 0; i < TKG_OPTIMIZER_CONSTANTS; i++)
    if (a->constants[i] != b->constants[i]) return false;
  return true;
}

static bool same_policy(const tkg_policy *a, const tkg_policy *b) {
  return a->bits == b->bits && a->rounding == b->rounding && a->small == b->small &&
         a->save == b->save && a->fuse == b->fuse && a->rows == b->rows && a->tiles == b->tiles &&
         a->check == b->check && a->in_place == b->in_place && a->divide == b->divide &&
         a->rank_bits == b->rank_bits;
}

/* A plan that updates parameters is theirs: others of the same shapes have another state. */
static bool same_parameters(const tkg_program *p, const tkg_tape *tape) {
  for (int i = 0; i < p->gradient_count && p->updates; i++) {
    const tkg_side *side = &p->tape->side[p->leaf_of[i]];
    if (tape->side[side->origin - 1].tensor != side->tensor) return false;
  }
  return true;
}

/* A plan names the recipe's lines in its messages. Two functions of the same ops have one each; a
 * recording that has noted no lines takes either. */
static bool same_lines(const tkg_plan *plan, const tkg_tape *tape) {
  for (int i = 0; i < plan->n; i++)
    if (tape->side[i].where && tape->side[i].where != plan->lines[i]) return false;
  return true;
}

static bool fits(const tkg_plan *plan, const tkg_plan *key, const tkg_tape *tape) {
  const tkg_request *a = &plan->request, *b = &key->request;
  return plan->hash == key->hash && plan->n == key->n && a->loss == b->loss && a->n == b->n &&
         plan->optimizer == key->optimizer && plan->decay == key->decay &&
         same_constants(plan, key) && same_policy(&plan->policy, &key->policy) &&
         same_bytes(a->outputs, b->outputs, (size_t)a->n * sizeof *a->outputs) &&
         same_bytes(plan->nodes, key->nodes, (size_t)plan->n * sizeof *plan->nodes) &&
         same_lines(plan, tape) && same_parameters(&plan->program, tape);
}

/* ---- finding ---- */

/* Returns a copy of some bytes, which the caller frees; NULL if there is no memory. */
static void *copy_of(const void *from, size_t bytes) {
  void *to = malloc(bytes + 1);
  return to && bytes ? memcpy(to, from, bytes) : to;
}

/* Returns the lines of a tape's nodes, texts of the tape, in a list that the caller frees. */
static const char **lines_of(const tkg_tape *tape) {
  const char **lines = malloc((size_t)tape->n * sizeof *lines + 1);
  for (int i = 0; i < tape->n && lines; i++) lines[i] = tape->side[i].where;
  return lines;
}

static int make_plan(const tkg_plan *key, const tkg_tape *tape, tkg_plan **out) {
  const tkg_request *request = &key->request;
  tkg_plan *plan = malloc(sizeof *plan);
  if (!plan) return tkg__fail(TKG_E_MEMORY, "plan: no memory");
  *plan = *key;
  plan->nodes = copy_of(key->nodes, (size_t)key->n * sizeof *key->nodes);
  plan->request.outputs = copy_of(request->outputs, (size_t)request->n * sizeof *request->outputs);
  plan->lines = lines_of(tape);
  int status = plan->nodes && plan->request.outputs && plan->lines
                   ? tkg__compile(tape, request, &key->policy, &plan->program)
                   : tkg__fail(TKG_E_MEMORY, "plan: no memory");
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
  const tkg_plan key = key_of(tape, request, policy);
  *out = NULL;
  for (int i = 0; i < cache->count && !*out; i++)
    if (fits(cache->plans[i], &key, tape)) *out = cache->plans[i];
  if (!*out) {
    int status = make_plan(&key, tape, out);
    if (status) return status;
    cache->made++;
    *free_place(cache) = *out;
  }
  (*out)->last_use = ++cache->clock;
  return TKG_OK;
}
