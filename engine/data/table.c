#include "table.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "reader.h"
#include "table_split.h"
#include "table_value.h"
#include "tinykg.h"

enum {
  MOST_COLUMNS = 1 << 20,
  MORE_FIELDS = 64,        /* a line may have over its columns, for the one that takes the rest */
  LONGEST_RECORD = 1 << 20 /* bytes of a record whose quotes hold line breaks */
};

struct column {
  char kind;
  union {
    void *values;
    int32_t *ids;
    double *numbers; /* of columns of kind f F t T */
  };
  int64_t extent;
  char *unread; /* why a column of kind F or T was given up, or NULL */
};

struct tkg_table {
  char *path;
  int columns;
  int64_t rows, capacity;
  struct column *column;
  int64_t *lines; /* the line that row i came from */
};

/* The file that is read, and how. */
struct parse {
  tkg__reader *reader;
  tkg_table *table;
  tkg_names *const *names;
  int (*parse_line)(struct parse *p, char *line, size_t length);
  int64_t skip; /* lines before the first row */
  int separator;
  int rest;     /* the column of kind S, or -1 */
  int64_t line; /* where the record that is being parsed begins */
  tkg__field *field;
  int most; /* room in field */
};

/* ---- errors -------------------------------------------------------------------------------- */

static int no_memory(const char *path) {
  return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
}

/* "file:line: 'text' is not what, column n" with the text cut short and made printable. */
static int bad_field(const struct parse *p, tkg__field f, const char *what, int column) {
  char text[44];
  size_t n = f.length > 40 ? 40 : f.length;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)f.at[i];
    text[i] = (char)(c < 32 || c == 127 ? '?' : c);
  }
  strcpy(text + n, f.length > 40 ? "..." : "");
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: '%s' is not %s, column %d", tkg__reader_path(p->reader),
                   (long long)p->line, text, what, column + 1);
}

static const char *separator_name(int separator) {
  static const struct {
    int separator;
    const char *name;
  } names[] = {{' ', "spaces"},           {'\t', "tabs"},
               {',', "commas"},           {';', "semicolons"},
               {256 * ':' + ':', "'::'"}, {'<', "blanks in N-Triples"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].separator == separator) return names[i].name;
  return "separators";
}

static int bad_count(const struct parse *p, int found) {
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: %s%d column%s separated by %s, expected %d",
                   tkg__reader_path(p->reader), (long long)p->line,
                   found > p->most ? "more than " : "", found > p->most ? p->most : found,
                   found == 1 ? "" : "s", separator_name(p->separator), p->table->columns);
}

/* ---- the table ------------------------------------------------------------------------------ */

static int table_new(tkg_table **out, const char *path, const char *kinds) {
  size_t columns = strlen(kinds);
  *out = NULL;
  if (columns == 0 || columns > MOST_COLUMNS || strspn(kinds, "ifFtTseS-") != columns)
    return tkg__fail(TKG_E_ARGUMENT, "table: column kinds '%.60s': 1 to %d of i f F t T s e S -",
                     kinds, MOST_COLUMNS);
  tkg_table *t = calloc(1, sizeof *t);
  if (!t) return no_memory(path);
  t->column = calloc(columns, sizeof *t->column);
  t->path = malloc(strlen(path) + 1);
  if (!t->path || !t->column) {
    tkg_table_free(t);
    return no_memory(path);
  }
  t->columns = (int)columns;
  for (size_t i = 0; i < columns; i++) t->column[i].kind = kinds[i];
  strcpy(t->path, path);
  *out = t;
  return TKG_OK;
}

void tkg_table_free(tkg_table *t) {
  if (!t) return;
  for (int i = 0; i < t->columns; i++) {
    free(t->column[i].values);
    free(t->column[i].unread);
  }
  free(t->column);
  free(t->lines);
  free(t->path);
  free(t);
}

static int has_numbers(const struct column *c) { return strchr("fFtT", c->kind) != NULL; }

