#include "chunks.h"

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int tkg__finer_of(const tkg_tile_rules *rules, const tkg_row_range *range) {
  const int64_t rows = range->whole > 0 ? range->whole : range->rows;
  if (rows < TKG_PARTED_ROWS) return 0;
  const int64_t longest = TKG_PART_UNIT / rules->part_rows;
  const int64_t finer = smaller(TKG_MOST_PARTS / tkg__parts_of(rows), longest);
  const int64_t least = rules->most_parts / TKG_MOST_PARTS;
  return (int)(finer > least ? finer : least);
}

int tkg__chunks_of(const tkg_tile_rules *rules, const tkg_row_range *range, int finer) {
  if (finer > 0) return tkg__parts_in(range) * finer;
  return (int)((range->rows + rules->part_rows - 1) / rules->part_rows);
}

int tkg__finer_parts(const tkg_program *p, int i) {
  return p->group_of[i] >= 0 ? p->groups[p->group_of[i]].finer : 0;
}
