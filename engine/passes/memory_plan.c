/* The memory plan: where each value lies in the one arena that all steps share.
 *
 * A block of memory is live from the node that writes it to its last reader. An op that may write
 * over an input takes over its block. A group of nodes that run in tiles counts as one place in the
 * order: its whole values are live from its beginning to its end, but a value that it reads for the
 * last time, row by row, may become one that it writes. While blocks are collected, the offset of a
 * value is the number of its block; memory_packing.c then places all of them. */
#include "memory_plan.h"

#include <string.h>

#include "base/error.h"
#include "base/placement.h"
#include "tile.h"
#include "wide_groups.h"

enum { ALIGN = 64 };

static int kind_of(const tkg_planner *z, int i) {
  const tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  if (n->dtype == TKG_CODES || n->dtype == TKG_MASK) return TKG_KIND_KEPT_QUANTIZED;
  for (int g = 0; g < p->gradient_count; g++)
    if (p->storage[p->gradient_of[g]] == i) return TKG_KIND_GRADIENT;
  if (i >= p->forward) return TKG_KIND_TRANSIENT;
  int o = z->last[i] < p->order_count ? z->last[i] : p->order_count - 1;
  return o >= 0 && p->order[o] >= p->forward ? TKG_KIND_KEPT_EXACT : TKG_KIND_TRANSIENT;
}

/* ---- memory ---- */

static int64_t aligned_bytes(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* Adds a block. Returns its number. */
static int64_t add_block(tkg_planner *z, int64_t bytes, int from, int to, int kind) {
  bytes = aligned_bytes(bytes);
  z->in_use[kind] += bytes;
  z->arena[z->arena_count] =
      (tkg_block){.bytes = bytes, .live_from = from, .live_to = to, .kind = kind};
  return z->arena_count++;
}

static void end_blocks(tkg_planner *z, int before) {
  for (int b = 0; b < z->arena_count; b++) {
    tkg_block *block = &z->arena[b];
    if (block->dead || block->live_to >= before) continue;
    block->dead = true;
    z->in_use[block->kind] -= block->bytes;
  }
}

static void note_peak(tkg_planner *z) {
  int64_t sum = 0;
  for (int k = 0; k < TKG_KIND_COUNT; k++) sum += z->in_use[k];
  if (sum <= z->fullest) return;
  z->fullest = sum;
  memcpy(z->p->at_peak, z->in_use, sizeof z->in_use);
}

/* Returns the input whose memory the result may take over, -1 if there is none. */
static int replaced_input(const tkg_node *n) {
  if (tkg__op_is(n->op, TKG_INPLACE)) return 0;
  int base = tkg__op_base(n->op);
  return base < n->inputs ? base : -1;
}

/* Gives node i the memory of `from`, if that is a block which is live up to `last`. */
static bool inherit(tkg_planner *z, int from, int i, int last) {
  tkg_block *block = &z->arena[z->p->offset[from]];
  if (block->dead || block->live_to != last) return false;
  int kind = kind_of(z, i);
  z->in_use[block->kind] -= block->bytes;
  z->in_use[kind] += block->bytes;
  block->kind = kind;
  block->live_to = z->last[i];
  z->p->offset[i] = z->p->offset[from];
  return true;
}

/* The value in input k's memory if that is dead behind node i, at place o, and as large as i. */
static int dead_input(const tkg_planner *z, int i, int o, int k) {
  const tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  if (k < 0 || tkg__bytes(n) == 0) return -1;
  int from = p->storage[n->in[k]];
  if (z->tape->nodes[from].op == TKG_OP_LEAF || p->in_tile[from]) return -1;
  if (z->last[from] != o || p->shift[n->in[k]] != 0) return -1;
  /* Both the memory and the part that is read: if the first rows of a larger value are broadcast,
     the first rows of the result would overwrite them while later rows still read them. */
  if (tkg__bytes(&z->tape->nodes[from]) != tkg__bytes(n)) return -1;
  if (tkg__bytes(&z->tape->nodes[n->in[k]]) != tkg__bytes(n)) return -1;
  for (int j = 0; j < n->inputs; j++)
    if (j != k && p->storage[n->in[j]] == from) return -1;
  return from;
}

/* Whether node i is a sum some of whose rows lie beside what it reads. */
static bool overlaps(const tkg_planner *z, int i) {
  return z->p->slice[i] > 0 && z->p->over[i] < tkg__rows(&z->tape->nodes[i]);
}

/* The value whose memory a node that runs alone may take over. */
static int replaced_by_node(const tkg_planner *z, int i, int o) {
  if (overlaps(z, i)) return -1;
  return dead_input(z, i, o, z->p->slice[i] > 0 ? 1 : replaced_input(&z->tape->nodes[i]));
}

/* Lets the block of node i, at place o, lie over that of what it reads, as far as it may. Returns
 * the bytes that they can share. */
static int64_t lay_over(tkg_planner *z, int i, int o) {
  const tkg_node *n = &z->tape->nodes[i];
  const int from = overlaps(z, i) ? dead_input(z, i, o, 1) : -1;
  if (from < 0 || z->p->offset[from] < 0 || z->p->offset[i] < 0) return 0;
  tkg_block *block = &z->arena[z->p->offset[i]], *x = &z->arena[z->p->offset[from]];
  if (x->dead || x->live_to != o) return 0;
  block->step = tkg__cols(n) * (int64_t)sizeof(float);
  block->apart = (tkg__rows(n) - z->p->over[i]) * block->step;
  block->over = x;
  x->under = block;
  return z->p->over[i] * block->step;
}

/* ---- memory of a group ---- */

/* Bytes of a value in a tile of so many rows, or of so many elements of a wide group; of all of it
 * in a small group, of 0 rows. */
static int64_t bytes_in_tile(const tkg_group *g, const tkg_node *n, int64_t rows) {
  if (g->wide > 0) return rows * (int64_t)sizeof(float);
  return rows > 0 ? rows * tkg__tile_cols(n) * (int64_t)sizeof(float) : tkg__bytes(n);
}

/* Returns the last node of the group that reads node i, i itself if none does. */
static int last_in_group(const tkg_planner *z, const tkg_group *g, int i) {
  int last = i;
  for (int o = g->first; o <= g->last; o++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[o]];
    for (int k = 0; k < n->inputs; k++)
      if (n->in[k] == i) last = o;
  }
  return last;
}

