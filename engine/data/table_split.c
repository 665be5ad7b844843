#include "table_split.h"

#include <string.h>

#include "table_record.h"
#include "table_triple.h"

int tkg__split_quotes(int separator) { return separator == ',' || separator == ';'; }

/* Removes the quotes of a field that starts with one; inside, "" is one quote. Returns the field's
 * end, NULL if it has none. */
static char *unquote(tkg__field *field, char *end, char separator) {
  char *from = field->at + 1, *to = field->at;
  const char *stop = NULL;
  for (; from < end; from++) {
    if (*from == '"') {
      if ((stop = tkg__after_quote(from, end, separator))) break;
      if (from[1] == '"') from++;
    }
    *to++ = *from;
  }
  field->length = (size_t)(to - field->at);
  if (stop) *to = '\0';
  field->whole = field->at;
  field->whole_length = field->length;
  return stop ? from + (stop - from) : NULL;
}

/* Returns the next separator, or the end. */
static char *find_separator(char *at, char *end, int separator) {
  char byte = (char)(separator & 255);
  int twice = separator > 255;
  for (char *p = at; p < end && (p = memchr(p, byte, (size_t)(end - p))); p++)
    if (!twice || (p + 1 < end && p[1] == byte)) return p;
  return end;
}

static void trim(tkg__field *f) {
  while (f->length > 0 && tkg__is_blank(f->at[f->length - 1])) f->length--;
  while (f->length > 0 && tkg__is_blank(*f->at)) f->at++, f->length--;
}

static int split_separated(tkg__field *field, int most, char *line, char *end, int separator) {
  int quotes = tkg__split_quotes(separator), width = separator > 255 ? 2 : 1;
  char *at = line;
  for (int n = 0; n < most; n++) {
    tkg__field *f = &field[n];
    char *first = at, *stop;
    while (quotes && first < end && tkg__is_blank(*first)) first++;
    if (quotes && first < end && *first == '"') {
      f->at = first;
      stop = unquote(f, end, (char)separator);
      if (!stop) return -(n + 1);
    } else {
      stop = find_separator(at, end, separator);
      *f = (tkg__field){at, (size_t)(stop - at), at, (size_t)(stop - at)};
      if (quotes) trim(f);
    }
    if (stop == end) return n + 1;
    at = stop + width;
  }
  return most + 1;
}

static int split_blanks(tkg__field *field, int most, char *line, const char *end) {
  char *at = line;
  for (int n = 0; n <= most; n++) {
    while (at < end && tkg__is_blank(*at)) at++;
    if (at == end) return n;
    if (n == most) break;
    char *first = at;
    while (at < end && !tkg__is_blank(*at)) at++;
    field[n] = (tkg__field){first, (size_t)(at - first), first, (size_t)(at - first)};
  }
  return most + 1;
}

int tkg__split(tkg__field *field, int most, char *line, size_t length, int separator) {
  if (separator == ' ') return split_blanks(field, most, line, line + length);
  if (separator == '<') return tkg__split_triple(field, most, line, length);
  return split_separated(field, most, line, line + length, separator);
}

/* Joins several fields to one and closes the gaps that unquoting has left. */
static void join(tkg__field *field, int count, int separator) {
  char *to = field->whole + field->whole_length;
  for (int i = 1; i < count; i++) {
    *to++ = (char)(separator & 255);
    if (separator > 255) *to++ = (char)(separator & 255);
    memmove(to, field[i].whole, field[i].whole_length);
    to += field[i].whole_length;
  }
  field->whole_length = (size_t)(to - field->whole);
  field->at = field->whole;
  field->length = field->whole_length;
  if (tkg__split_quotes(separator)) trim(field);
}

int tkg__split_rest(tkg__field *field, int found, int columns, int rest, int separator) {
  int surplus = found - columns;
  if (surplus < -1 || surplus == 0 || found == 0) return found;
  size_t after = sizeof *field * (size_t)(columns - 1 - rest);
  if (surplus < 0) {
    memmove(field + rest + 1, field + rest, after);
    if (rest == found) field[rest].at = field[rest - 1].at + field[rest - 1].length;
    field[rest].length = 0;
    return columns;
  }
  if (separator == ' ') { /* the blanks between them, as they are */
    tkg__field last = field[rest + surplus];
    field[rest].length = (size_t)(last.at + last.length - field[rest].at);
  } else {
    join(field + rest, surplus + 1, separator);
  }
  memmove(field + rest + 1, field + rest + 1 + surplus, after);
  return columns;
}
