/* Lines `row id id ...` to sorted rows, and single lines of a file.
 *
 * Input: the bytes of a file.
 * Holds: every pair that was read is in the rows made of it, rows are sorted, and without repeats
 * after tkg_csr_unique. */
#include <stdlib.h>
#include <string.h>

#include "data/csr.h"
#include "data/table.h"
#include "input.h"

static void check_rows(int64_t n, const int32_t *rows, const int32_t *ids, int64_t total) {
  int32_t *offsets = malloc((size_t)(total + 1) * sizeof *offsets);
  int32_t *sorted = malloc((size_t)(n + 1) * sizeof *sorted);
  must(offsets && sorted && !tkg_csr_build(n, rows, ids, total, offsets, sorted, NULL), "sorting");
  must(offsets[total] == n, "no pair is lost");
  must(!tkg_csr_unique(total, offsets, sorted, NULL), "dropping repeats");
  for (int64_t i = 0; i < n; i++)
    must(tkg_csr_contains(offsets, sorted, rows[i], ids[i]), "a pair is in its row");
  for (int64_t row = 0; row < total; row++)
    for (int32_t i = offsets[row] + 1; i < offsets[row + 1]; i++)
      must(sorted[i] > sorted[i - 1], "a row is sorted and holds nothing twice");
  free(offsets);
  free(sorted);
}

static void read_line(const char *path) {
  char line[32];
  int found = 0;
  int status = tkg_file_line(path, 2, line, sizeof line, &found);
  must(memchr(line, '\0', sizeof line) != NULL, "a line ends");
  must(!status || !found, "a refused line is not there");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const char *path = input_file(bytes, size);
  tkg_table *table = NULL;
  if (!tkg_table_read_ragged(&table, path)) {
    int64_t n = (int64_t)tkg_table_rows(table), total = (int64_t)tkg_table_extent(table, 0);
    const int32_t *rows = tkg_table_ids(table, 0), *ids = tkg_table_ids(table, 1);
    for (int64_t i = 0; i < n; i++)
      must(rows[i] >= 0 && rows[i] < total && ids[i] >= 0 && ids[i] < tkg_table_extent(table, 1),
           "an id is in its extent");
    if (n > 0 && total < 4096) check_rows(n, rows, ids, total);
  }
  tkg_table_free(table);
  read_line(path);
  return 0;
}
