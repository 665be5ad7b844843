/* Columns of ids and numbers that grow row by row, and the lines that the rows came from. */
#ifndef TKG_TABLE_COLUMNS_H
#define TKG_TABLE_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

typedef struct tkg__column {
  char kind; /* a letter of tkg_table_read */
  union {
    void *values; /* NULL of kind '-' */
    int32_t *ids;
    double *numbers; /* of kinds f F t T */
  };
  int64_t extent; /* one more than the largest id */
  char *unread;   /* why a column of kind F or T was given up, or NULL */
} tkg__column;

/* Rows from `row` on: the first is of line `line`. */
typedef struct tkg__run {
  int64_t row, line;
} tkg__run;

typedef struct tkg__columns {
  int count;
  tkg__column *column;
  int64_t rows, room;
  int per_line; /* a row has a line of its own, or a line many rows */
  tkg__run *run;
  size_t runs, run_room;
} tkg__columns;

/* Makes columns without rows. The caller frees them, on failure too: TKG_E_MEMORY. */
int tkg__columns_new(tkg__columns *columns, const char *kinds, int per_line);
void tkg__columns_free(tkg__columns *columns);

/* Removes the rows, and keeps the memory. */
void tkg__columns_clear(tkg__columns *columns);

/* Makes room for so many rows in all. TKG_E_MEMORY. */
int tkg__columns_reserve(tkg__columns *columns, int64_t rows);

/* Notes that the rows from the next one on are of this line and, with per_line, those after it.
 * TKG_E_MEMORY. */
int tkg__columns_note(tkg__columns *columns, int64_t row, int64_t line);

/* The line of a row; 0 if there is none. */
int64_t tkg__columns_line(const tkg__columns *columns, int64_t row);

/* Whether a column has numbers rather than ids. */
int tkg__has_numbers(const tkg__column *column);

/* Keeps a text as the reason for which a column was given up. TKG_E_MEMORY. */
int tkg__give_up(tkg__column *column, const char *why);

#endif