/* Takes over the place of input 0 in the tile, if this node is its last reader. */
static bool take_over_in_tile(tkg_planner *z, const tkg_group *g, int64_t rows, int i, int o,
                              int last) {
  tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  int from = n->in[0];
  if (!tkg__op_is(n->op, TKG_INPLACE) || !p->in_tile[from] || p->group_of[from] != p->group_of[i])
    return false;
  for (int k = 1; k < n->inputs; k++)
    if (n->in[k] == from) return false;
  if (bytes_in_tile(g, &z->tape->nodes[from], rows) != bytes_in_tile(g, n, rows)) return false;
  tkg_block *block = &z->tile[p->offset[from]];
  if (block->live_to != o) return false;
  block->live_to = last;
  p->offset[i] = p->offset[from];
  return true;
}

/* Bytes of a part of node i's sum over rows while it is added up. */
static int64_t part_bytes(const tkg_program *p, int i) {
  const tkg_tile_rules *rules = p->tape->engine->backend->tiles;
  const tkg_node *n = &p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  tkg__inputs_of(p->tape, n, in);
  return rules->scratch_bytes ? rules->scratch_bytes(n, in) : tkg__bytes(n);
}

/* Adds blocks of the group's parts that are added up in the tile's memory. */
static void add_parts_in_tile(tkg_planner *z, const tkg_group *g) {
  for (int o = g->first; o <= g->last; o++) {
    int i = z->p->order[o];
    if (z->p->part[i] < 0) continue;
    z->tile[z->tile_count] = (tkg_block){.bytes = aligned_bytes(part_bytes(z->p, i)),
                                         .live_from = g->first,
                                         .live_to = g->last,
                                         .kind = TKG_KIND_TRANSIENT};
    z->p->part[i] = z->tile_count++;
  }
}

