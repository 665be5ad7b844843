#include "placement.h"

bool tkg__divides_columns(const tkg_node *n, int size) {
  const int64_t cols = tkg__cols(n);
  return size > 1 && n->rank >= 2 && cols % size == 0 && cols / size >= TKG_LEAST_COLUMNS;
}

bool tkg__divides_rows(const tkg_node *n, int size) {
  return size > 1 && n->rank == 2 && n->shape[0] >= TKG_PARTED_ROWS &&
         tkg__parts_of(n->shape[0]) >= size;
}

int64_t tkg__first_row(int64_t rows, int rank, int size) {
  const int parts = tkg__parts_of(rows);
  return tkg__part_begin(rows, parts, parts * rank / size);
}

/* About so many bytes of a rank are exchanged at once: what has come is put in its place while the
 * next travels. */
enum { EXCHANGED_AT_ONCE = 2 << 20 };

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

int tkg__exchange_pieces(const tkg_node *n, const tkg_node *x, int size) {
  const int64_t cols = tkg__cols(n) > tkg__cols(x) ? tkg__cols(n) : tkg__cols(x);
  const int64_t rows = n->i[0] == TKG_JOIN_COLUMNS ? tkg__rows(n) : n->i[1] / size;
  return n->i[0] == TKG_JOIN_ROWS ? 1 : (int)ceiling(4 * rows * cols + 1, EXCHANGED_AT_ONCE);
}

int64_t tkg__exchanged_rows(const tkg_node *n, const tkg_node *x, int size) {
  int64_t most = 0;
  for (int r = 0; r < size; r++) {
    const int64_t rows = tkg__first_row(n->i[1], r + 1, size) - tkg__first_row(n->i[1], r, size);
    most = rows > most ? rows : most;
  }
  return ceiling(most, tkg__exchange_pieces(n, x, size));
}

/* In codes, what is sent and what is received of each rank has a place of its own. */
static int64_t scratch_for_codes(const tkg_node *n, const tkg_node *x, int size) {
  const int64_t cols = tkg__cols(n) < tkg__cols(x) ? tkg__cols(n) : tkg__cols(x);
  return 2 * size * tkg__exchanged_rows(n, x, size) * (cols + 4);
}

int64_t tkg__exchange_scratch(const tkg_node *n, const tkg_node *x, int size) {
  if (n->i[0] == TKG_JOIN_ROWS || n->i[0] == TKG_ADD_PARTS) return 0;
  const tkg_node *wide = n->i[0] == TKG_TO_COLUMNS ? x : n;
  const int pieces = tkg__exchange_pieces(n, x, size);
  if (tkg__exchanges_codes(n)) return (pieces > 1 ? 2 : 1) * scratch_for_codes(n, x, size);
  return (pieces > 1 ? 2 : 1) * 4 * ceiling(tkg__rows(wide), pieces) * tkg__cols(wide);
}
