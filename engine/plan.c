/* The plan pass: which nodes run, in which order, and where each value lies.
 *
 * Values of a step share one arena. Liveness is known before anything runs, so a value's bytes are
 * given out again at its last reader; updates are moved forward to the first moment at which
 * nothing reads the old parameter any more, so that gradients die early. A group of nodes that run
 * in tiles is one moment: all its whole values are there from its beginning to its end. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tile.h"

enum { ALIGN = 64 };

typedef struct block {
  int64_t offset, bytes;
  int last; /* time of the last reader */
  int kind;
} block;

/* Memory being laid out: the arena, or a tile's. Blocks lie in order of their offsets. */
typedef struct space {
  block *live;
  int count;
  int64_t end; /* bytes needed so far */
} space;

typedef struct planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *time, *last; /* of a place in the order; of a storage's last reader */
  int64_t *key;
  space arena, tile;
  int64_t in_use[TKG_KIND_COUNT], fullest;
} planner;

/* ---- order ---- */

static void mark_needed(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) z->needed[i] = tkg__op_is(z->tape->nodes[i].op, 'U');
  tkg__reach(z->tape, p->roots, p->root_count, z->needed);
  if (!p->updates) tkg__reach(z->tape, p->gradient_of, p->gradient_count, z->needed);
}

/* A view: its memory is input 0's. Returns whether it is, and where in it. */
static bool view_of(const tkg_tape *tape, const tkg_node *n, int64_t *shift) {
  *shift = 0;
  if (n->op == TKG_OP_RESHAPE) return true;
  if (n->op != TKG_OP_NARROW) return false;
  const tkg_node *x = &tape->nodes[n->in[0]];
  int64_t inner = 4;
  for (int d = 0; d < n->rank; d++) {
    if (d < n->i[0] && n->shape[d] != 1) return false;
    if (d > n->i[0]) inner *= x->shape[d];
  }
  *shift = n->i[1] * inner;
  return true;
}

static void find_storage(planner *z) {
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    tkg_program *p = z->p;
    p->storage[i] = i;
    p->offset[i] = p->scratch[i] = -1;
    p->shift[i] = 0;
    bool view = view_of(z->tape, n, &p->shift[i]);
    if (!view && !tkg__op_is(n->op, 'U')) continue;
    p->storage[i] = p->storage[n->in[0]];
    p->shift[i] += p->shift[n->in[0]];
  }
}

/* Insertion sort: all but the updates, which stand last, are in order already. */
static void sort_by_key(int32_t *order, int n, const int64_t *key) {
  for (int a = 1; a < n; a++) {
    int32_t node = order[a];
    int b = a;
    for (; b > 0 && key[order[b - 1]] > key[node]; b--) order[b] = order[b - 1];
    order[b] = node;
  }
}

/* All but the updates, in the order they were recorded. */
static void list_nodes(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    z->key[i] = 2 * (int64_t)i;
    if (!z->needed[i] || tkg__op_is(n->op, 'U')) continue;
    for (int k = 0; k < n->inputs; k++) z->last[p->storage[n->in[k]]] = i;
    z->last[p->storage[i]] = i;
    if (n->op != TKG_OP_LEAF) p->order[p->order_count++] = i;
  }
}

/* The node behind which a reader of node i can stand: itself, or the last of its group. */
static int end_of(const planner *z, int i) {
  const tkg_program *p = z->p;
  int group = i < 0 ? -1 : p->group_of[i];
  return group < 0 ? i : p->groups[group].last;
}

/* An update goes right behind the last reader of its parameter and the last of its inputs. */
static void add_updates(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    if (!z->needed[i] || !tkg__op_is(n->op, 'U')) continue;
    int at = end_of(z, z->last[p->storage[n->in[0]]]);
    for (int k = 1; k < n->inputs; k++) {
      int v = p->storage[n->in[k]], end = end_of(z, v);
      if (z->tape->nodes[v].op != TKG_OP_LEAF && end > at) at = end;
      if (z->tape->nodes[n->in[k]].op != TKG_OP_LEAF && n->in[k] > at) at = n->in[k];
    }
    z->key[i] = 2 * (int64_t)at + 1;
    p->order[p->order_count++] = i;
  }
  sort_by_key(p->order, p->order_count, z->key);
}

