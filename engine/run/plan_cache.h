/* The plans of a step, found again by what was recorded: ops, shapes, attributes and the
 * recipe's lines, not data. */
#ifndef TKG_PLAN_CACHE_H
#define TKG_PLAN_CACHE_H

#include "passes/compile.h"
#include "replay.h"

enum { TKG_MAX_PLANS = 16, TKG_OPTIMIZER_CONSTANTS = 8 };

/* A compiled program and the key that it is found by. */
typedef struct tkg_plan {
  tkg_program program;
  uint64_t hash;      /* of the nodes, the loss and the outputs */
  tkg_node *nodes;    /* copy of the tape's */
  const char **lines; /* of the nodes: the tape's texts or NULL, compared but not read */
  int n;
  tkg_request request; /* its outputs are a copy; its optimizer may be gone */
  uint64_t optimizer;  /* the optimizer's serial number; 0: none */
  uint64_t decay;      /* hash of the parameters' own; their rates are set when it runs */
  double constants[TKG_OPTIMIZER_CONSTANTS]; /* options of the optimizer that nodes contain */
  tkg_policy policy;
  uint64_t last_use; /* the cache's clock then: the plan unused for longest is replaced */
  tkg_replay replay;
} tkg_plan;

typedef struct tkg_plan_cache {
  tkg_plan *plans[TKG_MAX_PLANS];
  int count;
  uint64_t clock, made; /* searches so far; plans compiled so far */
} tkg_plan_cache;

/* The plan for this tape and request: a known one, or one that is compiled now and may replace
 * another. *out is borrowed until the next call. */
int tkg__plan_find(tkg_plan_cache *cache, const tkg_tape *tape, const tkg_request *request,
                   const tkg_policy *policy, tkg_plan **out);

void tkg__plan_cache_free(tkg_plan_cache *cache);

#endif
