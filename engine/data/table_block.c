#include "table_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "table_record.h"
#include "table_value.h"
#include "tinykg.h"

/* ---- errors -------------------------------------------------------------------------------- */

/* "file:line: 'text' is not what, column n" with the text cut short and made printable. */
static int bad_field(const tkg__parsed *p, tkg__field f, const char *what, int column) {
  char text[44];
  size_t n = f.length > 40 ? 40 : f.length;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)f.at[i];
    text[i] = (char)(c < 32 || c == 127 ? '?' : c);
  }
  strcpy(text + n, f.length > 40 ? "..." : "");
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: '%s' is not %s, column %d", p->format->path,
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

static int bad_count(const tkg__parsed *p, int found) {
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: %s%d column%s separated by %s, expected %d",
                   p->format->path, (long long)p->line, found > p->format->most ? "more than " : "",
                   found > p->format->most ? p->format->most : found, found == 1 ? "" : "s",
                   separator_name(p->format->separator), p->format->columns);
}

/* ---- fields --------------------------------------------------------------------------------- */

/* Reads the digits at p as an id; *end is the byte behind them, p if they are no id. */
static int32_t parse_digits(const char *p, const char **end) {
  const char *first = p;
  int64_t value = 0;
  while (*p >= '0' && *p <= '9' && value <= INT32_MAX) value = 10 * value + (*p++ - '0');
  *end = value < INT32_MAX ? p : first;
  return (int32_t)(value < INT32_MAX ? value : 0);
}

static int parse_id(const tkg__parsed *p, tkg__field f, int column, int32_t *out) {
  const char *end;
  *out = parse_digits(f.at, &end);
  if (f.length > 0 && end == f.at + f.length) return TKG_OK;
  size_t digits = strspn(f.at, "0123456789");
  int large = f.length > 0 && digits == f.length;
  return bad_field(p, f, large ? "an id below 2147483647" : "an id (a non-negative integer)",
                   column);
}

static int parse_number(const tkg__parsed *p, tkg__field f, int column, double *out) {
  if (tkg__to_number(f.at, f.length, out)) return TKG_OK;
  if (p->format->separator == ';' && tkg__to_comma_number(f.at, f.length, out)) return TKG_OK;
  return bad_field(p, f, "a finite number", column);
}

static int parse_time(const tkg__parsed *p, tkg__field f, int column, double *out) {
  if (tkg__to_time(f.at, f.length, out)) return TKG_OK;
  return bad_field(p, f, "a time (a number, or a date such as 2024-01-31T10:00:00Z)", column);
}

/* Reads a value of kind F or T; the column is given up at the first value that is something else.
 */
static int parse_if_possible(const tkg__parsed *p, tkg__field f, int column, double *out) {
  tkg__column *c = &p->columns.column[column];
  *out = 0;
  if (c->unread) return TKG_OK;
  int status = c->kind == 'T' ? parse_time(p, f, column, out) : parse_number(p, f, column, out);
  if (!status) return TKG_OK;
  *out = 0;
  return tkg__give_up(c, tkg_error());
}

static int parse_name(const tkg__parsed *p, tkg__field f, int column, int32_t *out) {
  if (f.length == 0 && p->columns.column[column].kind == 's')
    return bad_field(p, f, "a name (it is empty)", column);
  return tkg__local_add(&p->list[p->list_of[column]], f.at, f.length, out);
}

static int store(const tkg__parsed *p, int column, int64_t row) {
  tkg__column *c = &p->columns.column[column];
  tkg__field f = p->field[column];
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
    return parse_id(p, f, column, &c->ids[row]);
  default:
    return parse_name(p, f, column, &c->ids[row]);
  }
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Sets the message for field number -found, which has no closing quote or is no term. */
static int bad_split(const tkg__parsed *p, int found) {
  const char *what = p->format->separator == '<' ? "an IRI, a literal or a blank node of N-Triples"
                                                 : "closed by a quote";
  return bad_field(p, p->field[-found - 1], what, -found - 1);
}

/* Makes room for a row of this line. */
static int begin_row(tkg__parsed *p) {
  tkg__columns *c = &p->columns;
  int status = c->rows == c->room ? tkg__columns_reserve(c, c->rows + 1) : TKG_OK;
  return status ? status : tkg__columns_note(c, c->rows, p->line);
}

/* Parses a line that has nothing but digits between single separators or blanks; returns whether it
 * was one. Sets `*status` if there is no memory. */
static int parse_digit_line(tkg__parsed *p, const char *at, const char *stop, int *status) {
  const int separator = p->format->separator;
  tkg__columns *c = &p->columns;
  if ((*status = begin_row(p))) return 0;
  for (int i = 0; i < c->count; i++) {
    tkg__column *column = &c->column[i];
    const char *end;
    if (separator == ' ') {
      while (tkg__is_blank(*at)) at++;
    } else if (i > 0 && *at++ != separator) {
      return 0;
    }
    int32_t value = parse_digits(at, &end);
    if (end == at) return 0;
    if (column->kind == 'i')
      column->ids[c->rows] = value;
    else
      column->numbers[c->rows] = value;
    at = end;
    if (at != stop && *at != (char)separator && !(separator == ' ' && *at == '\t')) return 0;
  }
  while (separator == ' ' && tkg__is_blank(*at)) at++;
  if (at != stop) return 0;
  c->rows++;
  return 1;
}

