/* A program: a tape that passes turn into a plan that runs. Each pass is a file that takes a
 * program and changes it; compile.c calls them in their order. */
#ifndef TKG_PROGRAM_H
#define TKG_PROGRAM_H

#include "tape/tape.h"

/* In how many bits one value is saved: that of the nth op that a recipe line recorded. */
typedef struct tkg_value_bits {
  char *where; /* owned by the step */
  int nth, bits;
} tkg_value_bits;

/* How backward's operands are saved (ARCHITECTURE section 3). */
typedef struct tkg_policy {
  int bits;                     /* 32, 8, 4, 2, 1: of values that have no others */
  const tkg_value_bits *values; /* of single values; fixed before the first plan is made */
  int value_count;
  int rounding;  /* tkg_rounding */
  int64_t small; /* values of at most so many bytes are saved exactly */
  bool save;     /* false: all that backward reads is saved exactly */
  bool fuse;     /* false: gathered rows are computed even where a sum could read their table */
  bool tiles;    /* false: nodes run one after another, each as a whole */
  bool in_place; /* false: no sum over edges of a step lies over what it reads (sums_in_place.c) */
  bool rows;     /* false: whole values are computed even if only some rows are gathered */
  int rank_bits; /* 8: gradients travel between ranks in codes; else as they are */
  bool divide;   /* true: outputs lie by columns on ranks where they can, see spread.c */
  bool check;    /* true: every value is checked once it is computed, see check_finite.c */
} tkg_policy;

/* One forward value that backward reads, for the report. */
typedef struct tkg_saved_value {
  int node; /* of the tape before the save pass */
  tkg_node shape;
  const char *where;
  uint8_t op, rule;
  int bits, rounding; /* tkg_rounding; -1: not in codes */
  int readers;        /* times that backward reads the copy; packed codes are read twice */
  int64_t exact_bytes, saved_bytes;
} tkg_saved_value;

/* Nodes that run a tile of rows at a time; see tile.c. */
typedef struct tkg_group {
  int first, last;    /* places in the order */
  int64_t rows, tile; /* rows 0: a small group (small_groups.c) */
  int64_t wide; /* columns of a wide group's rows (wide_groups.c), whose tile has `tile` elements */
  int64_t first_row, whole_rows; /* where rows are dealt to ranks, else 0 (op.h) */
  int chunks;         /* parts of the rows, run in parallel, each with its own partial sums */
  int finer;          /* of these to a part of tkg__row_parts; 0: the rows are too few for such */
  int memories;       /* number of tiles that have memory at a time */
  int64_t tile_bytes; /* of one */
  int64_t memory;     /* offset of the first in the arena */
} tkg_group;

typedef struct tkg_program {
  tkg_tape *tape;
  int forward;      /* nodes before this one are forward */
  int arrived;      /* from this one on they read gradients that are complete: clipping, updates */
  int32_t *outputs; /* nodes whose values are returned, in tensors of their own */
  int output_count;
  bool *divided;    /* of each output: its tensor is divided among the ranks */
  bool divides;     /* outputs are to be, where they can */
  int rank_bits;    /* of the policy */
  int32_t *leaf_of; /* parameter leaf and its gradient's node, pair by pair: */
  int32_t *gradient_of;
  int gradient_count;
  bool updates; /* an optimizer consumes the gradients */
  tkg_saved_value *saved;
  int saved_count;
  int reference_held_count;
  int64_t reference_bytes;              /* what an op-by-op FP32 tape would save */
  int64_t reference_work;               /* and hold at its fullest during the step */
  struct tkg_fp32_held *reference_held; /* and between steps; see fp32_peak.h */

  /* the plan */
  int32_t *order; /* nodes to run, in this order */
  int order_count;
  int32_t *storage; /* node whose memory a node uses (itself, or what it aliases) */
  int64_t *offset;  /* in the arena; -1: memory of a leaf or an output */
  int64_t *shift;   /* bytes into the storage, for aliases */
  int64_t *scratch; /* offset of a node's scratch memory, or of a group's partial sums; -1: none */
  int64_t *part; /* offset in the memory of a tile of a part of a sum over rows; -1: in scratch */
  int64_t *ids_order; /* offset of the order of its ids; -1: it needs none */
  bool *ids_ordered;  /* another node that runs before makes it */
  bool tiled;         /* tile.c forms groups */
  bool in_place;      /* sums over edges of backward's plans may be written over what they read */
  bool checked; /* each value exists as a whole; all gradients exist before the first update */
  tkg_group *groups;
  int group_count;
  int32_t *group_of;     /* of a node; -1: it runs alone */
  const char **ids_line; /* line that gave it its ids, if not its own (ids_lines.c); or NULL */
  bool *in_tile;  /* the value exists one tile at a time; its offset is in the memory of the tile */
  int32_t *slice; /* of a sum over edges: columns that it makes at a time, so that it can be written
                     over what it reads (sums_in_place.c); 0: all */
  int32_t *over;  /* of such a sum: how many of its rows may lie there; all: it has that memory */
  int32_t *output_of; /* the output in whose tensor a value is computed; -1: it is in the arena */
  int64_t arena_bytes;
  int64_t at_peak[TKG_KIND_COUNT]; /* bytes by kind where the arena is fullest */
} tkg_program;

/* Whether the program computes values alone: no gradients, no updates. */
static inline bool tkg__forward_only(const tkg_program *p) {
  return p->forward == p->tape->n && p->gradient_count == 0;
}

/* Whether the value of a node is an output whose tensor is divided among the ranks. */
static inline bool tkg__is_divided(const tkg_program *p, int node) {
  for (int i = 0; i < p->output_count; i++)
    if (p->outputs[i] == node) return p->divided[i];
  return false;
}

#endif
