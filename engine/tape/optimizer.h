/* Optimizers: their updates are nodes on the tape, behind the gradients that they read. */
#ifndef TKG_OPTIMIZER_H
#define TKG_OPTIMIZER_H

#include "tape.h"

typedef struct tkg_optimizer_slots {
  tkg_tensor *parameter, *state[2];
} tkg_optimizer_slots;

struct tkg_optimizer {
  tkg_engine *engine;
  uint64_t serial; /* that no other optimizer had: a new one may lie at the address of an old one */
  int op;          /* TKG_OP_SGD, _ADAM, _ADAGRAD */
  double lr, beta1, beta2, eps, weight_decay, momentum;
  double eps_hat;    /* of Adam, used instead of eps if it is not 0 */
  double decay_rank; /* least dimensions of a parameter that weight_decay acts on */
  double bits;       /* of Adam's state: 32, or 8 (moments.h) */
  double decoupled;  /* whether Adam's weight decay shrinks parameters, apart from the gradient */
  double clip;       /* of the norm of all gradients together; 0: none */
  double rowwise;    /* whether Adam has one second moment per row */
  double lazy;       /* whether rows without a gradient are left alone */
  double t;          /* updates made */
  tkg_optimizer_slots *slots;
  int count, capacity;
};

/* How many arrays of state, each like the parameter, the optimizer has for it at 32 bits. */
int tkg__optimizer_states(const tkg_optimizer *o);

/* Which rows of a matrix have which row of its gradient, as nodes; see ADAM_BLOCKS in ops.def. With
 * `index` the rows that it does not name have a gradient of zero, with `ids` they are left alone.
 * -1: there is none; both: the gradient is of the whole matrix. */
typedef struct tkg_rows {
  int32_t index, ids, places;
  bool compact;
} tkg_rows;

/* Makes a parameter that is divided among ranks whole on each, if blocks of its moments cross its
 * columns (8 bits) or are of its rows; or all on a tape that has recorded them
 * (o NULL: none). Statuses. */
int tkg__optimizer_join_one(const tkg_optimizer *o, tkg_tensor *parameter);
int tkg__optimizer_join(const tkg_optimizer *o, tkg_tape *tape);

/* Whether rows of this parameter can be updated by a gradient that lacks the others. */
bool tkg__updates_rows(const tkg_optimizer *o, const tkg_tensor *parameter);

/* Records the update of `parameter` (leaf node `leaf`) by gradient node `gradient`, of its `rows`
 * if that is not NULL. Returns a node, or -1 and leaves a message. */
int tkg__optimizer_record(tkg_optimizer *o, tkg_tape *tape, tkg_tensor *parameter, int leaf,
                          int gradient, const tkg_rows *rows);

/* Sets what multiplies the learning rate of each update on the tape of a program to what its
 * parameter has now. `storage`: the node whose memory a node uses, of a parameter its leaf. */
void tkg__optimizer_set_rates(tkg_tape *tape, const int32_t *storage);

#endif
