#include "table_triple.h"

#include <stdint.h>
#include <string.h>

static char *skip_blanks(char *p, const char *end) {
  while (p < end && tkg__is_blank(*p)) p++;
  return p;
}

/* Returns the value of `digits` hexadecimal digits, -1 if a byte is no such digit. */
static int32_t hex(const char *p, const char *end, int digits) {
  int32_t value = 0;
  if (end - p < digits) return -1;
  for (int i = 0; i < digits; i++) {
    const char *known = "0123456789abcdef", c = p[i];
    const char *at = c ? strchr(known, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    if (!at || value > 0x10FFFF) return -1;
    value = 16 * value + (int32_t)(at - known);
  }
  return value;
}

/* Writes a character as UTF-8, which is never longer than its escape, and returns its end. */
static char *put_utf8(char *to, int32_t c) {
  int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const unsigned char first[] = {0, 0xC0, 0xE0, 0xF0};
  *to++ = (char)(first[more] | (c >> (6 * more)));
  for (int k = more - 1; k >= 0; k--) *to++ = (char)(0x80 | ((c >> (6 * k)) & 0x3F));
  return to;
}

/* Writes the character of the escape at *from, a backslash, to `to` and returns its end; NULL if
 * there is no such escape. */
static char *unescape(char **from, const char *end, char *to) {
  static const char letters[] = "tbnrf\"'\\", bytes[] = "\t\b\n\r\f\"'\\";
  char *p = *from + 1;
  if (p == end) return NULL;
  const char *plain = *p ? strchr(letters, *p) : NULL;
  if (plain) {
    *from = p + 1;
    *to = bytes[plain - letters];
    return to + 1;
  }
  int digits = *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
  int32_t c = digits ? hex(p + 1, end, digits) : -1;
  if (c <= 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return NULL;
  *from = p + 1 + digits;
  return put_utf8(to, c);
}

/* Reads the text between at[0] and `close` in place. Returns the byte behind it, NULL on an error.
 */
static char *take_enclosed(tkg__field *field, char *at, char *end, char close) {
  char *from = at + 1, *to = at;
  while (from < end && *from != close) {
    if (*from == '\\') {
      to = unescape(&from, end, to);
      if (!to) return NULL;
    } else {
      *to++ = *from++;
    }
  }
  if (from == end) return NULL;
  field->length = (size_t)(to - at);
  return from + 1;
}

/* Skips the language or the type of a literal. */
static char *skip_kind(char *p, char *end) {
  if (p < end && *p == '@') {
    while (p < end && !tkg__is_blank(*p) && *p != '.') p++;
    return p;
  }
  if (end - p < 3 || p[0] != '^' || p[1] != '^' || p[2] != '<') return p;
  p = memchr(p, '>', (size_t)(end - p));
  return p ? p + 1 : NULL;
}

static char *take_term(tkg__field *field, char *at, char *end) {
  field->at = at;
  if (at < end && *at == '<') return take_enclosed(field, at, end, '>');
  if (at < end && *at == '"') {
    char *p = take_enclosed(field, at, end, '"');
    if (p && field->length == 0) field->length = 2; /* "" remains, since names are not empty */
    return p ? skip_kind(p, end) : NULL;
  }
  if (end - at < 3 || at[0] != '_' || at[1] != ':') return NULL;
  char *p = at;
  while (p < end && !tkg__is_blank(*p)) p++;
  if (p == end && p[-1] == '.') p--; /* `_:b .` is usual, `_:b.` is possible */
  field->length = (size_t)(p - at);
  return p;
}

int tkg__split_triple(tkg__field *field, int most, char *line, size_t length) {
  char *end = line + length, *at = skip_blanks(line, end);
  if (at == end || *at == '#') return 0;
  for (int n = 0; n < 3 && n < most; n++) {
    char *first = at;
    at = take_term(&field[n], at, end);
    if (!at) {
      field[n].at = first;
      field[n].length = (size_t)(end - first);
      return -(n + 1);
    }
    field[n].whole = field[n].at;
    field[n].whole_length = field[n].length;
    at = skip_blanks(at, end);
  }
  if (at < end && *at == '.') at = skip_blanks(at + 1, end);
  return at == end || *at == '#' ? 3 : 4; /* or more: N-Quads, for instance */
}