static void end_groups(tkg_program *p) {
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    if (group >= 0) p->groups[group].last = p->order[o];
  }
}

/* From nodes to places in the final order. */
static void place_groups(tkg_program *p) {
  for (int g = 0; g < p->group_count; g++) p->groups[g].first = -1;
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    if (group < 0) continue;
    if (p->groups[group].first < 0) p->groups[group].first = o;
    p->groups[group].last = o;
  }
}

static int put_in_order(planner *z) {
  tkg_program *p = z->p;
  int status = TKG_OK;
  list_nodes(z);
  for (int i = 0; i < z->tape->n; i++) p->group_of[i] = -1;
  if (z->tape->engine->backend->run_tiles && p->tiled) status = tkg__tile(p, z->needed);
  end_groups(p);
  add_updates(z);
  place_groups(p);
  return status;
}

/* ---- liveness ---- */

static void find_last_readers(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) z->last[i] = -1;
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    const tkg_node *n = &z->tape->nodes[p->order[o]];
    z->time[o] = group < 0 ? o : p->groups[group].first;
    z->last[p->storage[p->order[o]]] = z->time[o];
    for (int k = 0; k < n->inputs; k++) z->last[p->storage[n->in[k]]] = z->time[o];
  }
  for (int i = 0; i < p->root_count; i++) z->last[p->storage[p->roots[i]]] = p->order_count;
  for (int i = 0; i < p->gradient_count && !p->updates; i++)
    z->last[p->storage[p->gradient_of[i]]] = p->order_count;
}

