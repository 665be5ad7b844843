/* A step object: settings and the plans made so far. */
#ifndef TKG_STEP_H
#define TKG_STEP_H

#include "passes/program.h"
#include "replay.h"
#include "tape/optimizer.h"

enum { TKG_CONSTANTS = 7 };

/* A plan and what it was made from: the same recording finds it again. */
typedef struct tkg_plan {
  tkg_program program;
  uint64_t hash;
  tkg_node *recorded; /* copy of the tape's nodes */
  int32_t *asked;     /* loss, then roots */
  int n, asked_count;
  const tkg_optimizer *optimizer;
  double constants[TKG_CONSTANTS]; /* of the optimizer, where they are structure */
  tkg_policy policy;
  uint64_t used; /* when last: the oldest plan makes room */
  tkg_replay replay;
} tkg_plan;

enum { TKG_MAX_PLANS = 16 };

struct tkg_step {
  tkg_engine *engine;
  tkg_policy policy;
  uint32_t number;
  tkg_plan *plans[TKG_MAX_PLANS];
  int plan_count;
  uint64_t clock, made, replayed; /* runs; plans made; runs played back */
};

/* What is asked of a recording: as the arguments of tkg_step_run. */
typedef struct tkg_request {
  int loss;
  tkg_optimizer *optimizer;
  const int32_t *roots;
  int n;
} tkg_request;

/* The plan for this recording: an old one, or a new one made by the passes. */
int tkg__step_find(tkg_step *step, const tkg_tape *tape, const tkg_request *asked, tkg_plan **out);

/* TKG_E_MEMORY, with a message that says what takes the memory and what would take less. */
int tkg__step_too_large(tkg_step *step, const tkg_tape *tape, const tkg_request *asked);
void tkg__plan_free(tkg_plan *plan);

#endif