/* Finds offsets inside the memory of a tile of so many rows, by the same rules as in the arena. */
static int pack_tile(tkg_planner *z, tkg_group *g, int64_t rows) {
  tkg_program *p = z->p;
  z->tile_count = 0;
  for (int o = g->first; o <= g->last; o++) {
    int i = p->order[o];
    if (!p->in_tile[i]) continue;
    int last = last_in_group(z, g, i);
    if (take_over_in_tile(z, g, rows, i, o, last)) continue;
    int64_t bytes = aligned_bytes(bytes_in_tile(g, &z->tape->nodes[i], rows));
    z->tile[z->tile_count] =
        (tkg_block){.bytes = bytes, .live_from = o, .live_to = last, .kind = TKG_KIND_TRANSIENT};
    p->offset[i] = z->tile_count++;
  }
  add_parts_in_tile(z, g);
  int status = tkg__pack_memory(z->tile, z->tile_count, &g->tile_bytes);
  for (int o = g->first; o <= g->last && !status; o++) {
    int i = p->order[o];
    if (p->in_tile[i]) p->offset[i] = z->tile[p->offset[i]].offset;
    if (p->part[i] >= 0) p->part[i] = z->tile[p->part[i]].offset;
  }
  g->tile = rows;
  return status;
}

/* Makes the widest of the group's values that live in a tile exist as a whole. */
static void take_out_widest(tkg_planner *z, const tkg_group *g) {
  int widest = -1;
  int64_t most = -1;
  for (int o = g->first; o <= g->last; o++) {
    int i = z->p->order[o];
    int64_t bytes = bytes_in_tile(g, &z->tape->nodes[i], g->tile);
    if (!z->p->in_tile[i] || bytes <= most) continue;
    most = bytes;
    widest = i;
  }
  z->p->in_tile[widest] = false;
  z->p->offset[widest] = -1;
}

/* Lets parts of sums over rows be added up in a tile's memory, where they have room beside it.
 * Those that ranks exchange lie in scratch, the same on all. */
static int take_in_parts(tkg_planner *z, tkg_group *g) {
  const tkg_tile_rules *rules = z->tape->engine->backend->tiles;
  int status = TKG_OK;
  for (int o = g->first; o <= g->last && !status && rules->most_bytes > 0; o++) {
    const int i = z->p->order[o];
    if (!tkg__makes_parts(z->p, i) || g->whole_rows > 0) continue;
    if (g->tile_bytes + aligned_bytes(part_bytes(z->p, i)) > rules->bytes) continue;
    z->p->part[i] = 0;
    status = pack_tile(z, g, g->tile);
  }
  return status;
}

/* Finds the height of a tile and the offsets inside it. */
static int lay_out_tile(tkg_planner *z, tkg_group *g) {
  const tkg_tile_rules *rules = z->tape->engine->backend->tiles;
  int status = pack_tile(z, g, g->tile);
  while (!status && rules->most_bytes > 0 && g->tile_bytes > rules->most_bytes) {
    take_out_widest(z, g);
    status = pack_tile(z, g, g->tile);
  }
  while (!status && g->rows > 0 && g->wide == 0 && 2 * g->tile <= rules->tallest &&
         2 * g->tile_bytes <= rules->bytes && g->rows >= 2 * g->tile * rules->many)
    status = pack_tile(z, g, 2 * g->tile);
  return status ? status : take_in_parts(z, g);
}

/* Whether whole value v is dead in the group when node o writes: all its readers there read it row
 * by row, before o or as the first operand of o, and no node has taken over its memory. */
static bool is_dead(const tkg_planner *z, const tkg_group *g, int v, int o) {
  for (int r = g->first; r <= g->last; r++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[r]];
    if (r < o && z->p->offset[v] >= 0 && z->p->offset[z->p->order[r]] == z->p->offset[v])
      return false;
    for (int k = 0; k < n->inputs; k++) {
      if (z->p->storage[n->in[k]] != v) continue;
      bool in_place = r == o && k == 0 && tkg__op_is(n->op, TKG_INPLACE);
      if (n->in[k] != v || !tkg__aligned(z->tape, n, k) || (r >= o && !in_place)) return false;
    }
  }
  return true;
}

/* Whether node i, at place o of a group, may be written over value v, which the group only reads.
 */
