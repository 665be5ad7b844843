/* A program: a tape on its way from recorded values to a plan that runs. Each pass is a file that
 * takes a program and leaves a better one; compile.c calls them in their order. */
#ifndef TKG_PROGRAM_H
#define TKG_PROGRAM_H

#include "tape/tape.h"

/* How backward's operands are saved (ARCHITECTURE section 3). */
typedef struct tkg_policy {
  int bits;      /* 32, 8, 4, 2, 1 */
  int rounding;  /* tkg_rounding */
  int64_t small; /* values of at most so many bytes are saved exactly */
  bool save;     /* false: whatever backward reads is saved exactly */
  bool fuse;     /* false: gathered rows are made also where a sum could read their table */
  bool tiles;    /* false: node after node */
  bool rows;     /* false: whole values are computed where some rows of them are gathered */
  bool check;    /* every value is looked at when it was made, see check_finite.c */
} tkg_policy;

/* One forward value that backward reads, for the report. */
typedef struct tkg_saved_value {
  int node; /* of the tape before the save pass */
  tkg_node shape;
  const char *where;
  uint8_t op, rule;
  int bits;
  int64_t exact_bytes, saved_bytes;
} tkg_saved_value;

/* Nodes that run a tile of rows at a time; see tile.c. */
typedef struct tkg_group {
  int first, last; /* places in the order */
  int64_t rows, tile;
  int chunks;         /* parts of the rows that run at once: each has partial sums of its own */
  int memories;       /* how many tiles have memory at a time */
  int64_t tile_bytes; /* of one */
  int64_t memory;     /* offset of the first in the arena */
} tkg_group;

typedef struct tkg_program {
  tkg_tape *tape;
  int forward;      /* nodes before this one are forward */
  int32_t *outputs; /* nodes whose values are returned, in tensors of their own */
  int output_count;
  int32_t *leaf_of; /* parameter leaf and its gradient's node, pair by pair: */
  int32_t *gradient_of;
  int gradient_count;
  bool updates; /* gradients are used up by an optimizer */
  tkg_saved_value *saved;
  int saved_count;
  int64_t reference_bytes;

  /* the plan */
  int32_t *order; /* nodes to run, in this order */
  int order_count;
  int32_t *storage; /* node whose memory a node uses (itself, or what it aliases) */
  int64_t *offset;  /* in the arena; -1: memory of a leaf or an output */
  int64_t *shift;   /* bytes into the storage, for aliases */
  int64_t *scratch; /* offset of a node's scratch memory, or of a group's partial sums; -1: none */
  bool tiled;       /* groups are wanted */
  bool checked;     /* each value exists as a whole; all gradients are there before an update */
  tkg_group *groups;
  int group_count;
  int32_t *group_of;     /* of a node; -1: it runs alone */
  bool *in_tile;         /* the value exists a tile at a time; offset is in the tile's memory */
  bool *output_in_place; /* the value is computed in the returned tensor: no memory here */
  int64_t arena_bytes;
  int64_t at_peak[TKG_KIND_COUNT]; /* what fills the arena at its fullest */
} tkg_program;

/* Bytes that an op-by-op FP32 autograd tape keeps for this forward, of a tape that ends with it;
 * see fp32_baseline.c. */
int64_t tkg__fp32_baseline_bytes(const tkg_program *p, int loss);

/* Computes only the rows that are gathered; `loss` is renumbered, -1 stays. */
int tkg__prune_rows(tkg_program *p, int *loss);

/* Rewrites backward's reads of forward values to saved copies. */
int tkg__save(tkg_program *p, const tkg_policy *policy);

/* Order, liveness, offsets. */
int tkg__plan(tkg_program *p);

#endif
