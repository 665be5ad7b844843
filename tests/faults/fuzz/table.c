/* The table reader: every kind of column, every separator, quotes, compressed files.
 *
 * Input: a line such as "iSf,1" and a line end, then the bytes of a file. The last two bytes of
 * that line are the separator and a digit: how many lines to skip, from 0 to 3, and from 4 to 7 the
 * same with the separator twice. What comes before are the kinds of columns. Holds: ids lie below
 * the extent, numbers are finite, names are found under their ids. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/table.h"
#include "input.h"

enum { MOST_COLUMNS = 100 };

/* Wants what a column holds to be what table.h promises of its kind. */
static void check_column(tkg_table *table, int column, char kind, const tkg_names *names) {
  int64_t rows = (int64_t)tkg_table_rows(table);
  const int32_t *ids = tkg_table_ids(table, column);
  const double *numbers = tkg_table_numbers(table, column);
  for (int64_t row = 0; row < rows; row++) {
    if (numbers) must(isfinite(numbers[row]), "a number is finite");
    if (!ids) continue;
    must(ids[row] >= 0 && ids[row] < tkg_table_extent(table, column), "an id is in its extent");
    if (!strchr("seS", kind)) continue;
    const char *name = tkg_names_at(names, ids[row]);
    must(name != NULL, "an id has a name");
    must(tkg_names_find(names, name, strlen(name)) == ids[row], "a name is found under its id");
    must(kind != 's' || name[0] != '\0', "a name is not empty");
  }
}

static void read_table(const char *path, const char *kinds, int separator, int64_t skip) {
  tkg_names *names[MOST_COLUMNS] = {NULL};
  tkg_table *table = NULL;
  int columns = (int)strlen(kinds);
  for (int i = 0; i < columns; i++) must(!tkg_names_new(&names[i]), "memory for names");
  int status = tkg_table_read(&table, path, kinds, separator, skip, names);
  must(status == 0 || table == NULL, "a refused table is not there");
  for (int i = 0; !status && i < columns; i++) check_column(table, i, kinds[i], names[i]);
  tkg_table_free(table);
  for (int i = 0; i < columns; i++) tkg_names_free(names[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  char kinds[MOST_COLUMNS + 1];
  const uint8_t *end = memchr(bytes, '\n', size < MOST_COLUMNS ? size : MOST_COLUMNS);
  if (!end || end - bytes < 3) return 0;
  size_t columns = (size_t)(end - bytes) - 2;
  memcpy(kinds, bytes, columns);
  kinds[columns] = '\0';
  const char *path = input_file(end + 1, size - columns - 3);
  int separator = end[-1] & 4 ? 257 * end[-2] : end[-2];
  read_table(path, kinds, separator, end[-1] & 3);
  return 0;
}
