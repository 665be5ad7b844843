#include "table_record.h"

#include <string.h>

#include "table_split.h"

enum { LONGEST = 1 << 20 }; /* bytes of a record of several lines */

struct quotes {
  size_t at;  /* bytes that have been read */
  int open;   /* a quoted field continues */
  int loose;  /* it has a quote inside that is neither doubled nor at its end */
  int broken; /* a field of several lines had such a quote */
};

const char *tkg__after_quote(const char *quote, const char *end, char separator) {
  const char *p = quote + 1;
  while (p < end && tkg__is_blank(*p)) p++;
  return p == end || *p == separator ? p : NULL;
}

/* Returns the byte behind a field's opening quote, or the next field if there is no quote. */
static const char *enter_field(struct quotes *q, const char *p, const char *end, int separator) {
  while (p < end && tkg__is_blank(*p)) p++;
  if (p < end && *p == '"') {
    q->open = 1;
    q->loose = 0;
    return p + 1;
  }
  p = memchr(p, separator, (size_t)(end - p));
  return p ? p + 1 : end;
}

/* Returns the byte behind the next quote of an open field, or the next field if that closes it. */
static const char *pass_quote(struct quotes *q, const char *p, const char *end, int separator) {
  if (!(p = memchr(p, '"', (size_t)(end - p)))) return end;
  const char *stop = tkg__after_quote(p, end, (char)separator);
  if (stop) {
    q->open = 0;
    return stop < end ? stop + 1 : end;
  }
  if (p[1] == '"') return p + 2;
  q->loose = 1;
  return p + 1;
}

/* Reads the bytes of a record that are new since the last call; returns whether it ends in quotes.
 */
static int quotes_open(struct quotes *q, const char *line, size_t length, int separator) {
  const char *p = line + q->at, *end = line + length;
  int spans = q->open;
  while (p < end) {
    if (q->open) {
      p = pass_quote(q, p, end, separator);
      q->broken |= spans && q->loose;
    } else {
      spans = 0;
      p = enter_field(q, p, end, separator);
    }
  }
  q->at = length;
  return q->open;
}

char *tkg__whole_record(tkg__lines *lines, char *line, char *stop, int separator, int *open) {
  struct quotes quotes = {0};
  tkg__lines first = *lines;
  char *end = stop;
  *open = 0;
  while (quotes_open(&quotes, line, (size_t)(end - line), separator)) {
    if (quotes.loose || end - line > LONGEST) break;
    if (!tkg__next_line(lines, &end)) {
      *open = 1;
      break;
    }
  }
  if (!quotes.open && !quotes.broken) return end;
  *lines = first;
  return stop;
}
