#include "table.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "table_block.h"
#include "tinykg.h"

enum {
  MOST_COLUMNS = 1 << 20,
  MORE_FIELDS = 64, /* a line may have over its columns, for the one that takes the rest */
  MOST_THREADS = 8, /* more would need more memory, and wait for the dictionaries */
  BLOCK = 2 * TKG__READER_BYTES,
  BLOCKS_PER_THREAD = 4
};

/* A file that is being read: while some blocks are parsed, the next ones are read and decoded. */
struct reading {
  tkg__format format;
  char *kinds;
  tkg_names **names;
  tkg__text *text;
  tkg__blocks blocks[2]; /* blocks[now] are to be parsed */
  int now;
  int threads, most;   /* most: blocks at a time */
  tkg__parsed *parsed; /* most */
};

struct tkg_table {
  char *path;
  tkg__columns columns;
  struct reading *reading; /* NULL when everything was read */
};

static int no_memory(const char *path) {
  return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
}

/* ---- the table ------------------------------------------------------------------------------ */

static void reading_free(struct reading *r) {
  if (!r) return;
  for (int i = 0; r->parsed && i < r->most; i++) tkg__parsed_free(&r->parsed[i]);
  free(r->parsed);
  for (int i = 0; i < 2; i++) tkg__blocks_free(&r->blocks[i]);
  tkg__text_close(r->text);
  if (r->format.locale) freelocale(r->format.locale);
  free(r->kinds);
  free(r->names);
  free(r);
}

void tkg_table_free(tkg_table *t) {
  if (!t) return;
  reading_free(t->reading);
  tkg__columns_free(&t->columns);
  free(t->path);
  free(t);
}

double tkg_table_rows(const tkg_table *t) { return (double)t->columns.rows; }

static tkg__column *column_of(const tkg_table *t, int column) {
  return column >= 0 && column < t->columns.count ? &t->columns.column[column] : NULL;
}

double tkg_table_extent(const tkg_table *t, int column) {
  const tkg__column *c = column_of(t, column);
  return c ? (double)c->extent : 0;
}

int32_t *tkg_table_ids(tkg_table *t, int column) {
  tkg__column *c = column_of(t, column);
  return c && !tkg__has_numbers(c) ? c->ids : NULL;
}

double *tkg_table_numbers(tkg_table *t, int column) {
  tkg__column *c = column_of(t, column);
  return c && tkg__has_numbers(c) && !c->unread ? c->numbers : NULL;
}

void *tkg_table_take(tkg_table *t, int column) {
  tkg__column *c = column_of(t, column);
  size_t bytes =
      c ? (size_t)t->columns.rows * (tkg__has_numbers(c) ? sizeof(double) : sizeof(int32_t)) : 0;
  if (!bytes || !c->values || c->unread) return NULL;
  void *fitting = realloc(c->values, bytes), *values = fitting ? fitting : c->values;
  c->values = NULL;
  return values;
}

const char *tkg_table_unread(const tkg_table *t, int column) {
  const tkg__column *c = column_of(t, column);
  return c ? c->unread : NULL;
}

double tkg_table_line(const tkg_table *t, int64_t row) {
  return (double)tkg__columns_line(&t->columns, row);
}

const char *tkg_table_path(const tkg_table *t) { return t->path; }

/* ---- opening -------------------------------------------------------------------------------- */

/* Whether every column of a file without quotes is an id or a number. */
static int has_only_digits(const char *kinds, int separator) {
  return strspn(kinds, "if") == strlen(kinds) && separator != '<' && separator < 256 &&
         !tkg__split_quotes(separator);
}

static int reading_new(struct reading **out, const tkg__format *format) {
  size_t columns = strlen(format->kinds);
  struct reading *r = *out = calloc(1, sizeof *r);
  if (!r) return no_memory(format->path);
  r->format = *format;
  r->kinds = calloc(columns + 1, 1);
  r->names = calloc(columns, sizeof *r->names);
  r->format.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!r->kinds || !r->names || !r->format.locale) return no_memory(format->path);
  memcpy(r->kinds, format->kinds, columns);
  for (size_t i = 0; format->names && i < columns; i++) r->names[i] = format->names[i];
  r->format.kinds = r->kinds;
  r->format.names = r->names;
  r->format.columns = (int)columns;
  r->format.most = (int)columns + MORE_FIELDS;
  r->format.digits = has_only_digits(r->kinds, format->separator);
  r->threads = omp_get_max_threads() < MOST_THREADS ? omp_get_max_threads() : MOST_THREADS;
  r->most = BLOCKS_PER_THREAD * r->threads;
  return tkg__text_open(&r->text, format->path, r->most, BLOCK, format->separator, format->skip);
}

