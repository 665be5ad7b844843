#include "text_blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "table_record.h"
#include "table_split.h"
#include "tinykg.h"

static const size_t line_limit = (size_t)1 << 30;

struct tkg__text {
  tkg__reader *reader;
  size_t size; /* of a block */
  int most, separator;
  int64_t skip, number; /* number: of the next line */
  char newline;
  int end;    /* no more bytes */
  int status; /* of the reader, with its message, to be told after the lines before it */
  char message[1024];
  const char *rest; /* bytes behind the last line end, in the blocks read before */
  size_t rest_length;
};

int tkg__text_open(tkg__text **out, const char *path, int most, size_t size, int separator,
                   int64_t skip) {
  *out = NULL;
  tkg__text *t = calloc(1, sizeof *t);
  if (!t) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
  t->most = most;
  t->size = size;
  t->separator = separator;
  t->skip = skip;
  t->number = 1;
  int status = tkg__reader_open(&t->reader, path);
  if (status)
    free(t);
  else
    *out = t;
  return status;
}

void tkg__text_close(tkg__text *t) {
  if (!t) return;
  tkg__reader_close(t->reader);
  free(t);
}

void tkg__blocks_free(tkg__blocks *b) {
  free(b->text);
  free(b->block);
}

const char *tkg__text_path(const tkg__text *t) { return tkg__reader_path(t->reader); }

double tkg__text_share(const tkg__text *t) { return tkg__reader_share(t->reader); }

int tkg__nul_byte(const char *path, int64_t number) {
  return tkg__fail(TKG_E_FORMAT, "%s:%lld: a NUL byte: this is not UTF-8 text%s", path,
                   (long long)number,
                   number == 1 ? " (UTF-16? iconv -f UTF-16 -t UTF-8 FILE makes it so)" : "");
}

int64_t tkg__count_lines(const char *at, const char *end, char newline) {
  int64_t count = 0;
#pragma omp simd reduction(+ : count)
  for (const char *p = at; p < end; p++) count += *p == newline;
  return count;
}

/* ---- filling -------------------------------------------------------------------------------- */

static int enlarge(const tkg__text *t, tkg__blocks *b, size_t room) {
  if (room > line_limit)
    return tkg__fail(TKG_E_FORMAT, "%s:%lld: the line is longer than 1 GiB", tkg__text_path(t),
                     (long long)t->number);
  char *text = realloc(b->text, room + 1);
  if (!text) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", tkg__text_path(t));
  b->text = text;
  b->room = room;
  return TKG_OK;
}

/* Makes room and begins with what the blocks before have left. */
static int begin(const tkg__text *t, tkg__blocks *b) {
  size_t room = (size_t)t->most * t->size;
  while (room < 2 * t->rest_length) room *= 2;
  if (!b->block) b->block = malloc((size_t)t->most * sizeof *b->block);
  if (!b->block) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", tkg__text_path(t));
  int status = b->room < room ? enlarge(t, b, room) : TKG_OK;
  if (status) return status;
  if (t->rest_length > 0) memcpy(b->text, t->rest, t->rest_length);
  b->filled = t->rest_length;
  return TKG_OK;
}

/* Reads until the room is filled or the file ends. */
static void fill(tkg__text *t, tkg__blocks *b) {
  while (b->filled < b->room && !t->end && !t->status) {
    size_t got = 0;
    t->status = tkg__reader_bytes(t->reader, b->text + b->filled, b->room - b->filled, &got);
    b->filled += got;
    t->end = !t->status && got == 0;
  }
  if (t->status) snprintf(t->message, sizeof t->message, "%s", tkg_error());
}

/* CR ends lines if the text has CR and no LF, as files of old Macs have. */
static char newline_of(const tkg__blocks *b) {
  const char *cr = b->filled ? memchr(b->text, '\r', b->filled - 1) : NULL;
  return cr && !memchr(b->text, '\n', b->filled) ? '\r' : '\n';
}

/* ---- cutting -------------------------------------------------------------------------------- */

char *tkg__next_line(tkg__lines *lines, char **stop) {
  char *line = lines->at;
  if (line == lines->end) return NULL;
  char *newline = memchr(line, lines->newline, (size_t)(lines->end - line));
  *stop = newline ? newline : lines->end;
  lines->at = newline ? newline + 1 : lines->end;
  if (*stop > line && (*stop)[-1] == '\r') --*stop;
  lines->number++;
  return line;
}

/* Returns the end of the last line; the end of the text if no more follows it. */
static char *last_end(const tkg__text *t, const tkg__blocks *b) {
  char *end = b->text + b->filled;
  if (t->end) return end;
  while (end > b->text && end[-1] != t->newline) end--;
  return end;
}

static void add_block(const tkg__text *t, tkg__blocks *b, char *at, char *end) {
  tkg__lines *block = &b->block[b->count++];
  block->at = at;
  block->end = end;
  block->newline = t->newline;
}

/* Returns the end of the last block. */
static char *cut_lines(const tkg__text *t, tkg__blocks *b) {
  char *at = b->text, *end = last_end(t, b);
  while (at < end) {
    char *stop = NULL, *least = at + t->size - 1;
    if (b->count + 1 < t->most && least < end)
      stop = memchr(least, t->newline, (size_t)(end - least));
    stop = stop ? stop + 1 : end;
    add_block(t, b, at, stop);
    at = stop;
  }
  return end;
}

/* As cut_lines, but only between records. */
static char *cut_records(const tkg__text *t, tkg__blocks *b) {
  tkg__lines left = {b->text, last_end(t, b), t->number, t->newline};
  char *first = b->text, *end = b->text, *line, *stop;
  while ((line = tkg__next_line(&left, &stop))) {
    int open = 0;
    if (left.number > t->skip + 1 && memchr(line, '"', (size_t)(stop - line)))
      tkg__whole_record(&left, line, stop, t->separator, &open);
    if (open && !t->end) break;
    end = left.at;
    if (b->count + 1 == t->most || (size_t)(end - first) < t->size) continue;
    add_block(t, b, first, end);
    first = end;
  }
  if (end > first) add_block(t, b, first, end);
  return end;
}

/* Numbers the blocks' lines and drops a byte order mark. */
static void number_blocks(tkg__text *t, tkg__blocks *b) {
  if (t->number == 1 && b->count && b->filled >= 3 && !memcmp(b->text, "\xEF\xBB\xBF", 3))
    b->block[0].at += 3;
  for (int i = 0; i < b->count; i++) {
    b->block[i].number = t->number;
    t->number += tkg__count_lines(b->block[i].at, b->block[i].end, t->newline);
  }
}

int tkg__text_next(tkg__text *t, tkg__blocks *b) {
  char *end = NULL;
  b->count = 0;
  int status = t->status ? tkg__fail(t->status, "%s", t->message) : begin(t, b);
  while (!status && !b->count) {
    fill(t, b);
    if (!t->newline) t->newline = newline_of(b);
    b->text[b->filled] = '\0';
    int quoted = tkg__split_quotes(t->separator) && memchr(b->text, '"', b->filled);
    end = quoted ? cut_records(t, b) : cut_lines(t, b);
    if (b->count || t->end) break;
    status = t->status ? tkg__fail(t->status, "%s", t->message) : enlarge(t, b, 2 * b->room);
  }
  if (status) return status;
  number_blocks(t, b);
  t->rest = end;
  t->rest_length = (size_t)(b->text + b->filled - end);
  return TKG_OK;
}