/* Makes room for more rows in every column. */
static int grow(tkg_table *t) {
  if (t->rows >= INT32_MAX) return tkg__fail(TKG_E_RANGE, "%s: more than 2^31 rows", t->path);
  int64_t capacity = t->capacity ? 2 * t->capacity : 1024;
  size_t n = (size_t)capacity;
  int64_t *lines = realloc(t->lines, n * sizeof *lines);
  if (!lines) return no_memory(t->path);
  t->lines = lines;
  for (int i = 0; i < t->columns; i++) {
    struct column *c = &t->column[i];
    if (c->kind == '-') continue;
    void *larger = realloc(c->values, n * (has_numbers(c) ? sizeof(double) : sizeof(int32_t)));
    if (!larger) return no_memory(t->path);
    c->values = larger;
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
  return has(t, column) && !has_numbers(&t->column[column]) ? t->column[column].ids : NULL;
}

double *tkg_table_numbers(tkg_table *t, int column) {
  const struct column *c = has(t, column) ? &t->column[column] : NULL;
  return c && has_numbers(c) && !c->unread ? c->numbers : NULL;
}

const char *tkg_table_unread(const tkg_table *t, int column) {
  return has(t, column) ? t->column[column].unread : NULL;
}

double tkg_table_line(const tkg_table *t, int64_t row) {
  return row >= 0 && row < t->rows ? (double)t->lines[row] : 0;
}

const char *tkg_table_path(const tkg_table *t) { return t->path; }

/* ---- fields --------------------------------------------------------------------------------- */

/* Reads the digits at p as an id; *end is the byte behind them, p if they are no id. */
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
  return bad_field(p, f, large ? "an id below 2147483647" : "an id (a non-negative integer)",
                   column);
}

static int parse_number(const struct parse *p, tkg__field f, int column, double *out) {
  if (tkg__to_number(f.at, f.length, out)) return TKG_OK;
  if (p->separator == ';' && tkg__to_comma_number(f.at, f.length, out)) return TKG_OK;
  return bad_field(p, f, "a finite number", column);
}

static int parse_time(const struct parse *p, tkg__field f, int column, double *out) {
  if (tkg__to_time(f.at, f.length, out)) return TKG_OK;
  return bad_field(p, f, "a time (a number, or a date such as 2024-01-31T10:00:00Z)", column);
}

/* Reads a value of kind F or T; the column is given up at the first value that is something else.
 */
static int parse_if_possible(const struct parse *p, tkg__field f, int column, double *out) {
  struct column *c = &p->table->column[column];
  *out = 0;
  if (c->unread) return TKG_OK;
  int status = c->kind == 'T' ? parse_time(p, f, column, out) : parse_number(p, f, column, out);
  if (!status) return TKG_OK;
  *out = 0;
  c->unread = malloc(strlen(tkg_error()) + 1);
  if (!c->unread) return no_memory(p->table->path);
  strcpy(c->unread, tkg_error());
  return TKG_OK;
}

