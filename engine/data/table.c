#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "table_reading.h"

enum { MOST_COLUMNS = 1 << 20 };

struct tkg_table {
  char *path;
  tkg__columns columns;
  tkg__reading *reading; /* NULL when everything was read */
};

static int no_memory(const char *path) {
  return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
}

/* ---- the table ------------------------------------------------------------------------------ */

void tkg_table_free(tkg_table *t) {
  if (!t) return;
  tkg__reading_free(t->reading);
  tkg__columns_free(&t->columns);
  free(t->path);
  free(t);
}

double tkg_table_rows(const tkg_table *t) {
  TKG__NEEDS(t, 0);
  return (double)t->columns.rows;
}

static tkg__column *column_of(const tkg_table *t, int column) {
  return column >= 0 && column < t->columns.count ? &t->columns.column[column] : NULL;
}

double tkg_table_extent(const tkg_table *t, int column) {
  TKG__NEEDS(t, 0);
  const tkg__column *c = column_of(t, column);
  return c ? (double)c->extent : 0;
}

int32_t *tkg_table_ids(tkg_table *t, int column) {
  TKG__NEEDS(t, NULL);
  tkg__column *c = column_of(t, column);
  return c && !tkg__has_numbers(c) ? c->ids : NULL;
}

double *tkg_table_numbers(tkg_table *t, int column) {
  TKG__NEEDS(t, NULL);
  tkg__column *c = column_of(t, column);
  return c && tkg__has_numbers(c) && !c->unread ? c->numbers : NULL;
}

void *tkg_table_take(tkg_table *t, int column) {
  TKG__NEEDS(t, NULL);
  tkg__column *c = column_of(t, column);
  size_t bytes =
      c ? (size_t)t->columns.rows * (tkg__has_numbers(c) ? sizeof(double) : sizeof(int32_t)) : 0;
  if (!bytes || !c->values || c->unread) return NULL;
  void *fitting = realloc(c->values, bytes), *values = NULL;
  if (fitting) c->values = fitting;
  values = c->values;
  c->values = NULL;
  return values;
}

const char *tkg_table_unread(const tkg_table *t, int column) {
  TKG__NEEDS(t, NULL);
  const tkg__column *c = column_of(t, column);
  return c ? c->unread : NULL;
}

double tkg_table_line(const tkg_table *t, int64_t row) {
  TKG__NEEDS(t, 0);
  return (double)tkg__columns_line(&t->columns, row);
}

