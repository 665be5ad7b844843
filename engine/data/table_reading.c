#include "table_reading.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tinykg.h"

enum {
  MORE_FIELDS = 64, /* a line may have over its columns, for the one that takes the rest */
  MOST_THREADS = 8, /* more would need more memory, and wait for the dictionaries */
  BLOCK = 2 * TKG__READER_BYTES,
  BLOCKS_PER_THREAD = 4
};

/* Blocks that are read, parsed and added together. */
struct round {
  tkg__blocks blocks;
  tkg__parsed *parsed; /* one per block that there can be */
  int status;          /* of the stage it was in, with its message */
  char message[1024];
};

struct tkg__reading {
  tkg__format format;
  char *kinds;
  tkg_names **names;
  tkg__text *text;
  struct round round[3]; /* one in each stage */
  int now;               /* the one that is parsed next */
  int threads, most;     /* most: blocks of a round */
};

/* ---- opening -------------------------------------------------------------------------------- */

/* Whether every column of a file without quotes is an id or a number. */
static int has_only_digits(const char *kinds, int separator) {
  return strspn(kinds, "if") == strlen(kinds) && separator != '<' && separator < 256 &&
         !tkg__split_quotes(separator);
}

/* Copies what the caller owns, and adds what follows from it. */
static int copy_format(tkg__reading *r, const tkg__format *format) {
  const size_t columns = strlen(format->kinds);
  r->format = *format;
  r->kinds = calloc(columns + 1, 1);
  r->names = calloc(columns, sizeof *r->names);
  r->format.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!r->kinds || !r->names || !r->format.locale)
    return tkg__fail(TKG_E_MEMORY, "%s: out of memory", format->path);
  memcpy(r->kinds, format->kinds, columns);
  for (size_t i = 0; format->names && i < columns; i++) r->names[i] = format->names[i];
  r->format.kinds = r->kinds;
  r->format.names = r->names;
  r->format.columns = (int)columns;
  r->format.most = (int)columns + MORE_FIELDS;
  r->format.digits = has_only_digits(r->kinds, format->separator);
  return TKG_OK;
}

int tkg__reading_open(tkg__reading **out, const tkg__format *format) {
  tkg__reading *r = *out = calloc(1, sizeof *r);
  if (!r) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", format->path);
  int status = copy_format(r, format);
  if (status) return status;
  r->threads = omp_get_max_threads() < MOST_THREADS ? omp_get_max_threads() : MOST_THREADS;
  r->most = BLOCKS_PER_THREAD * r->threads;
  status = tkg__text_open(&r->text, format->path, r->most, BLOCK, format->separator, format->skip);
  if (!status) r->format.path = tkg__text_path(r->text);
  return status;
}

const char *tkg__reading_path(const tkg__reading *r) { return r->format.path; }

double tkg__reading_share(const tkg__reading *r) { return tkg__text_share(r->text); }

void tkg__reading_free(tkg__reading *r) {
  if (!r) return;
  for (int k = 0; k < 3; k++) {
    struct round *round = &r->round[k];
    for (int i = 0; round->parsed && i < r->most; i++) tkg__parsed_free(&round->parsed[i]);
    free(round->parsed);
    tkg__blocks_free(&round->blocks);
  }
  tkg__text_close(r->text);
  if (r->format.locale) freelocale(r->format.locale);
  free(r->kinds);
  free(r->names);
  free(r);
}

/* ---- stages --------------------------------------------------------------------------------- */

/* Keeps the status of a stage, and its message, which is this thread's. */
static void end_stage(struct round *round, int status) {
  round->status = status;
  if (status) snprintf(round->message, sizeof round->message, "%s", tkg_error());
}

static void read_round(tkg__reading *r, struct round *round) {
  end_stage(round, tkg__text_next(r->text, &round->blocks));
}

/* Makes room to parse a round; columns that were given up are not tried again. */
static int begin_round(const tkg__reading *r, struct round *round, const tkg__columns *columns) {
  if (!round->parsed) round->parsed = calloc((size_t)r->most, sizeof *round->parsed);
  if (!round->parsed) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", r->format.path);
  int status = TKG_OK;
  for (int i = 0; i < round->blocks.count && !status; i++) {
    if (!round->parsed[i].format) status = tkg__parsed_new(&round->parsed[i], &r->format);
    if (!status) status = tkg__parsed_begin(&round->parsed[i], columns);
  }
  return status;
}

/* Makes room for the rows of a round, as far as it could be parsed. */
static int reserve_round(const tkg__reading *r, const struct round *round, tkg__columns *columns) {
  int64_t rows = columns->rows;
  for (int i = 0; i < round->blocks.count && !round->parsed[i].status; i++)
    rows += round->parsed[i].columns.rows;
  if (rows > INT32_MAX) return tkg__fail(TKG_E_RANGE, "%s: more than 2^31 rows", r->format.path);
  return tkg__columns_reserve(columns, rows);
}

/* Adds a block's names to their dictionaries, and what else depends on the blocks before. */
static int take_block(const tkg__parsed *p, tkg__columns *to) {
  const tkg__columns *from = &p->columns;
  int status = p->status ? tkg__fail(p->status, "%s", p->message) : TKG_OK;
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

/* Copies a block's rows to the rows from `at` on. */
static void copy_block(const tkg__parsed *p, const tkg__columns *columns, int64_t at) {
  const size_t rows = (size_t)p->columns.rows;
  for (int i = 0; i < columns->count && rows > 0; i++) {
    const tkg__column *to = &columns->column[i], *from = &p->columns.column[i];
    if (to->kind == '-') continue;
    if (tkg__has_numbers(to)) {
      memcpy(to->numbers + at, from->numbers, rows * sizeof(double));
    } else if (to->kind == 'i') {
      memcpy(to->ids + at, from->ids, rows * sizeof(int32_t));
    } else {
      const tkg__name *list = p->list[p->list_of[i]].list;
      for (size_t row = 0; row < rows; row++) to->ids[(size_t)at + row] = list[from->ids[row]].id;
    }
  }
}

/* Adds the rows of a round in order. */
static void take_round(const tkg__reading *r, struct round *round, tkg__columns *columns) {
  if (round->status) return; /* it could not be read */
  int status = reserve_round(r, round, columns);
  for (int i = 0; i < round->blocks.count && !status; i++) {
    const tkg__parsed *p = &round->parsed[i];
    int64_t at = columns->rows;
    status = take_block(p, columns);
    if (status) break;
#pragma omp task firstprivate(p, at)
    copy_block(p, columns, at);
  }
  end_stage(round, status);
}

int tkg__reading_step(tkg__reading *r, tkg__columns *columns, int *more) {
  struct round *parse = &r->round[r->now];
  struct round *read = &r->round[(r->now + 1) % 3], *take = &r->round[(r->now + 2) % 3];
  int status = begin_round(r, parse, columns);
  *more = 0;
  if (status) return status;
#pragma omp parallel num_threads(r->threads) if (parse->blocks.count > 1 || take->blocks.count > 1)
#pragma omp single
  {
#pragma omp task
    take_round(r, take, columns);
#pragma omp task
    read_round(r, read);
    for (int i = 0; i < parse->blocks.count; i++) {
#pragma omp task firstprivate(i)
      tkg__parse_block(&parse->parsed[i], parse->blocks.block[i]);
    }
  }
  if (take->status) return tkg__fail(take->status, "%s", take->message);
  take->blocks.count = 0;
  *more = read->blocks.count || read->status || parse->blocks.count || parse->status;
  r->now = (r->now + 1) % 3;
  return TKG_OK;
}
