/* The tape: nodes in the order they were recorded, inputs before their readers. */
#ifndef TKG_TAPE_H
#define TKG_TAPE_H

#include "base/tensor.h"

/* What belongs to a node but not to its structure. */
typedef struct tkg_side {
  tkg_tensor *tensor; /* a leaf's value; the tape holds a reference */
  uint64_t version;   /* of that value when it was recorded */
  const char *where;  /* recipe line, or NULL; owned by the tape */
  int origin;         /* in a program: 1 + the leaf's node on the recorded tape; 0: fixed */
} tkg_side;

struct tkg_tape {
  tkg_engine *engine;
  tkg_node *nodes;
  tkg_side *side;
  int n, capacity;
  int known; /* nodes that are, so far, as they were when this tape was recorded before */
  uint64_t generation;
  bool ended;          /* tkg_tape_end: its leaves are gone */
  int bits;            /* tkg_tape_set_bits */
  int64_t next_stream; /* of random nodes */
  char **lines;        /* every `where` seen, once */
  int line_count, line_capacity;
};

/* Appends a node as it is (no inference); returns its number or -1. */
int tkg__append(tkg_tape *tape, const tkg_node *node, const char *where);

/* Returns the tape's copy of a recipe line, which it owns; NULL for NULL, or without memory. */
const char *tkg__tape_line(tkg_tape *tape, const char *where);

/* The leaf of a tensor itself, which of a bf16 tensor only its updates and `widen` read. */
int tkg__tape_leaf(tkg_tape *tape, tkg_tensor *tensor);

/* Records an op inside the engine: attributes in `node`, inputs given; infers and checks the
 * shape. Returns the number or -1 with a message. Used by gradients and passes. */
int tkg__record(tkg_tape *tape, tkg_node *node, int op, int n, const int32_t *inputs,
                const char *where);

/* The nodes that a node reads, NULL beyond its inputs. */
void tkg__inputs_of(const tkg_tape *tape, const tkg_node *n, const tkg_node *in[TKG_MAX_INPUTS]);

/* Drops nodes from `first` on. */
void tkg__truncate(tkg_tape *tape, int first);

/* marks[i] = true for every node that one of `roots` needs; with `vjps` also for what is recorded
 * as the gradients of custom_vjp nodes. marks has tape->n entries, cleared. */
void tkg__reach(const tkg_tape *tape, const int32_t *roots, int n, bool vjps, bool *marks);

/* Output dtype and shape from inputs and attributes; TKG_E_SHAPE, _DTYPE or _ARGUMENT. */
int tkg__infer(const tkg_tape *tape, tkg_node *node);

#endif
