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

int64_t tkg__exchange_scratch(const tkg_node *n, const tkg_node *x) {
  if (n->i[0] == TKG_JOIN_ROWS) return 0;
  return tkg__bytes(n->i[0] == TKG_TO_COLUMNS ? x : n);
}
