#include "table_columns.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int no_memory(void) { return tkg__fail(TKG_E_MEMORY, "out of memory"); }

int tkg__columns_new(tkg__columns *c, const char *kinds, int per_line) {
  size_t count = strlen(kinds);
  *c = (tkg__columns){.count = (int)count, .per_line = per_line};
  c->column = calloc(count, sizeof *c->column);
  if (!c->column) return no_memory();
  for (size_t i = 0; i < count; i++) c->column[i].kind = kinds[i];
  return TKG_OK;
}

void tkg__columns_free(tkg__columns *c) {
  for (int i = 0; c->column && i < c->count; i++) {
    free(c->column[i].values);
    free(c->column[i].unread);
  }
  free(c->column);
  free(c->run);
}

void tkg__columns_clear(tkg__columns *c) {
  c->rows = 0;
  c->runs = 0;
  for (int i = 0; i < c->count; i++) {
    c->column[i].extent = 0;
    free(c->column[i].unread);
    c->column[i].unread = NULL;
  }
}

int tkg__has_numbers(const tkg__column *c) { return strchr("fFtT", c->kind) != NULL; }

int tkg__columns_reserve(tkg__columns *c, int64_t rows) {
  if (rows <= c->room) return TKG_OK;
  int64_t room = c->room ? c->room : 64;
  while (room < rows) room *= 2;
  for (int i = 0; i < c->count; i++) {
    tkg__column *column = &c->column[i];
    if (column->kind == '-') continue;
    size_t bytes = tkg__has_numbers(column) ? sizeof(double) : sizeof(int32_t);
    void *larger = realloc(column->values, (size_t)room * bytes);
    if (!larger) return no_memory();
    column->values = larger;
  }
  c->room = room;
  return TKG_OK;
}

/* The line of a row of a run. */
static int64_t line_in(const tkg__columns *c, const tkg__run *run, int64_t row) {
  return run->line + (c->per_line ? row - run->row : 0);
}

int tkg__columns_note(tkg__columns *c, int64_t row, int64_t line) {
  if (c->runs && line_in(c, &c->run[c->runs - 1], row) == line) return TKG_OK;
  if (c->runs == c->run_room) {
    size_t room = c->run_room ? 2 * c->run_room : 16;
    tkg__run *run = realloc(c->run, room * sizeof *run);
    if (!run) return no_memory();
    c->run = run;
    c->run_room = room;
  }
  c->run[c->runs++] = (tkg__run){row, line};
  return TKG_OK;
}

int64_t tkg__columns_line(const tkg__columns *c, int64_t row) {
  if (row < 0 || row >= c->rows) return 0;
  size_t low = 0, high = c->runs;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (c->run[middle].row <= row)
      low = middle;
    else
      high = middle;
  }
  return line_in(c, &c->run[low], row);
}

int tkg__give_up(tkg__column *c, const char *why) {
  size_t bytes = strlen(why) + 1;
  c->unread = malloc(bytes);
  if (!c->unread) return no_memory();
  memcpy(c->unread, why, bytes);
  return TKG_OK;
}
