/* All gradients have to exist before the first update: clipping costs their memory, and one number
 * per row. */
#include "clip.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/error.h"

/* Records an op; returns its node, or -1, which as an input gives -1 again. */
static int record(tkg_tape *tape, tkg_node node, int op, int a, int b) {
  const int32_t inputs[] = {a, b};
  if (op != TKG_OP_FULL && a < 0) return -1;
  return tkg__record(tape, &node, op, op == TKG_OP_FULL ? 0 : b < 0 ? 1 : 2, inputs, NULL);
}

/* Records the sum of the squares of a gradient, as a scalar. */
static int squared_norm(tkg_tape *tape, int g) {
  const int rank = tape->nodes[g].rank;
  if (rank == 0) return record(tape, (tkg_node){0}, TKG_OP_SQUARE, g, -1);
  const int rows = record(tape, (tkg_node){0}, TKG_OP_DOT, g, g);
  const tkg_node all = {.i = {((int64_t)1 << (rank - 1)) - 1}};
  return rank == 1 ? rows : record(tape, all, TKG_OP_SUM, rows, -1);
}

int tkg__clip(tkg_tape *tape, int32_t *gradients, int n, double most) {
  int sum = -1;
  if (most > FLT_MAX) return TKG_OK; /* infinite as a float: no norm is above it */
  for (int i = 0; i < n; i++) {
    const int square = squared_norm(tape, gradients[i]);
    if (square < 0) return TKG_E_MEMORY;
    sum = i == 0 ? square : record(tape, (tkg_node){0}, TKG_OP_ADD, sum, square);
  }
  if (n == 0) return TKG_OK;
  const int norm = record(tape, (tkg_node){0}, TKG_OP_SQRT, sum, -1);
  const int least = record(tape, (tkg_node){.f = {most, INFINITY}}, TKG_OP_CLAMP, norm, -1);
  const int allowed = record(tape, (tkg_node){.f = {most}}, TKG_OP_FULL, -1, -1);
  const int factor = least < 0 ? -1 : record(tape, (tkg_node){0}, TKG_OP_DIV, allowed, least);
  if (factor < 0) return TKG_E_MEMORY;
  for (int i = 0; i < n; i++)
    if ((gradients[i] = record(tape, (tkg_node){0}, TKG_OP_MUL, gradients[i], factor)) < 0)
      return TKG_E_MEMORY;
  return TKG_OK;
}
