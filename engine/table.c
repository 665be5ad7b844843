#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "reader.h"
#include "table_split.h"

struct column {
  char kind;
  int32_t *ids;
  double *numbers;
  int64_t extent;
};

struct tkg_table {
  char *path;
  int columns;
  int64_t rows, capacity;
  struct column column[TKG__MAX_FIELDS];
  int64_t *lines; /* the line that row i came from */
};

/* What parsing a line needs to know. */
struct parse {
  tkg__reader *reader;
  tkg_table *table;
  tkg_names *const *names;
  char separator;
  int rest; /* the column of kind S, or -1 */
  tkg__field field[TKG__MAX_FIELDS];
};

/* ---- errors -------------------------------------------------------------------------------- */

static int no_memory(const char *path) {
  tkg__say("%s: out of memory", path);
  return TKG_E_MEMORY; /* a constant: analysers then know that it is no success */
}

/* "file:line: 'text' is not what, column n" with the text cut short and made printable. */
static int bad_field(const tkg__reader *r, tkg__field f, const char *what, int column) {
  char text[44];
  size_t n = f.length > 40 ? 40 : f.length;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)f.at[i];
    text[i] = (char)(c < 32 || c == 127 ? '?' : c);
  }
  strcpy(text + n, f.length > 40 ? "..." : "");
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: '%s' is not %s, column %d", tkg__reader_path(r),
                   (long long)tkg__reader_number(r), text, what, column + 1);
}

static const char *separator_name(char separator) {
  switch (separator) {
  case ' ':
    return "spaces";
  case '\t':
    return "tabs";
  case ',':
    return "commas";
  case ';':
    return "semicolons";
  default:
    return "separators";
  }
}

static int bad_count(const struct parse *p, int found) {
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: %s%d column%s separated by %s, expected %d",
                   tkg__reader_path(p->reader), (long long)tkg__reader_number(p->reader),
                   found > TKG__MAX_FIELDS ? "more than " : "",
                   found > TKG__MAX_FIELDS ? 64 : found, found == 1 ? "" : "s",
                   separator_name(p->separator), p->table->columns);
}

/* ---- the table ------------------------------------------------------------------------------ */

static int bad_kinds(const char *kinds) {
  tkg__say("table: column kinds '%s': 1 to %d of i f s S -", kinds, TKG__MAX_FIELDS);
  return TKG_E_ARGUMENT;
}

static int table_new(tkg_table **out, const char *path, const char *kinds) {
  size_t columns = strlen(kinds);
  *out = NULL;
  if (columns == 0 || columns > TKG__MAX_FIELDS || strspn(kinds, "ifsS-") != columns)
    return bad_kinds(kinds);
  tkg_table *t = calloc(1, sizeof *t);
  if (!t) return no_memory(path);
  t->columns = (int)columns;
  for (size_t i = 0; i < columns; i++) t->column[i].kind = kinds[i];
  t->path = malloc(strlen(path) + 1);
  if (!t->path) {
    free(t);
    return no_memory(path);
  }
  strcpy(t->path, path);
  *out = t;
  return TKG_OK;
}

void tkg_table_free(tkg_table *t) {
  if (!t) return;
  for (int i = 0; i < t->columns; i++) {
    free(t->column[i].ids);
    free(t->column[i].numbers);
  }
  free(t->lines);
  free(t->path);
  free(t);
}

/* Room for one more row in every column. */
static int grow(tkg_table *t) {
  if (t->rows >= INT32_MAX) {
    tkg__say("%s: more than 2^31 rows", t->path);
    return TKG_E_RANGE;
  }
  int64_t capacity = t->capacity ? 2 * t->capacity : 1024;
  size_t n = (size_t)capacity;
  int64_t *lines = realloc(t->lines, n * sizeof *lines);
  if (!lines) return no_memory(t->path);
  t->lines = lines;
  for (int i = 0; i < t->columns; i++) {
    struct column *c = &t->column[i];
    if (c->kind == '-') continue;
    void *old = c->kind == 'f' ? (void *)c->numbers : (void *)c->ids;
    void *larger = realloc(old, n * (c->kind == 'f' ? sizeof(double) : sizeof(int32_t)));
    if (!larger) return no_memory(t->path);
    if (c->kind == 'f')
      c->numbers = larger;
    else
      c->ids = larger;
  }
  t->capacity = capacity;
  return TKG_OK;
}

