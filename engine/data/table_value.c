#include "table_value.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table_split.h"

/* ---- numbers -------------------------------------------------------------------------------- */

/* Reads short decimals such as 4 or 3.5, with the same result as strtod but faster. */
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

int tkg__to_number(char *text, size_t length, double *out) {
  char *end, last = text[length];
  if (parse_short(text, length, out)) return 1;
  text[length] = '\0';
  *out = strtod(text, &end);
  int whole = length > 0 && end == text + length && !tkg__is_blank(text[0]);
  text[length] = last;
  return whole && isfinite(*out);
}

int tkg__to_comma_number(char *text, size_t length, double *out) {
  char *comma = memchr(text, ',', length);
  if (!comma) return 0;
  *comma = '.';
  int good = tkg__to_number(text, length, out);
  *comma = ',';
  return good;
}

/* ---- times ---------------------------------------------------------------------------------- */

/* The rest of a text. */
struct text {
  const char *at, *end;
};

/* Takes exactly `digits` digits. */
static int take_digits(struct text *t, int digits, int *out) {
  *out = 0;
  for (; digits > 0; digits--, t->at++) {
    if (t->at == t->end || *t->at < '0' || *t->at > '9') return 0;
    *out = 10 * *out + (*t->at - '0');
  }
  return 1;
}

/* Takes the next byte if it is one of these. */
static int take_any(struct text *t, const char *bytes) {
  if (t->at == t->end || !strchr(bytes, *t->at)) return 0;
  t->at++;
  return 1;
}

static int days_in(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap);
}

/* Returns the days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so
 * that the leap day is the last one and every five months have 153 days. */
static int64_t days_since_epoch(int year, int month, int day) {
  int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
  return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int take_date(struct text *t, double *seconds) {
  int year, month, day;
  if (!take_digits(t, 4, &year)) return 0;
  const char *gap = t->at < t->end && *t->at == '/' ? "/" : "-";
  if (!take_any(t, gap) || !take_digits(t, 2, &month) || !take_any(t, gap) ||
      !take_digits(t, 2, &day))
    return 0;
  if (month < 1 || month > 12 || day < 1 || day > days_in(year, month)) return 0;
  *seconds = 86400.0 * (double)days_since_epoch(year, month, day);
  return 1;
}

/* The digits after a point. */
static double take_fraction(struct text *t) {
  double value = 0, unit = 0.1;
  for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++, unit /= 10)
    value += unit * (*t->at - '0');
  return value;
}

static int take_clock(struct text *t, double *seconds) {
  int hour, minute, second = 0;
  if (!take_digits(t, 2, &hour) || !take_any(t, ":") || !take_digits(t, 2, &minute)) return 0;
  if (take_any(t, ":") && !take_digits(t, 2, &second)) return 0;
  if (hour > 24 || minute > 59 || second > 60) return 0;
  *seconds += 3600.0 * hour + 60.0 * minute + second;
  if (take_any(t, ".,")) *seconds += take_fraction(t);
  return 1;
}

static int take_zone(struct text *t, double *seconds) {
  int hours, minutes = 0, east;
  take_any(t, " ");
  if (take_any(t, "Zz")) return 1;
  if (t->end - t->at == 3 && !memcmp(t->at, "UTC", 3)) {
    t->at += 3;
    return 1;
  }
  if (t->at == t->end) return 1;
  east = *t->at == '+';
  if (!take_any(t, "+-") || !take_digits(t, 2, &hours)) return 0;
  if (take_any(t, ":") || t->at < t->end)
    if (!take_digits(t, 2, &minutes)) return 0;
  if (hours > 23 || minutes > 59) return 0;
  *seconds -= (east ? 1 : -1) * (3600.0 * hours + 60.0 * minutes);
  return 1;
}

int tkg__to_time(char *text, size_t length, double *out) {
  struct text t = {text, text + length};
  if (tkg__to_number(text, length, out)) return 1;
  if (!take_date(&t, out)) return 0;
  if (t.at == t.end) return 1;
  return take_any(&t, "Tt ") && take_clock(&t, out) && take_zone(&t, out) && t.at == t.end;
}