static bool replaces_in_group(const tkg_planner *z, const tkg_group *g, int v, int i, int o) {
  const tkg_program *p = z->p;
  const tkg_node *from = &z->tape->nodes[v], *n = &z->tape->nodes[i];
  if (p->storage[v] != v || z->last[v] != g->first || from->op == TKG_OP_LEAF) return false;
  if (p->group_of[v] == p->group_of[i]) return false;         /* the group writes it */
  if (g->wide > 0 && !tkg__is_wide_value(p, i)) return false; /* others have other elements */
  return tkg__bytes(from) == tkg__bytes(n) && from->dtype == n->dtype && is_dead(z, g, v, o);
}

/* The value over which node i, at place o of a group, may be written: of several the first that was
 * made, since all that it was written over then has the same memory. */
static int replaced_in_group(const tkg_planner *z, const tkg_group *g, int i, int o) {
  int first = -1;
  for (int r = g->first; r <= o; r++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[r]];
    for (int k = 0; k < n->inputs; k++) {
      int v = n->in[k];
      if ((first < 0 || v < first) && replaces_in_group(z, g, v, i, o)) first = v;
    }
  }
  return first;
}

int tkg__replaced(const tkg_planner *z, int i, int o) {
  int group = z->p->group_of[i];
  return group < 0 ? replaced_by_node(z, i, o) : replaced_in_group(z, &z->p->groups[group], i, o);
}

/* Gives the value of node i, at place o, the memory of one that it may take over, if that is in the
 * arena. */
static bool take_over(tkg_planner *z, int i, int o) {
  int from = tkg__replaced(z, i, o);
  return from >= 0 && z->p->offset[from] >= 0 && inherit(z, from, i, z->time[o]);
}

/* The number of tiles in the arena. */
static int memories_of(const tkg_planner *z, const tkg_group *g) {
  const tkg_engine *engine = z->tape->engine;
  int at_once = z->trying ? 1 : engine->threads;
  if (engine->backend->tiles->most_bytes > 0) return 0; /* they have memory of their own */
  if (engine->tiles > 0 && engine->tiles < at_once) at_once = engine->tiles;
  return at_once < g->chunks ? at_once : g->chunks;
}

static int64_t scratch_in_group(const tkg_program *p, const tkg_group *g, int i) {
  const tkg_tile_rules *rules = p->tape->engine->backend->tiles;
  const tkg_node *n = &p->tape->nodes[i];
  if (g->rows == 0) return 0;
  if (!tkg__makes_parts(p, i)) return rules->scratch_bytes ? part_bytes(p, i) : 0;
  const int64_t bytes = p->part[i] >= 0 ? tkg__bytes(n) : part_bytes(p, i);
  return (g->chunks + tkg__parts_of(g->whole_rows) * g->finer) * bytes;
}

int64_t tkg__scratch_bytes(const tkg_program *p, int i) {
  const tkg_node *n = &p->tape->nodes[i], *in[TKG_MAX_INPUTS];
  if (p->group_of[i] >= 0) return scratch_in_group(p, &p->groups[p->group_of[i]], i);
  tkg__inputs_of(p->tape, n, in);
  if (p->slice[i] > 0 && p->over[i] < tkg__rows(n))
    return p->tape->engine->backend->overlap_bytes(n, p->slice[i], p->over[i]);
  if (p->slice[i] > 0) return p->tape->engine->backend->slice_bytes(n, p->slice[i]);
  if (n->op == TKG_OP_EXCHANGE) return tkg__exchange_scratch(n, in[0], p->tape->engine->ranks);
  return p->tape->engine->backend->scratch_bytes(n, in);
}

/* ---- orders of ids ---- */

static tkg_ids_order order_of(const tkg_planner *z, int i) {
  const tkg_backend *backend = z->tape->engine->backend;
  const tkg_node *n = &z->tape->nodes[i], *in[TKG_MAX_INPUTS];
  if (!backend->ids_order || z->p->storage[i] != i || tkg__in_small_group(z->p, i))
    return (tkg_ids_order){0};
  tkg__inputs_of(z->tape, n, in);
  return backend->ids_order(n, in, z->p->group_of[i] >= 0);
}

static bool same_ids(const tkg_planner *z, int a, tkg_ids_order of_a, int b, tkg_ids_order of_b) {
  const tkg_program *p = z->p;
  const int v = z->tape->nodes[a].in[of_a.input], w = z->tape->nodes[b].in[of_b.input];
  return of_a.bytes == of_b.bytes && of_a.n == of_b.n && p->storage[v] == p->storage[w] &&
         p->shift[v] == p->shift[w];
}