static void note_extent(struct column *c, int32_t id) {
  if (id >= c->extent) c->extent = (int64_t)id + 1;
}

double tkg_table_rows(const tkg_table *t) { return (double)t->rows; }

static int has(const tkg_table *t, int column) { return column >= 0 && column < t->columns; }

double tkg_table_extent(const tkg_table *t, int column) {
  return has(t, column) ? (double)t->column[column].extent : 0;
}

int32_t *tkg_table_ids(tkg_table *t, int column) {
  return has(t, column) ? t->column[column].ids : NULL;
}

double *tkg_table_numbers(tkg_table *t, int column) {
  return has(t, column) ? t->column[column].numbers : NULL;
}

double tkg_table_line(const tkg_table *t, int64_t row) {
  return row >= 0 && row < t->rows ? (double)t->lines[row] : 0;
}

const char *tkg_table_path(const tkg_table *t) { return t->path; }

/* ---- fields --------------------------------------------------------------------------------- */

static int is_blank(char c) { return c == ' ' || c == '\t'; }

/* The digits at p as an id; the first byte that is none goes to *end, which is p on failure. */
static int32_t parse_digits(const char *p, const char **end) {
  const char *first = p;
  int64_t value = 0;
  while (*p >= '0' && *p <= '9' && value <= INT32_MAX) value = 10 * value + (*p++ - '0');
  *end = value < INT32_MAX ? p : first;
  return (int32_t)(value < INT32_MAX ? value : 0);
}

static int parse_id(const struct parse *p, tkg__field f, int column, int32_t *out) {
  const char *end;
  *out = parse_digits(f.at, &end);
  if (f.length > 0 && end == f.at + f.length) return TKG_OK;
  size_t digits = strspn(f.at, "0123456789");
  int large = f.length > 0 && digits == f.length;
  return bad_field(p->reader, f,
                   large ? "an id below 2147483647" : "an id (a non-negative integer)", column);
}