const char *tkg_table_path(const tkg_table *t) {
  TKG__NEEDS(t, NULL);
  return t->path;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Opens the file and makes the columns. */
static int table_open(tkg_table *t, const tkg__format *format) {
  int status = tkg__reading_open(&t->reading, format);
  if (status) return status;
  const char *path = tkg__reading_path(t->reading);
  t->path = malloc(strlen(path) + 1);
  if (t->path) strcpy(t->path, path);
  if (!t->path || tkg__columns_new(&t->columns, format->kinds, !format->ragged))
    return no_memory(path);
  return TKG_OK;
}

static int open_file(tkg_table **out, const tkg__format *format) {
  tkg_table *t = calloc(1, sizeof *t);
  int status = t ? table_open(t, format) : no_memory(format->path);
  if (status)
    tkg_table_free(t);
  else
    *out = t;
  return status;
}

int tkg_table_open(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names) {
  TKG__NEEDS(out && path && kinds, TKG_E_ARGUMENT);
  const char *rest = strchr(kinds, 'S');
  size_t columns = strlen(kinds);
  *out = NULL;
  if (columns == 0 || columns > MOST_COLUMNS || strspn(kinds, "ifFtTseS-") != columns)
    return tkg__fail(TKG_E_ARGUMENT, "table: column kinds '%.60s': 1 to %d of i f F t T s e S -",
                     kinds, MOST_COLUMNS);
  if (rest && strchr(rest + 1, 'S'))
    return tkg__fail(TKG_E_ARGUMENT, "table: column kinds '%s' have more than one S", kinds);
  for (size_t i = 0; kinds[i]; i++)
    if (strchr("seS", kinds[i]) && (!names || !names[i]))
      return tkg__fail(TKG_E_ARGUMENT, "table: column %d of '%s' needs names", (int)i + 1, kinds);
  tkg__format format = {.path = path,
                        .kinds = kinds,
                        .separator = separator,
                        .skip = skip,
                        .names = names,
                        .rest = rest ? (int)(rest - kinds) : -1};
  return open_file(out, &format);
}

int tkg_table_open_ragged(tkg_table **out, const char *path) {
  TKG__NEEDS(out && path, TKG_E_ARGUMENT);
  *out = NULL;
  tkg__format format = {.path = path, .kinds = "ii", .ragged = 1, .separator = ' ', .rest = -1};
  return open_file(out, &format);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Sets the extents of columns of names: the largest id is found once, at the end. */
static void note_extents(tkg__columns *c) {
  for (int i = 0; i < c->count; i++) {
    if (!strchr("seS", c->column[i].kind)) continue;
    int32_t most = -1;
    for (int64_t row = 0; row < c->rows; row++)
      if (c->column[i].ids[row] > most) most = c->column[i].ids[row];
    c->column[i].extent = (int64_t)most + 1;
  }
}

int tkg_table_more(tkg_table *t, int *more) {
  TKG__NEEDS(t && more, TKG_E_ARGUMENT);
  *more = 0;
  int status = t->reading ? tkg__reading_step(t->reading, &t->columns, more) : TKG_OK;
  if (status || *more || !t->reading) return status;
  tkg__reading_free(t->reading);
  t->reading = NULL;
  note_extents(&t->columns);
  return TKG_OK;
}

double tkg_table_share(const tkg_table *t) {
  TKG__NEEDS(t, 0);
  return t->reading ? tkg__reading_share(t->reading) : 1;
}

static int read_all(tkg_table **out, int status) {
  int more = 1;
  while (!status && more) status = tkg_table_more(*out, &more);
  if (!status || !out) return status;
  tkg_table_free(*out);
  *out = NULL;
  return status;
}

int tkg_table_read(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names) {
  return read_all(out, tkg_table_open(out, path, kinds, separator, skip, names));
}

int tkg_table_read_ragged(tkg_table **out, const char *path) {
  return read_all(out, tkg_table_open_ragged(out, path));
}

/* ---- single lines --------------------------------------------------------------------------- */

/* Finds line `number`; its place in the blocks, or NULL. */
static int find_line(tkg__text *text, tkg__blocks blocks[2], int64_t number, char **line,
                     char **stop) {
  for (int now = 0;; now = 1 - now) {
    int status = tkg__text_next(text, &blocks[now]);
    *line = NULL;
    if (status || !blocks[now].count) return status;
    tkg__lines lines = blocks[now].block[0];
    while ((*line = tkg__next_line(&lines, stop))) {
      if (memchr(*line, '\0', (size_t)(*stop - *line)))
        return tkg__nul_byte(tkg__text_path(text), lines.number - 1);
      if (lines.number > number) return TKG_OK;
    }
  }
}

int tkg_file_line(const char *path, int64_t number, char *buffer, size_t size, int *found) {
  TKG__NEEDS(path && buffer && found, TKG_E_ARGUMENT);
  tkg__text *text;
  tkg__blocks blocks[2] = {{0}, {0}};
  char *line = NULL, *stop = NULL;
  *found = 0;
  if (size == 0) return tkg__fail(TKG_E_ARGUMENT, "%s: no room for a line", path);
  buffer[0] = '\0';
  int status = tkg__text_open(&text, path, 1, 2 * TKG__READER_BYTES, '\0', 0);
  if (status) return status;
  status = find_line(text, blocks, number, &line, &stop);
  if (!status && line) {
    size_t length = (size_t)(stop - line);
    *found = 1;
    if (length > size - 1) length = size - 1;
    memcpy(buffer, line, length);
    buffer[length] = '\0';
  }
  for (int i = 0; i < 2; i++) tkg__blocks_free(&blocks[i]);
  tkg__text_close(text);
  return status;
}