static int kind_of(const planner *z, int i) {
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

/* The smallest gap between live blocks that fits; blocks are sorted by offset and never empty, so
 * that an offset names one of them. */
static int64_t put(space *m, int64_t bytes, int last, int kind) {
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  int at = m->count;
  if (bytes == 0) return 0;
  for (int i = 0; i < m->count; i++) {
    int64_t gap = m->live[i].offset - end;
    if (gap >= bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
      at = i;
    }
    end = m->live[i].offset + m->live[i].bytes;
  }
  if (best < 0) best = end;
  memmove(m->live + at + 1, m->live + at, (size_t)(m->count - at) * sizeof *m->live);
  m->live[at] = (block){best, bytes, last, kind};
  m->count++;
  if (best + bytes > m->end) m->end = best + bytes;
  return best;
}

static int64_t aligned_bytes(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static int64_t place(planner *z, int64_t bytes, int last, int kind) {
  bytes = aligned_bytes(bytes);
  z->in_use[kind] += bytes;
  return put(&z->arena, bytes, last, kind);
}

static void expire(planner *z, int before) {
  int kept = 0;
  for (int i = 0; i < z->arena.count; i++)
    if (z->arena.live[i].last >= before)
      z->arena.live[kept++] = z->arena.live[i];
    else
      z->in_use[z->arena.live[i].kind] -= z->arena.live[i].bytes;
  z->arena.count = kept;
}

static void note_peak(planner *z) {
  int64_t sum = 0;
  for (int k = 0; k < TKG_KIND_COUNT; k++) sum += z->in_use[k];
  if (sum <= z->fullest) return;
  z->fullest = sum;
  memcpy(z->p->at_peak, z->in_use, sizeof z->in_use);
}

/* The input whose memory the result may take over, or -1. */
static int replaced_input(const tkg_node *n) {
  if (tkg__op_is(n->op, 'P')) return 0;
  if (n->op == TKG_OP_SCATTER_ADD && n->inputs == 3) return 2;
  if (n->op == TKG_OP_MIX_SCATTER && n->inputs == 4) return 3;
  return -1;
}

/* Node i gets the memory of `from`, if that is still a block whose time ends at `last`. */
static bool inherit(planner *z, int from, int i, int last) {
  for (int b = 0; b < z->arena.count; b++) {
    block *live = &z->arena.live[b];
    if (live->offset != z->p->offset[from] || live->last != last) continue;
    int kind = kind_of(z, i);
    z->in_use[live->kind] -= live->bytes;
    z->in_use[kind] += live->bytes;
    live->kind = kind;
    live->last = z->last[i];
    z->p->offset[i] = z->p->offset[from];
    return true;
  }
  return false;
}

static bool take_over(planner *z, int i, int o) {
  tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  int k = replaced_input(n);
  if (k < 0 || tkg__bytes(n) == 0) return false;
  int from = p->storage[n->in[k]];
  if (p->offset[from] < 0 || z->last[from] != o || p->shift[n->in[k]] != 0) return false;
  if (tkg__bytes(&z->tape->nodes[from]) != tkg__bytes(n)) return false;
  for (int j = 0; j < n->inputs; j++)
    if (j != k && p->storage[n->in[j]] == from) return false;
  return inherit(z, from, i, o);
}

/* ---- memory of a group ---- */

static int64_t row_bytes(const tkg_node *n) { return tkg__cols(n) * (int64_t)sizeof(float); }

/* The last member of the group that reads what node i makes; i itself, when none does. */
static int last_in_group(const planner *z, const tkg_group *g, int i) {
  int last = i;
  for (int o = g->first; o <= g->last; o++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[o]];
    for (int k = 0; k < n->inputs; k++)
      if (n->in[k] == i) last = o;
  }
  return last;
}

/* Takes over input 0's place in the tile, where this is its last reader. */
static bool take_over_in_tile(planner *z, int i, int o, int last) {
  tkg_program *p = z->p;
  const tkg_node *n = &z->tape->nodes[i];
  int from = n->in[0];
  if (!tkg__op_is(n->op, 'P') || !p->in_tile[from] || p->group_of[from] != p->group_of[i])
    return false;
  for (int k = 1; k < n->inputs; k++)
    if (n->in[k] == from) return false;
  if (row_bytes(&z->tape->nodes[from]) != row_bytes(n)) return false;
  for (int b = 0; b < z->tile.count; b++) {
    block *live = &z->tile.live[b];
    if (live->offset != p->offset[from] || live->last != o) continue;
    live->last = last;
    p->offset[i] = p->offset[from];
    return true;
  }
  return false;
}

/* Offsets inside a tile's memory, by the same rules as in the arena. */
static void lay_out_tile(planner *z, tkg_group *g) {
  z->tile.count = 0;
  z->tile.end = 0;
  for (int o = g->first; o <= g->last; o++) {
    int i = z->p->order[o], kept = 0;
    for (int b = 0; b < z->tile.count; b++)
      if (z->tile.live[b].last >= o) z->tile.live[kept++] = z->tile.live[b];
    z->tile.count = kept;
    if (!z->p->in_tile[i]) continue;
    int last = last_in_group(z, g, i);
    if (take_over_in_tile(z, i, o, last)) continue;
    int64_t bytes = aligned_bytes(g->tile * row_bytes(&z->tape->nodes[i]));
    z->p->offset[i] = put(&z->tile, bytes, last, TKG_KIND_TRANSIENT);
  }
  g->tile_bytes = z->tile.end;
}

/* Whether whole value v is done with in the group when node o writes: all that read it there do so
 * row by row, before o or as o's own first operand. */
static bool done_with(const planner *z, const tkg_group *g, int v, int o) {
  for (int r = g->first; r <= g->last; r++) {
    const tkg_node *n = &z->tape->nodes[z->p->order[r]];
    for (int k = 0; k < n->inputs; k++) {
      if (z->p->storage[n->in[k]] != v) continue;
      bool in_place = r == o && k == 0 && tkg__op_is(n->op, 'P');
      if (n->in[k] != v || !tkg__aligned(z->tape, n, k) || (r >= o && !in_place)) return false;
    }
  }
  return true;
}

/* The memory of a whole value that the group reads for the last time, for one that it makes. */
static bool take_over_in_group(planner *z, const tkg_group *g, int o) {
  tkg_program *p = z->p;
  int i = p->order[o];
  for (int r = g->first; r <= o; r++) {
    const tkg_node *n = &z->tape->nodes[p->order[r]];
    for (int k = 0; k < n->inputs; k++) {
      int v = n->in[k];
      if (p->storage[v] != v || p->offset[v] < 0 || z->last[v] != g->first) continue;
      if (p->group_of[v] == p->group_of[i]) continue; /* it is made here */
      bool fits = tkg__bytes(&z->tape->nodes[v]) == tkg__bytes(&z->tape->nodes[i]) &&
                  z->tape->nodes[v].dtype == z->tape->nodes[i].dtype;
      if (fits && done_with(z, g, v, o) && inherit(z, v, i, g->first)) return true;
    }
  }
  return false;
}

static void lay_out_group(planner *z, tkg_group *g) {
  tkg_program *p = z->p;
  int threads = z->tape->engine->threads;
  expire(z, g->first);
  for (int o = g->first; o <= g->last; o++) {
    int i = p->order[o];
    const tkg_node *n = &z->tape->nodes[i];
    if (p->storage[i] != i || p->in_tile[i]) continue;
    bool reduces = tkg__part(z->tape, n) == TKG_PART_REDUCES;
    if (reduces || !take_over_in_group(z, g, o))
      p->offset[i] = place(z, tkg__bytes(n), z->last[i], kind_of(z, i));
    if (reduces) p->scratch[i] = place(z, g->chunks * tkg__bytes(n), g->first, TKG_KIND_TRANSIENT);
  }
  lay_out_tile(z, g);
  g->memories = threads < g->chunks ? threads : g->chunks;
  g->memory = place(z, g->memories * g->tile_bytes, g->first, TKG_KIND_TRANSIENT);
  note_peak(z);
}

static void lay_out_node(planner *z, int o) {
  tkg_program *p = z->p;
  const tkg_backend *backend = z->tape->engine->backend;
  int i = p->order[o];
  const tkg_node *n = &z->tape->nodes[i], *in[TKG_MAX_INPUTS] = {0};
  for (int k = 0; k < n->inputs; k++) in[k] = &z->tape->nodes[n->in[k]];
  expire(z, o);
  if (p->storage[i] == i && !take_over(z, i, o))
    p->offset[i] = place(z, tkg__bytes(n), z->last[i], kind_of(z, i));
  int64_t scratch = backend->scratch_bytes(n, in);
  if (scratch > 0) p->scratch[i] = place(z, scratch, o, TKG_KIND_TRANSIENT);
  note_peak(z);
}

static void lay_out(planner *z) {
  tkg_program *p = z->p;
  for (int o = 0; o < p->order_count; o++) {
    int group = p->group_of[p->order[o]];
    if (group < 0) {
      lay_out_node(z, o);
      continue;
    }
    lay_out_group(z, &p->groups[group]);
    o = p->groups[group].last;
  }
  p->arena_bytes = z->arena.end;
}

static bool allocate(planner *z) {
  tkg_program *p = z->p;
  size_t n = (size_t)p->tape->n + 1;
  p->order = calloc(3 * n, sizeof *p->order);
  p->offset = calloc(3 * n, sizeof *p->offset);
  p->groups = calloc(n, sizeof *p->groups);
  p->in_tile = calloc(n, sizeof *p->in_tile);
  z->needed = calloc(n, sizeof *z->needed);
  z->time = calloc(2 * n, sizeof *z->time);
  z->key = calloc(n, sizeof *z->key);
  z->arena.live = calloc(3 * n, sizeof *z->arena.live);
  z->tile.live = calloc(n, sizeof *z->tile.live);
  if (!p->order || !p->offset || !p->groups || !p->in_tile || !z->needed || !z->time || !z->key ||
      !z->arena.live || !z->tile.live)
    return false;
  p->storage = p->order + n;
  p->group_of = p->order + 2 * n;
  p->shift = p->offset + n;
  p->scratch = p->offset + 2 * n;
  z->last = z->time + n;
  return true;
}

int tkg__plan(tkg_program *p) {
  planner z = {.p = p, .tape = p->tape};
  int status = allocate(&z) ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
  if (!status) {
    mark_needed(&z);
    find_storage(&z);
    status = put_in_order(&z);
  }
  if (!status) {
    find_last_readers(&z);
    lay_out(&z);
  }
  free(z.needed);
  free(z.time);
  free(z.key);
  free(z.arena.live);
  free(z.tile.live);
  return status;
}