/* Short decimals such as 4 or 3.5 exactly as strtod reads them, without its cost. */
static int parse_short(const char *p, size_t length, double *out) {
  static const double tens[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
  int64_t value = 0;
  size_t point = length;
  if (length == 0 || length > 13) return 0;
  for (size_t i = 0; i < length; i++) {
    if (p[i] == '.' && point == length && i > 0 && i + 1 < length)
      point = i;
    else if (p[i] >= '0' && p[i] <= '9')
      value = 10 * value + (p[i] - '0');
    else
      return 0;
  }
  *out = (double)value / (point < length ? tens[length - point - 1] : 1);
  return 1;
}

static int parse_number(const struct parse *p, tkg__field f, int column, double *out) {
  char *end, last = f.at[f.length];
  if (parse_short(f.at, f.length, out)) return TKG_OK;
  f.at[f.length] = '\0';
  *out = strtod(f.at, &end);
  int whole = f.length > 0 && end == f.at + f.length && !is_blank(f.at[0]);
  f.at[f.length] = last;
  return whole && isfinite(*out) ? TKG_OK : bad_field(p->reader, f, "a finite number", column);
}

static int parse_name(const struct parse *p, tkg__field f, int column, int32_t *out) {
  if (f.length == 0 && p->table->column[column].kind == 's')
    return bad_field(p->reader, f, "a name (it is empty)", column);
  return tkg_names_add(p->names[column], f.at, f.length, out);
}

static int store(const struct parse *p, int column, int64_t row) {
  struct column *c = &p->table->column[column];
  tkg__field f = p->field[column];
  int status = TKG_OK;
  switch (c->kind) {
  case '-':
    return TKG_OK;
  case 'f':
    return parse_number(p, f, column, &c->numbers[row]);
  case 'i':
    status = parse_id(p, f, column, &c->ids[row]);
    break;
  default:
    status = parse_name(p, f, column, &c->ids[row]);
    break;
  }
  if (!status) note_extent(c, c->ids[row]);
  return status;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static int parse_line(struct parse *p, char *line, size_t length) {
  tkg_table *t = p->table;
  int found = tkg__split(p->field, line, length, p->separator), status = TKG_OK;
  if (found < 0) return bad_field(p->reader, p->field[-found - 1], "closed by a quote", -found - 1);
  if (p->rest >= 0) found = tkg__split_rest(p->field, found, t->columns, p->rest);
  if (found != t->columns) return bad_count(p, found);
  if (t->rows == t->capacity && (status = grow(t))) return status;
  for (int i = 0; i < t->columns && !status; i++) status = store(p, i, t->rows);
  if (!status) t->lines[t->rows++] = tkg__reader_number(p->reader);
  return status;
}

static int parse_ragged_line(struct parse *p, char *line, size_t length) {
  tkg_table *t = p->table;
  struct column *rows = &t->column[0], *ids = &t->column[1];
  const char *at = line, *end = line + length;
  int32_t row = -1;
  for (int field = 0;; field++) {
    while (is_blank(*at)) at++;
    if (at == end) return TKG_OK;
    const char *stop;
    int32_t id = parse_digits(at, &stop);
    if (stop == at || (*stop && !is_blank(*stop)))
      return parse_id(p, (tkg__field){line + (at - line), strcspn(at, " \t")}, field, &id);
    at = stop;
    note_extent(field ? ids : rows, id);
    if (field == 0) {
      row = id;
      continue;
    }
    int status = t->rows == t->capacity ? grow(t) : TKG_OK;
    if (status) return status;
    rows->ids[t->rows] = row;
    ids->ids[t->rows] = id;
    t->lines[t->rows++] = tkg__reader_number(p->reader);
  }
}

/* Reads every line with one of the two parsers above. */
static int read_lines(struct parse *p, int64_t skip,
                      int (*line_parser)(struct parse *, char *, size_t)) {
  char *line;
  size_t length;
  for (;;) {
    int status = tkg__reader_line(p->reader, &line, &length);
    if (status || !line) return status;
    if (tkg__reader_number(p->reader) <= skip) continue;
    if (strspn(line, " \t") == length) continue;
    status = line_parser(p, line, length);
    if (status) return status;
  }
}

static int read_file(tkg_table **out, const char *path, const char *kinds, struct parse *p,
                     int64_t skip, int (*line_parser)(struct parse *, char *, size_t)) {
  *out = NULL;
  int status = tkg__reader_open(&p->reader, path);
  if (status) return status;
  status = table_new(&p->table, tkg__reader_path(p->reader), kinds);
  if (!status) status = read_lines(p, skip, line_parser);
  tkg__reader_close(p->reader);
  if (status)
    tkg_table_free(p->table);
  else
    *out = p->table;
  return status;
}

int tkg_table_read(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names) {
  const char *rest = strchr(kinds, 'S');
  struct parse p = {.names = names, .separator = (char)separator};
  p.rest = rest ? (int)(rest - kinds) : -1;
  *out = NULL;
  if (rest && strchr(rest + 1, 'S'))
    return tkg__fail(TKG_E_ARGUMENT, "table: column kinds '%s' have more than one S", kinds);
  for (size_t i = 0; kinds[i]; i++)
    if ((kinds[i] == 's' || kinds[i] == 'S') && (i >= TKG__MAX_FIELDS || !names || !names[i]))
      return tkg__fail(TKG_E_ARGUMENT, "table: column %d of '%s' needs names", (int)i + 1, kinds);
  return read_file(out, path, kinds, &p, skip, parse_line);
}

int tkg_table_read_ragged(tkg_table **out, const char *path) {
  struct parse p = {.separator = ' ', .rest = -1};
  return read_file(out, path, "ii", &p, 0, parse_ragged_line);
}

int tkg_file_line(const char *path, int64_t number, char *buffer, size_t size, int *found) {
  tkg__reader *reader;
  char *line = NULL;
  size_t length = 0;
  *found = 0;
  if (size == 0) return tkg__fail(TKG_E_ARGUMENT, "%s: no room for a line", path);
  buffer[0] = '\0';
  int status = tkg__reader_open(&reader, path);
  if (status) return status;
  do status = tkg__reader_line(reader, &line, &length);
  while (!status && line && tkg__reader_number(reader) < number);
  if (!status && line) {
    *found = 1;
    if (length > size - 1) length = size - 1;
    memcpy(buffer, line, length);
    buffer[length] = '\0';
  }
  tkg__reader_close(reader);
  return status;
}
