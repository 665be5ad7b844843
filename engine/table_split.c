#include "table_split.h"

#include <string.h>

static int is_blank(char c) { return c == ' ' || c == '\t'; }

/* Takes the quotes off a field that starts with one. Inside, "" stands for a quote; a quote ends
 * the field only before a separator or the end of the line, so that the careless files of
 * BookCrossing are read too. Returns where the field ends, NULL where it does not. */
static char *unquote(tkg__field *field, const char *end, char separator) {
  char *from = field->at + 1, *to = field->at;
  for (; from < end; from++) {
    if (*from == '"') {
      if (from + 1 == end || from[1] == separator) {
        *to = '\0';
        field->length = (size_t)(to - field->at);
        return from + 1;
      }
      if (from[1] == '"') from++;
    }
    *to++ = *from;
  }
  field->length = (size_t)(to - field->at);
  return NULL;
}

static int split_separated(tkg__field *field, char *line, char *end, char separator) {
  int quotes = separator == ',' || separator == ';';
  char *at = line;
  for (int n = 0; n < TKG__MAX_FIELDS; n++) {
    char *stop;
    field[n] = (tkg__field){at, 0};
    if (quotes && at < end && *at == '"') {
      stop = unquote(&field[n], end, separator);
      if (!stop) return -(n + 1);
    } else {
      stop = memchr(at, separator, (size_t)(end - at));
      if (!stop) stop = end;
      field[n].length = (size_t)(stop - at);
    }
    if (stop == end) return n + 1;
    at = stop + 1;
  }
  return TKG__MAX_FIELDS + 1;
}

static int split_blanks(tkg__field *field, char *line, const char *end) {
  char *at = line;
  for (int n = 0; n <= TKG__MAX_FIELDS; n++) {
    while (at < end && is_blank(*at)) at++;
    if (at == end) return n;
    if (n == TKG__MAX_FIELDS) break;
    field[n].at = at;
    while (at < end && !is_blank(*at)) at++;
    field[n].length = (size_t)(at - field[n].at);
  }
  return TKG__MAX_FIELDS + 1;
}

int tkg__split(tkg__field field[TKG__MAX_FIELDS], char *line, size_t length, char separator) {
  return separator == ' ' ? split_blanks(field, line, line + length)
                          : split_separated(field, line, line + length, separator);
}

int tkg__split_rest(tkg__field *field, int found, int columns, int rest) {
  int surplus = found - columns;
  if (surplus < -1 || surplus == 0 || found == 0 || found > TKG__MAX_FIELDS) return found;
  size_t after = sizeof *field * (size_t)(columns - 1 - rest);
  if (surplus < 0) {
    memmove(field + rest + 1, field + rest, after);
    if (rest == found) field[rest].at = field[rest - 1].at + field[rest - 1].length;
    field[rest].length = 0;
    return columns;
  }
  tkg__field last = field[rest + surplus];
  field[rest].length = (size_t)(last.at + last.length - field[rest].at);
  memmove(field + rest + 1, field + rest + 1 + surplus, after);
  return columns;
}