static int parse_name(const struct parse *p, tkg__field f, int column, int32_t *out) {
  if (f.length == 0 && p->table->column[column].kind == 's')
    return bad_field(p, f, "a name (it is empty)", column);
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
  case 't':
    return parse_time(p, f, column, &c->numbers[row]);
  case 'F':
  case 'T':
    return parse_if_possible(p, f, column, &c->numbers[row]);
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

/* Appends lines while a quoted field continues (RFC 4180). If it is not closed properly, the line
 * stays as it is and splitting reports it. */
static int whole_record(const struct parse *p, char **line, size_t *length) {
  tkg__quotes quotes = {0};
  size_t first = *length;
  if (!tkg__split_quotes(p->separator) || !memchr(*line, '"', *length)) return TKG_OK;
  while (tkg__quotes_open(&quotes, *line, *length, p->separator)) {
    int more = 0;
    if (quotes.loose || *length > LONGEST_RECORD) break;
    int status = tkg__reader_more(p->reader, line, length, &more);
    if (status) return status;
    if (!more) break;
  }
  if (quotes.open || quotes.broken) {
    *length = first;
    (*line)[first] = '\0';
  }
  return TKG_OK;
}

/* Sets the message for field number -found, which has no closing quote or is no term. */
static int bad_split(const struct parse *p, int found) {
  const char *what =
      p->separator == '<' ? "an IRI, a literal or a blank node of N-Triples" : "closed by a quote";
  return bad_field(p, p->field[-found - 1], what, -found - 1);
}

static int parse_line(struct parse *p, char *line, size_t length) {
  tkg_table *t = p->table;
  int status = whole_record(p, &line, &length);
  if (status) return status;
  int found = tkg__split(p->field, p->most, line, length, p->separator);
  if (found < 0) return bad_split(p, found);
  if (found == 0 && p->separator == '<') return TKG_OK;
  if (p->rest >= 0 && found <= p->most)
    found = tkg__split_rest(p->field, found, t->columns, p->rest, p->separator);
  if (found != t->columns) return bad_count(p, found);
  if (t->rows == t->capacity && (status = grow(t))) return status;
  for (int i = 0; i < t->columns && !status; i++) status = store(p, i, t->rows);
  if (!status) t->lines[t->rows++] = p->line;
  return status;
}

static int parse_ragged_line(struct parse *p, char *line, size_t length) {
  tkg_table *t = p->table;
  struct column *rows = &t->column[0], *ids = &t->column[1];
  const char *at = line, *end = line + length;
  int32_t row = -1;
  for (int field = 0;; field++) {
    while (tkg__is_blank(*at)) at++;
    if (at == end) return TKG_OK;
    const char *stop;
    int32_t id = parse_digits(at, &stop);
    if (stop == at || (*stop && !tkg__is_blank(*stop)))
      return parse_id(p, (tkg__field){.at = line + (at - line), .length = strcspn(at, " \t")},
                      field, &id);
    at = stop;
    note_extent(field ? ids : rows, id);
    if (field == 0) {
      row = id;
      continue;
    }
    int status = t->rows == t->capacity ? grow(t) : TKG_OK;
    if (status) return status;
    rows->ids[t->rows] = row; /* NOLINT: grow has made room */
    ids->ids[t->rows] = id;   /* NOLINT */
    t->lines[t->rows++] = p->line;
  }
}

/* Parses every line that is not skipped or blank. */
static int read_lines(struct parse *p) {
  char *line;
  size_t length;
  for (;;) {
    int status = tkg__reader_line(p->reader, &line, &length);
    if (status || !line) return status;
    p->line = tkg__reader_number(p->reader);
    if (p->line <= p->skip || strspn(line, " \t") == length) continue;
    status = p->parse_line(p, line, length);
    if (status) return status;
  }
}

/* Opens the file, makes the table and reads it. */
static int read_opened(struct parse *p, const char *path, const char *kinds) {
  int status = tkg__reader_open(&p->reader, path);
  if (status) return status;
  status = table_new(&p->table, tkg__reader_path(p->reader), kinds);
  if (status) return status;
  p->most = p->table->columns + MORE_FIELDS;
  p->field = malloc((size_t)p->most * sizeof *p->field);
  return p->field ? read_lines(p) : no_memory(path);
}

/* Reads a file in the C locale, so that numbers have a point. Unlike setlocale, uselocale concerns
 * this thread alone. */
static int read_file(tkg_table **out, const char *path, const char *kinds, struct parse *p) {
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  locale_t before = plain ? uselocale(plain) : (locale_t)0;
  *out = NULL;
  int status = plain ? read_opened(p, path, kinds) : no_memory(path);
  if (plain) {
    uselocale(before);
    freelocale(plain);
  }
  free(p->field);
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
  struct parse p = {.names = names, .parse_line = parse_line, .skip = skip, .separator = separator};
  p.rest = rest ? (int)(rest - kinds) : -1;
  *out = NULL;
  if (rest && strchr(rest + 1, 'S'))
    return tkg__fail(TKG_E_ARGUMENT, "table: column kinds '%s' have more than one S", kinds);
  for (size_t i = 0; kinds[i]; i++)
    if (strchr("seS", kinds[i]) && (i >= MOST_COLUMNS || !names || !names[i]))
      return tkg__fail(TKG_E_ARGUMENT, "table: column %d of '%s' needs names", (int)i + 1, kinds);
  return read_file(out, path, kinds, &p);
}

int tkg_table_read_ragged(tkg_table **out, const char *path) {
  struct parse p = {.parse_line = parse_ragged_line, .separator = ' ', .rest = -1};
  return read_file(out, path, "ii", &p);
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
