/* What is concatenated may be read as a whole and by parts. A part that is taken of it (NARROW) is
 * what was put there. Its gradient is a whole, to which the gradient of a part is added (PAD), and
 * of which parts are taken. Part by part,
 *
 *   pad(g, base), narrowed to g's place    is narrow(base) + g
 *   pad(g, base), narrowed to another      is narrow(base)
 *
 * so that nothing is added to the whole, and the parts' sums can run in tiles. */
#include "by_parts.h"

/* The first element of dimension `dim` that NARROW takes, or PAD fills, and the one behind. */
typedef struct part {
  int64_t first, end;
} part;

static part part_of(const tkg_tape *tape, const tkg_node *n) {
  const int64_t dim = n->i[0];
  const tkg_node *x = n->op == TKG_OP_PAD ? &tape->nodes[n->in[0]] : n;
  return (part){n->i[1], n->i[1] + x->shape[dim]};
}

static bool is_result(const tkg_program *p, int i) {
  for (int k = 0; k < p->output_count; k++)
    if (p->outputs[k] == i) return true;
  for (int k = 0; k < p->gradient_count; k++)
    if (p->gradient_of[k] == i) return true;
  return false;
}

/* The one reader of pad i that takes g's place, if all others take parts apart from it; else -1. */
static int reader_of_sum(const tkg_program *p, int i) {
  const tkg_tape *tape = p->tape;
  const tkg_node *pad = &tape->nodes[i];
  const part own = part_of(tape, pad);
  int found = -1;
  for (int r = i + 1; r < tape->n; r++) {
    const tkg_node *n = &tape->nodes[r];
    for (int k = 0; k < n->inputs; k++) {
      if (n->in[k] != i) continue;
      if (n->op != TKG_OP_NARROW || n->i[0] != pad->i[0]) return -1;
      const part its = part_of(tape, n);
      if (its.end <= own.first || its.first >= own.end) continue;
      if (found >= 0 || its.first != own.first || its.end != own.end) return -1;
      found = r;
    }
  }
  return found;
}

static void add_part_alone(const tkg_tape *tape, int i, int sum) {
  tkg_node *pad = &tape->nodes[i], *add = &tape->nodes[sum];
  const int g = pad->in[0], base = pad->in[1];
  for (int r = i + 1; r < tape->n; r++)
    if (r != sum && tape->nodes[r].op == TKG_OP_NARROW && tape->nodes[r].in[0] == i)
      tape->nodes[r].in[0] = base;
  *pad = *add;
  pad->in[0] = base;
  add->op = TKG_OP_ADD;
  add->inputs = 2;
  add->in[0] = i;
  add->in[1] = g;
  for (int k = 0; k < 4; k++) add->i[k] = 0;
}

/* ---- parts of what is concatenated ---- */

/* The last node that reads node i, -1 if none does. */
static int last_reader(const tkg_tape *tape, int i) {
  int last = -1;
  for (int r = i + 1; r < tape->n; r++)
    for (int k = 0; k < tape->nodes[r].inputs; k++)
      if (tape->nodes[r].in[k] == i) last = r;
  return last;
}

/* The input of a concatenation that NARROW n takes all of, else -1. */
static int part_taken(const tkg_tape *tape, const tkg_node *n) {
  const tkg_node *whole = &tape->nodes[n->in[0]];
  if (n->op != TKG_OP_NARROW || whole->op != TKG_OP_CONCAT || whole->i[0] != n->i[0]) return -1;
  const part its = part_of(tape, n);
  int64_t first = 0;
  for (int k = 0; k < whole->inputs; k++) {
    const int64_t end = first + tape->nodes[whole->in[k]].shape[n->i[0]];
    if (first == its.first && end == its.end) return whole->in[k];
    first = end;
  }
  return -1;
}

/* Lets readers of node i, a part of what is concatenated, read what was put there, if others read
 * that as late: else it would live longer. */
static void read_part_alone(const tkg_tape *tape, int i) {
  const int own = part_taken(tape, &tape->nodes[i]);
  if (own < 0 || last_reader(tape, own) < last_reader(tape, i)) return;
  for (int r = i + 1; r < tape->n; r++)
    for (int k = 0; k < tape->nodes[r].inputs; k++)
      if (tape->nodes[r].in[k] == i) tape->nodes[r].in[k] = own;
}

/* ---- the pass ---- */

void tkg__by_parts(const tkg_program *p) {
  for (int i = p->tape->n; i-- > p->forward;) {
    const tkg_node *n = &p->tape->nodes[i];
    if (n->op != TKG_OP_PAD || n->inputs != 2 || is_result(p, i)) continue;
    const int sum = reader_of_sum(p, i);
    if (sum >= 0) add_part_alone(p->tape, i, sum);
  }
  for (int i = 0; i < p->tape->n; i++)
    if (p->tape->nodes[i].op == TKG_OP_NARROW && !is_result(p, i)) read_part_alone(p->tape, i);
}