/* Makes a table of the file's columns, and reads the first blocks. */
static int table_open(tkg_table *t, const tkg__format *format) {
  int status = reading_new(&t->reading, format);
  struct reading *r = t->reading;
  if (status) return status;
  const char *path = tkg__text_path(r->text);
  t->path = malloc(strlen(path) + 1);
  if (!t->path) return no_memory(path);
  strcpy(t->path, path);
  r->format.path = t->path;
  r->parsed = calloc((size_t)r->most, sizeof *r->parsed);
  if (!r->parsed || tkg__columns_new(&t->columns, r->kinds, !format->ragged))
    return no_memory(path);
  return tkg__text_next(r->text, &r->blocks[0]);
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
  *out = NULL;
  tkg__format format = {.path = path, .kinds = "ii", .ragged = 1, .separator = ' ', .rest = -1};
  return open_file(out, &format);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Parses the blocks that were read and, at the same time, reads the next ones, whose status and
 * message it sets. */
static void parse_and_read(tkg_table *t, int *status, char *message, size_t size) {
  struct reading *r = t->reading;
  tkg__blocks *now = &r->blocks[r->now], *next = &r->blocks[1 - r->now];
  *status = TKG_OK;
#pragma omp parallel num_threads(r->threads) if (now->count > 1)
#pragma omp single
  {
#pragma omp task
    {
      *status = tkg__text_next(r->text, next);
      if (*status) snprintf(message, size, "%s", tkg_error());
    }
    for (int i = 0; i < now->count; i++) {
#pragma omp task firstprivate(i)
      tkg__parse_block(&r->parsed[i], now->block[i], &t->columns);
    }
  }
}

/* Adds the names, the lines and what else depends on the blocks before; reserves the rows. */
static int take_block(tkg_table *t, tkg__parsed *p) {
  tkg__columns *to = &t->columns, *from = &p->columns;
  if (p->status) return tkg__fail(p->status, "%s", p->message);
  if (to->rows + from->rows > INT32_MAX)
    return tkg__fail(TKG_E_RANGE, "%s: more than 2^31 rows", t->path);
  int status = tkg__columns_reserve(to, to->rows + from->rows);
  for (int k = 0; k < p->lists && !status; k++)
    status = tkg__names_add(p->list[k].dictionary, p->list[k].list, (size_t)p->list[k].count);
  for (size_t k = 0; k < from->runs && !status; k++)
    status = tkg__columns_note(to, to->rows + from->run[k].row, from->run[k].line);
  for (int i = 0; i < to->count && !status; i++) {
    tkg__column *c = &to->column[i];
    if (from->column[i].extent > c->extent) c->extent = from->column[i].extent;
    if (from->column[i].unread && !c->unread) status = tkg__give_up(c, from->column[i].unread);
  }
  to->rows += from->rows;
  return status;
}

/* Copies a block's rows to row `at` and after. */
static void copy_block(const tkg_table *t, const tkg__parsed *p, int64_t at) {
  for (int i = 0; i < t->columns.count; i++) {
    const tkg__column *to = &t->columns.column[i], *from = &p->columns.column[i];
    size_t rows = (size_t)p->columns.rows;
    if (to->kind == '-' || rows == 0) continue;
    if (tkg__has_numbers(to)) {
      memcpy(to->numbers + at, from->numbers, rows * sizeof(double));
    } else if (strchr("seS", to->kind)) {
      const tkg__name *list = p->list[p->list_of[i]].list;
      for (size_t row = 0; row < rows; row++) to->ids[(size_t)at + row] = list[from->ids[row]].id;
    } else {
      memcpy(to->ids + at, from->ids, rows * sizeof(int32_t));
    }
  }
}

static int take_blocks(tkg_table *t, int count) {
  struct reading *r = t->reading;
  int64_t at[MOST_THREADS * BLOCKS_PER_THREAD];
  for (int i = 0; i < count; i++) {
    at[i] = t->columns.rows;
    int status = take_block(t, &r->parsed[i]);
    if (status) return status;
  }
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 1) if (count > 1)
  for (int i = 0; i < count; i++) copy_block(t, &r->parsed[i], at[i]);
  return TKG_OK;
}

/* Makes room to parse so many blocks. */
static int prepare(const struct reading *r, int count) {
  for (int i = 0; i < count; i++) {
    int status = r->parsed[i].format ? TKG_OK : tkg__parsed_new(&r->parsed[i], &r->format);
    if (status) return status;
  }
  return TKG_OK;
}

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
  struct reading *r = t->reading;
  char message[1024];
  int reads = TKG_OK;
  *more = 0;
  if (!r) return TKG_OK;
  int count = r->blocks[r->now].count, status = prepare(r, count);
  if (!status) parse_and_read(t, &reads, message, sizeof message);
  if (!status) status = take_blocks(t, count);
  if (!status && reads) status = tkg__fail(reads, "%s", message);
  if (status) return status;
  r->now = 1 - r->now;
  *more = r->blocks[r->now].count > 0;
  if (*more) return TKG_OK;
  reading_free(r);
  t->reading = NULL;
  note_extents(&t->columns);
  return TKG_OK;
}

double tkg_table_share(const tkg_table *t) {
  return t->reading ? tkg__text_share(t->reading->text) : 1;
}

static int read_all(tkg_table **out, int status) {
  int more = 1;
  while (!status && more) status = tkg_table_more(*out, &more);
  if (!status) return TKG_OK;
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
  tkg__text *text;
  tkg__blocks blocks[2] = {{0}, {0}};
  char *line = NULL, *stop = NULL;
  *found = 0;
  if (size == 0) return tkg__fail(TKG_E_ARGUMENT, "%s: no room for a line", path);
  buffer[0] = '\0';
  int status = tkg__text_open(&text, path, 1, BLOCK, '\0', 0);
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
