/* A tape and the one that prune_rows makes of it, where of some values only rows are computed. */
#ifndef TKG_ROWS_H
#define TKG_ROWS_H

#include <string.h>

#include "program.h"

typedef struct moved {
  int v, ids, to; /* new node `to` has the rows `ids` (a new node) of old node v */
} moved;

typedef struct rows {
  bool forward_only, neighborhoods;
  const tkg_tape *old;
  tkg_tape *fresh;
  bool *read;     /* some node reads the value, or it is an output */
  bool *whole;    /* some reader needs the whole value */
  bool *sums;     /* not whole, and computed from a sum over a graph of which rows are asked for */
  bool *seen;     /* by a walk from a value to what it is computed from */
  int64_t *asked; /* rows that are gathered of a value, at most by one gather */
  int32_t *map;   /* old node -> new, of those that are whole */
  int32_t *last;  /* the last whole value, but for leaves, that it is computed from, or -1 */
  moved *memo;
  int memo_count, memo_capacity;
} rows;

static inline const tkg_node *node_of(const rows *z, int v) { return &z->old->nodes[v]; }

static inline bool is_sum(const tkg_node *n) {
  return n->op == TKG_OP_AGGREGATE || n->op == TKG_OP_AGGREGATE_MUL;
}

static inline void begin_walk(const rows *z) {
  memset(z->seen, 0, (size_t)z->old->n * sizeof *z->seen);
}

/* Whether this walk has not been at old value v. */
static inline bool is_new(const rows *z, int v) {
  const bool seen = z->seen[v];
  z->seen[v] = true;
  return !seen;
}

/* Whether the node gathers rows of a matrix of floats. */
bool tkg__gathers_rows(const rows *z, const tkg_node *n);
/* Whether row i of a row-local op needs row i of input k and no other. */
bool tkg__reads_own_row(const rows *z, const tkg_node *n, int k);

/* Records a node that takes the line of old node `like`. Returns the new node, or -1. */
int tkg__emit(rows *z, const tkg_node *node, int like);
/* Records old node i unless it is there, or its rows alone are. */
int tkg__emit_once(rows *z, int i);
/* Records old node v behind all that it is computed from. */
int tkg__emit_early(rows *z, int v);
/* Records the rows `ids`, a new node, of old node v, once. Returns the new node, or -1. */
int tkg__rows_of(rows *z, int v, int ids);

#endif
