/* The plan pass: which nodes run, in which order, and where each value lies.
 *
 * Values of a step share one arena. Liveness is known before anything runs, so a value's bytes are
 * given out again at its last reader; updates are moved forward to the first moment at which
 * nothing reads the old parameter any more, so that gradients die early. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "program.h"

enum { ALIGN = 64 };

typedef struct block {
  int64_t offset, bytes;
  int last; /* position of the last reader */
  int kind;
} block;

typedef struct planner {
  tkg_program *p;
  const tkg_tape *tape;
  bool *needed;
  int32_t *position, *last; /* of a node; of a storage */
  int64_t *key;
  block *live;
  int live_count;
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

/* An update goes right behind the last reader of its parameter and the last of its inputs. */
static void put_in_order(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) {
    const tkg_node *n = &z->tape->nodes[i];
    z->key[i] = 2 * (int64_t)i;
    if (!z->needed[i]) continue;
    if (!tkg__op_is(n->op, 'U')) {
      for (int k = 0; k < n->inputs; k++) z->last[p->storage[n->in[k]]] = i;
      z->last[p->storage[i]] = i;
    }
    if (n->op != TKG_OP_LEAF) p->order[p->order_count++] = i;
  }
  for (int o = 0; o < p->order_count; o++) {
    const tkg_node *n = &z->tape->nodes[p->order[o]];
    if (!tkg__op_is(n->op, 'U')) continue;
    int at = z->last[p->storage[n->in[0]]];
    for (int k = 1; k < n->inputs; k++)
      if (z->tape->nodes[n->in[k]].op != TKG_OP_LEAF && n->in[k] > at) at = n->in[k];
    z->key[p->order[o]] = 2 * (int64_t)at + 1;
  }
  sort_by_key(p->order, p->order_count, z->key);
}

/* ---- liveness ---- */

static void find_last_readers(planner *z) {
  tkg_program *p = z->p;
  for (int i = 0; i < z->tape->n; i++) z->position[i] = z->last[i] = -1;
  for (int o = 0; o < p->order_count; o++) z->position[p->order[o]] = o;
  for (int o = 0; o < p->order_count; o++) {
    const tkg_node *n = &z->tape->nodes[p->order[o]];
    z->last[p->storage[p->order[o]]] = o;
    for (int k = 0; k < n->inputs; k++) z->last[p->storage[n->in[k]]] = o;
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
static int64_t place(planner *z, int64_t bytes, int last, int kind) {
  int64_t best = -1, best_gap = INT64_MAX, end = 0;
  int at = z->live_count;
  if (bytes == 0) return 0;
  bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
  for (int i = 0; i < z->live_count; i++) {
    int64_t gap = z->live[i].offset - end;
    if (gap >= bytes && gap < best_gap) {
      best = end;
      best_gap = gap;
      at = i;
    }
    end = z->live[i].offset + z->live[i].bytes;
  }
  if (best < 0) best = end;
  memmove(z->live + at + 1, z->live + at, (size_t)(z->live_count - at) * sizeof *z->live);
  z->live[at] = (block){best, bytes, last, kind};
  z->live_count++;
  z->in_use[kind] += bytes;
  if (best + bytes > z->p->arena_bytes) z->p->arena_bytes = best + bytes;
  return best;
}

static void expire(planner *z, int before) {
  int kept = 0;
  for (int i = 0; i < z->live_count; i++)
    if (z->live[i].last >= before)
      z->live[kept++] = z->live[i];
    else
      z->in_use[z->live[i].kind] -= z->live[i].bytes;
  z->live_count = kept;
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
  for (int b = 0; b < z->live_count; b++)
    if (z->live[b].offset == p->offset[from]) {
      int kind = kind_of(z, i);
      z->in_use[z->live[b].kind] -= z->live[b].bytes;
      z->in_use[kind] += z->live[b].bytes;
      z->live[b].kind = kind;
      z->live[b].last = z->last[i];
    }
  p->offset[i] = p->offset[from];
  return true;
}

static void lay_out(planner *z) {
  tkg_program *p = z->p;
  const tkg_backend *backend = z->tape->engine->backend;
  for (int o = 0; o < p->order_count; o++) {
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
}

int tkg__plan(tkg_program *p) {
  planner z = {.p = p, .tape = p->tape};
  size_t n = (size_t)p->tape->n + 1;
  p->order = calloc(2 * n, sizeof *p->order);
  p->offset = calloc(3 * n, sizeof *p->offset);
  z.needed = calloc(n, sizeof *z.needed);
  z.position = calloc(2 * n, sizeof *z.position);
  z.key = calloc(n, sizeof *z.key);
  z.live = calloc(2 * n, sizeof *z.live);
  bool ok = p->order && p->offset && z.needed && z.position && z.key && z.live;
  if (ok) {
    p->storage = p->order + n;
    p->shift = p->offset + n;
    p->scratch = p->offset + 2 * n;
    z.last = z.position + n;
    mark_needed(&z);
    find_storage(&z);
    put_in_order(&z);
    find_last_readers(&z);
    lay_out(&z);
  }
  free(z.needed);
  free(z.position);
  free(z.key);
  free(z.live);
  return ok ? TKG_OK : tkg__fail(TKG_E_MEMORY, "plan: no memory");
}