static int parse_fields(tkg__parsed *p, char *line, const char *stop) {
  const tkg__format *format = p->format;
  int status = TKG_OK;
  if (format->digits && parse_digit_line(p, line, stop, &status)) return TKG_OK;
  if (status) return status;
  int found = tkg__split(p->field, format->most, line, (size_t)(stop - line), format->separator);
  if (found < 0) return bad_split(p, found);
  if (found == 0 && format->separator == '<') return TKG_OK;
  if (format->rest >= 0 && found <= format->most)
    found = tkg__split_rest(p->field, found, format->columns, format->rest, format->separator);
  if (found != format->columns) return bad_count(p, found);
  status = begin_row(p);
  for (int i = 0; i < format->columns && !status; i++) status = store(p, i, p->columns.rows);
  if (!status) p->columns.rows++;
  return status;
}

static int parse_ragged_line(tkg__parsed *p, char *line, const char *end) {
  tkg__columns *c = &p->columns;
  const char *at = line;
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
    if (field == 0) {
      row = id;
      if (id >= c->column[0].extent) c->column[0].extent = (int64_t)id + 1;
      continue;
    }
    int status = begin_row(p);
    if (status) return status;
    c->column[0].ids[c->rows] = row;
    c->column[1].ids[c->rows++] = id;
  }
}

/* Parses every line that is not skipped or blank. */
static int parse_lines(tkg__parsed *p, tkg__lines lines) {
  const tkg__format *format = p->format;
  const int quotes = tkg__split_quotes(format->separator);
  const char *nul = memchr(lines.at, '\0', (size_t)(lines.end - lines.at));
  char *line, *stop;
  int status = TKG_OK, open;
  while (!status && (line = tkg__next_line(&lines, &stop))) {
    const int64_t first = p->line = lines.number - 1;
    const int blank = strspn(line, " \t") >= (size_t)(stop - line);
    if (quotes && first > format->skip && !blank && memchr(line, '"', (size_t)(stop - line)))
      stop = tkg__whole_record(&lines, line, stop, format->separator, &open);
    if (nul && nul < stop)
      return tkg__nul_byte(format->path, first + tkg__count_lines(line, nul, lines.newline));
    if (first <= format->skip || blank) continue;
    *stop = '\0';
    status = format->ragged ? parse_ragged_line(p, line, stop) : parse_fields(p, line, stop);
  }
  return status;
}

/* ---- blocks --------------------------------------------------------------------------------- */

int tkg__parsed_new(tkg__parsed *p, const tkg__format *format) {
  int status = tkg__columns_new(&p->columns, format->kinds, !format->ragged);
  size_t columns = (size_t)format->columns;
  p->format = format;
  p->field = malloc((size_t)format->most * sizeof *p->field);
  p->list_of = calloc(columns, sizeof *p->list_of);
  p->list = calloc(columns, sizeof *p->list);
  if (status || !p->field || !p->list_of || !p->list)
    return tkg__fail(TKG_E_MEMORY, "%s: out of memory", format->path);
  for (int i = 0; i < format->columns && !status; i++) {
    if (!strchr("seS", format->kinds[i])) continue;
    int k = 0;
    while (k < p->lists && p->list[k].dictionary != format->names[i]) k++;
    p->list_of[i] = k;
    if (k == p->lists) status = tkg__local_new(&p->list[p->lists++], format->names[i]);
  }
  return status;
}

void tkg__parsed_free(tkg__parsed *p) {
  for (int k = 0; k < p->lists; k++) tkg__local_free(&p->list[k]);
  free(p->list);
  free(p->list_of);
  free(p->field);
  tkg__columns_free(&p->columns);
}

/* Sets the extents of columns of ids. */
static void note_extents(tkg__columns *c) {
  for (int i = 0; i < c->count; i++) {
    tkg__column *column = &c->column[i];
    if (column->kind != 'i') continue;
    int32_t most = -1;
    for (int64_t row = 0; row < c->rows; row++)
      if (column->ids[row] > most) most = column->ids[row];
    if (most >= column->extent) column->extent = (int64_t)most + 1;
  }
}

int tkg__parsed_begin(tkg__parsed *p, const tkg__columns *known) {
  int status = TKG_OK;
  tkg__columns_clear(&p->columns);
  for (int k = 0; k < p->lists; k++) tkg__local_clear(&p->list[k]);
  for (int i = 0; i < known->count && !status; i++)
    if (known->column[i].unread)
      status = tkg__give_up(&p->columns.column[i], known->column[i].unread);
  return status;
}

void tkg__parse_block(tkg__parsed *p, tkg__lines lines) {
  locale_t before = uselocale(p->format->locale);
  p->status = parse_lines(p, lines);
  if (p->status)
    snprintf(p->message, sizeof p->message, "%s", tkg_error());
  else
    note_extents(&p->columns);
  uselocale(before);
}