/* Gives node i, at place o, the order of its ids: that of an earlier node, or memory up to the last
 * node that can use it. */
static void lay_out_order(tkg_planner *z, int i, int o) {
  tkg_program *p = z->p;
  const tkg_ids_order own = order_of(z, i);
  if (own.bytes == 0 || p->ids_order[i] >= 0) return;
  int last = z->time[o];
  const int block = z->arena_count;
  for (int r = o; r < p->order_count; r++) {
    const int other = p->order[r];
    const tkg_ids_order of = order_of(z, other);
    if (of.bytes == 0 || !same_ids(z, i, own, other, of)) continue;
    p->ids_order[other] = block;
    p->ids_ordered[other] = other != i;
    last = z->time[r];
  }
  add_block(z, own.bytes, z->time[o], last, TKG_KIND_TRANSIENT);
}

/* ---- nodes and groups ---- */

static int lay_out_group(tkg_planner *z, tkg_group *g) {
  tkg_program *p = z->p;
  int status = lay_out_tile(z, g);
  end_blocks(z, g->first);
  for (int o = g->first; o <= g->last; o++) {
    int i = p->order[o];
    const tkg_node *n = &z->tape->nodes[i];
    if (p->storage[i] != i) continue;
    int64_t scratch = scratch_in_group(p, g, i);
    if (scratch > 0) p->scratch[i] = add_block(z, scratch, g->first, g->first, TKG_KIND_TRANSIENT);
    lay_out_order(z, i, o);
    if (p->in_tile[i]) continue;
    bool reduces = tkg__makes_parts(p, i);
    if (p->output_of[i] < 0 && (reduces || !take_over(z, i, o)))
      p->offset[i] = add_block(z, tkg__bytes(n), g->first, z->last[i], kind_of(z, i));
  }
  g->memories = memories_of(z, g);
  g->memory = add_block(z, g->memories * g->tile_bytes, g->first, g->first, TKG_KIND_TRANSIENT);
  note_peak(z);
  return status;
}

static void lay_out_node(tkg_planner *z, int o) {
  tkg_program *p = z->p;
  int i = p->order[o];
  const tkg_node *n = &z->tape->nodes[i];
  end_blocks(z, o);
  if (p->storage[i] == i && p->output_of[i] < 0 && !take_over(z, i, o))
    p->offset[i] = add_block(z, tkg__bytes(n), o, z->last[i], kind_of(z, i));
  int64_t scratch = tkg__scratch_bytes(p, i);
  if (scratch > 0) p->scratch[i] = add_block(z, scratch, o, o, TKG_KIND_TRANSIENT);
  lay_out_order(z, i, o);
  const int64_t shared = lay_over(z, i, o);
  z->in_use[kind_of(z, i)] -= shared;
  note_peak(z);
  z->in_use[kind_of(z, i)] += shared;
}

/* Turns numbers of blocks into offsets. */
static int pack(tkg_planner *z) {
  tkg_program *p = z->p;
  int status = tkg__pack_memory(z->arena, z->arena_count, &p->arena_bytes);
  for (int i = 0; i < z->tape->n && !status; i++) {
    if (p->offset[i] >= 0 && !p->in_tile[i]) p->offset[i] = z->arena[p->offset[i]].offset;
    if (p->scratch[i] >= 0) p->scratch[i] = z->arena[p->scratch[i]].offset;
    if (p->ids_order[i] >= 0) p->ids_order[i] = z->arena[p->ids_order[i]].offset;
  }
  for (int g = 0; g < p->group_count && !status; g++)
    p->groups[g].memory = z->arena[p->groups[g].memory].offset;
  return status;
}

int tkg__lay_out(tkg_planner *z) {
  tkg_program *p = z->p;
  int status = TKG_OK;
  for (int o = 0; o < p->order_count && !status; o++) {
    int group = p->group_of[p->order[o]];
    if (group < 0) {
      lay_out_node(z, o);
      continue;
    }
    status = lay_out_group(z, &p->groups[group]);
    o = p->groups[group].last;
  }
  return status ? status : pack(z);
}
