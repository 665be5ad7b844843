/* delay: a forward pass computes sums and rows of layers late, in the memory of what they read.
 *
 * An evaluation makes final rows of all layers: their sum, or each normalised. A layer is still
 * read by the next one when its part of the final rows is recorded, so computed there, that would
 * be one more matrix beside the two layers. Such a node waits until the other readers of its input
 * have run, and longer as long as that holds no more memory than the node's own value takes: it may
 * then be written over its input. Nothing is saved of a forward pass alone, so nothing else
 * depends on the order. */
#include "delay.h"

#include <string.h>

#include "tile.h"

enum { LEAST = 1 << 16 }; /* bytes of a value that is worth moving */
enum { MUCH = 8 };        /* times less that a node makes which is computed at once */

static bool reads(const tkg_planner *z, int o, int v) {
  const tkg_node *n = &z->tape->nodes[z->p->order[o]];
  for (int k = 0; k < n->inputs; k++)
    if (z->p->storage[n->in[k]] == v) return true;
  return false;
}

/* The place of the first reader of storage v behind place o, or the end of the order. */
static int first_reader(const tkg_planner *z, int v, int o) {
  int end = z->p->order_count;
  for (o++; o < end && !reads(z, o, v);) o++;
  return o;
}

/* The place of the last reader of storage v behind place o, o if there is none, or the end of the
 * order for an output and a leaf, which take memory in any case. */
static int last_reader(const tkg_planner *z, int v, int o) {
  const tkg_program *p = z->p;
  if (z->tape->nodes[v].op == TKG_OP_LEAF) return p->order_count;
  for (int i = 0; i < p->output_count; i++)
    if (p->storage[p->outputs[i]] == v) return p->order_count;
  int last = p->order_count - 1;
  while (last > o && !reads(z, last, v)) last--;
  return last;
}

/* Whether node i is made of leaves alone, row by row, and read at place o alone: it waits as its
 * reader does. */
static bool follows(const tkg_planner *z, int i, int o) {
  const tkg_node *n = &z->tape->nodes[i];
  if (tkg__part(z->tape, n) != TKG_PART_ROWS || last_reader(z, i, o) > o) return false;
  for (int r = 0; r < o; r++)
    if (reads(z, r, i)) return false;
  for (int k = 0; k < n->inputs; k++)
    if (z->tape->nodes[n->in[k]].op != TKG_OP_LEAF) return false;
  return true;
}

/* Bytes of the inputs of the node at place o that are read by nothing else from place `to` on, but
 * for columns, which are small, and for those that follow the node. */
static int64_t held_until(const tkg_planner *z, int o, int to) {
  const tkg_node *n = &z->tape->nodes[z->p->order[o]];
  int64_t bytes = 0;
  for (int k = 0; k < n->inputs; k++) {
    int v = z->p->storage[n->in[k]];
    bool before = false;
    for (int j = 0; j < k; j++) before |= z->p->storage[n->in[j]] == v;
    const tkg_node *x = &z->tape->nodes[v];
    if (before || tkg__cols(x) == 1 || follows(z, v, o)) continue;
    if (last_reader(z, v, o) < to) bytes += tkg__bytes(x);
  }
  return bytes;
}

/* Whether the node at place o is computed row by row from a value that is read later anyway. */
static bool gains(const tkg_planner *z, int o) {
  const tkg_node *n = &z->tape->nodes[z->p->order[o]];
  bool later = false;
  if (z->p->storage[z->p->order[o]] != z->p->order[o]) return false;
  if (n->rank != 2 || tkg__bytes(n) < LEAST || tkg__part(z->tape, n) != TKG_PART_ROWS) return false;
  for (int k = 0; k < n->inputs; k++) {
    int v = z->p->storage[n->in[k]];
    bool row = tkg__aligned(z->tape, n, k), leaf = z->tape->nodes[v].op == TKG_OP_LEAF;
    if (!row && !leaf) return false;
    later |= row && last_reader(z, v, o) > o;
  }
  return later;
}

/* Moves the node at place o right before place `to`. */
static void move_down(tkg_program *p, int o, int to) {
  int32_t node = p->order[o];
  memmove(p->order + o, p->order + o + 1, (size_t)(to - 1 - o) * sizeof *p->order);
  p->order[to - 1] = node;
}

/* A sum of a leaf and another value: a result is written over the first operand alone, and a leaf
 * has to stay. */
static void put_leaf_last(const tkg_tape *tape, tkg_node *n) {
  const tkg_node *a = &tape->nodes[n->in[0]], *b = &tape->nodes[n->in[1]];
  if (n->op != TKG_OP_ADD || a->op != TKG_OP_LEAF || b->op == TKG_OP_LEAF) return;
  if (tkg__bytes(a) != tkg__bytes(n) || tkg__bytes(b) != tkg__bytes(n)) return;
  int32_t leaf = n->in[0];
  n->in[0] = n->in[1];
  n->in[1] = leaf;
}

/* Whether node n makes little, row by row, of value v. */
static bool shrinks(const tkg_planner *z, const tkg_node *n, int v) {
  const tkg_node *x = &z->tape->nodes[v];
  return n->rank == 2 && x->op != TKG_OP_LEAF && x->rank == 2 && tkg__bytes(x) >= LEAST &&
         MUCH * tkg__bytes(n) <= tkg__bytes(x) && tkg__part(z->tape, n) == TKG_PART_ROWS;
}

/* Moves the node at place o, which makes little of its first input, right behind that if its other
 * inputs are there: the input may then die early. */
static void compute_at_once(tkg_planner *z, int o) {
  int32_t *order = z->p->order, node = order[o];
  const tkg_node *n = &z->tape->nodes[node];
  int first = o;
  if (n->inputs == 0 || !shrinks(z, n, n->in[0]) || !tkg__aligned(z->tape, n, 0)) return;
  while (first > 0 && order[first - 1] != n->in[0]) {
    first--;
    for (int k = 1; k < n->inputs; k++)
      if (order[first] == n->in[k]) return;
  }
  memmove(order + first + 1, order + first, (size_t)(o - first) * sizeof *order);
  order[first] = node;
}

void tkg__delay(tkg_planner *z) {
  for (int i = 0; i < z->tape->n; i++)
    if (z->tape->nodes[i].inputs == 2) put_leaf_last(z->tape, &z->p->tape->nodes[i]);
  for (int o = 0; o < z->p->order_count; o++) compute_at_once(z, o);
  for (int o = z->p->order_count; o-- > 0;) {
    int i = z->p->order[o];
    if (!gains(z, o)) continue;
    int to = first_reader(z, i, o);
    while (to > o + 1 && held_until(z, o, to - 1) > tkg__bytes(&z->tape->nodes[i])) to--;
    move_down(z->p, o, to);
  }
}
