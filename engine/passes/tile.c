/* The tile pass finds groups of nodes that run a block of rows at a time: all of them for one
 * block, then all of them for the next.
 *
 * Most of a graph network's layer depends row by row on its inputs. Run node by node, each of its
 * values is written to memory as a whole and read again; run in tiles of a few hundred rows, they
 * stay in cache, and a value that only the group reads never exists as a whole. Sums over all rows
 * - weight gradients, biases - are formed along the way, one partial sum per chunk of tiles. What
 * is read as a whole (by a gather, by a sum over a graph) must be finished before: there a group
 * ends.
 *
 * Chunks are the parts of tkg__row_parts, whatever the tile, so a sum has the same bits in every
 * group and alone. */
#include "tile.h"

#include <stdlib.h>

#include "base/error.h"

enum {
  TILE = TKG_PART_STEP,         /* rows of the smallest tile: a unit of the CPU's products */
  LARGEST_TILE = TKG_PART_UNIT, /* a whole number of flat kernels' blocks of 1,024 elements */
  LEAST_ROWS = TKG_PARTED_ROWS, /* a group with fewer is not worth one */
  LEAST_TILES = 8,              /* nor one with fewer tiles */
};

/* ---- what a node can be ---- */

enum tkg_part tkg__part(const tkg_tape *tape, const tkg_node *n) {
  const tkg_node *in[TKG_MAX_INPUTS];
  if (n->inputs == 0 || n->dtype == TKG_I32 || !tkg__op_is(n->op, TKG_TILED)) return TKG_PART_NONE;
  tkg__inputs_of(tape, n, in);
  if (tkg__row_parts(n, in) > 0) return TKG_PART_REDUCES;
  return tkg__rows_apart(n, in) ? TKG_PART_ROWS : TKG_PART_NONE;
}

bool tkg__aligned(const tkg_tape *tape, const tkg_node *n, int k) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(tape, n, in);
  return tkg__row_access(n, in, k) != TKG_ACCESS_WHOLE;
}

static int64_t rows_of(const tkg_tape *tape, const tkg_node *n, enum tkg_part part) {
  return part == TKG_PART_REDUCES ? tape->nodes[n->in[0]].shape[0] : n->shape[0];
}

/* Returns the least rows such that a tile of the node is a whole number of flat blocks. */
static int64_t tile_for(const tkg_node *n, enum tkg_part part) {
  int64_t tile = TILE;
  while (part == TKG_PART_ROWS && tile < LARGEST_TILE && tile * tkg__cols(n) % LARGEST_TILE)
    tile *= 2;
  return tile;
}

/* ---- groups ---- */

typedef struct grouping {
  tkg_program *p;
  const tkg_tape *tape;
  int first, nodes; /* of the group being made: position in the order, members */
  int64_t rows, tile;
  int32_t *made; /* by node: 1 + position of the group's first node when it was made in one */
} grouping;

static void close_group(grouping *z, int end) {
  tkg_program *p = z->p;
  bool worth = z->nodes > 1 && z->rows >= LEAST_TILES * z->tile;
  if (worth) {
    p->groups[p->group_count] =
        (tkg_group){.rows = z->rows, .tile = z->tile, .chunks = tkg__parts_of(z->rows)};
    for (int o = z->first; o < end; o++)
      if (p->storage[p->order[o]] == p->order[o]) p->group_of[p->order[o]] = p->group_count;
    p->group_count++;
  }
  z->nodes = 0;
}

/* Whether the node can run in the group being made: it reads row by row what the group makes. */
static bool joins(const grouping *z, const tkg_node *n, int64_t rows) {
  if (z->nodes == 0 || rows != z->rows) return false;
  for (int k = 0; k < n->inputs; k++) {
    int v = n->in[k], storage = z->p->storage[v];
    if (z->made[storage] != z->first + 1) continue;
    bool whole = v != storage || !tkg__aligned(z->tape, n, k);
    if (whole || tkg__part(z->tape, &z->tape->nodes[v]) == TKG_PART_REDUCES) return false;
  }
  return true;
}

/* Scratch memory belongs to a whole node, not to a tile. */
static bool needs_scratch(const grouping *z, const tkg_node *n, enum tkg_part part) {
  const tkg_node *in[TKG_MAX_INPUTS];
  tkg__inputs_of(z->tape, n, in);
  return part == TKG_PART_ROWS && z->tape->engine->backend->scratch_bytes(n, in) > 0;
}

static void add_node(grouping *z, int o) {
  int i = z->p->order[o];
  const tkg_node *n = &z->tape->nodes[i];
  if (z->p->storage[i] != i) return; /* a view runs nothing */
  enum tkg_part part = tkg__part(z->tape, n);
  int64_t rows = part == TKG_PART_NONE ? -1 : rows_of(z->tape, n, part);
  bool fits = part != TKG_PART_NONE && rows >= LEAST_ROWS && !needs_scratch(z, n, part);
  if (!fits || !joins(z, n, rows)) {
    close_group(z, o);
    z->first = o;
    z->rows = rows;
    z->tile = TILE;
  }
  if (!fits) return;
  z->nodes++;
  z->made[i] = z->first + 1;
  int64_t tile = tile_for(n, part);
  if (tile > z->tile) z->tile = tile;
}

/* ---- values that exist in tiles only ---- */

/* A value exists in tiles only if all its readers are in its group and read it row by row. */
static void find_inside(tkg_program *p, const bool *needed) {
  const tkg_tape *tape = p->tape;
  for (int i = 0; i < tape->n; i++)
    p->in_tile[i] = p->group_of[i] >= 0 && tape->nodes[i].dtype == TKG_F32 &&
                    tkg__part(tape, &tape->nodes[i]) == TKG_PART_ROWS;
  for (int i = 0; i < tape->n; i++) {
    const tkg_node *n = &tape->nodes[i];
    for (int k = 0; needed[i] && k < n->inputs; k++) {
      int v = n->in[k];
      if (p->group_of[v] < 0 || p->group_of[i] != p->group_of[v] || !tkg__aligned(tape, n, k))
        p->in_tile[p->storage[v]] = false;
    }
  }
  for (int i = 0; i < p->output_count; i++) p->in_tile[p->storage[p->outputs[i]]] = false;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    p->in_tile[p->storage[p->gradient_of[i]]] = false;
}

int tkg__tile(tkg_program *p, const bool *needed) {
  grouping z = {.p = p, .tape = p->tape};
  z.made = calloc((size_t)p->tape->n + 1, sizeof *z.made);
  if (!z.made) return tkg__fail(TKG_E_MEMORY, "tile: no memory");
  for (int o = 0; o < p->order_count; o++) add_node(&z, o);
  close_group(&z, p->order_count);
  if (!p->checked) find_inside(p, needed);
  free(z.made);
  return TKG_OK;
}
