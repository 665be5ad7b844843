/* Reads delimited text into typed columns. Several threads parse blocks of lines; the result does
 * not depend on how many. */
#ifndef TKG_TABLE_H
#define TKG_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "string_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
typedef struct tkg_table tkg_table;

/* Copies line `number` (from 1) of a file into `buffer`, zero-terminated and cut to size - 1 bytes.
 * *found is 1; or 0, with an empty text, if the file has fewer lines. */
int tkg_file_line(const char *path, int64_t number, char *buffer, size_t size, int *found);

/* Reads a file (plain, gzip or xz) with one row per line. `kinds` has one letter per column:
 *   i  an id: a non-negative integer below 2147483647
 *   f  a finite number, as double; with ';' as separator its point may be a comma
 *   t  a time, as seconds since 1970 UTC: a number, or a date of ISO 8601
 *   F T  as f and t, but the column is given up at the first other value: see tkg_table_unread
 *   s  a name, which becomes its id in names[column]; must not be empty
 *   e  as s, but may be empty
 *   S  as e, but takes the rest of the line that the other columns leave, separators included; one
 *      column at most
 *   -  skipped
 * separator: '\t' ',' ';' or another byte; 256 * ':' + ':' for that byte twice; ' ' for any run of
 * spaces and tabs; '<' for lines of N-Triples, whose three columns are IRIs without <>, the text of
 * literals, and blank nodes. With ',' and ';' blanks around a field are not part of it, and a field
 * may be in double quotes, with line breaks in it (RFC 4180); its row's line is the first one. The
 * first `skip` lines are ignored, and so are blank ones. Numbers are read as in the C locale.
 * names has one entry per column, NULL for columns without names; or it is NULL if there are none.
 * The caller owns *out. Fails with TKG_E_FILE, TKG_E_FORMAT, TKG_E_RANGE or TKG_E_MEMORY and names
 * the file, the line, what is wrong and what was expected; TKG_E_ARGUMENT for wrong kinds. */
int tkg_table_read(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names);

/* Reads lines `row id id ...` of ids into two columns, row and id, with one row of the table per
 * id. A line with a row and no id adds nothing, but counts in tkg_table_extent(table, 0). */
int tkg_table_read_ragged(tkg_table **out, const char *path);

/* The same in parts, so that the caller can show how far it is: open, then `more` until *more is 0.
 * The names must live as long. If `more` fails the table may only be freed. */
int tkg_table_open(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names);
int tkg_table_open_ragged(tkg_table **out, const char *path);
int tkg_table_more(tkg_table *table, int *more);
/* The share of the file that was read, 0 to 1. */
double tkg_table_share(const tkg_table *table);

void tkg_table_free(tkg_table *table);
double tkg_table_rows(const tkg_table *table);
/* One more than the largest id in a column of ids or names; 0 if it has none. */
double tkg_table_extent(const tkg_table *table, int column);
/* The values of a column, owned by the table; NULL if it has another type, was given up or taken.
 */
int32_t *tkg_table_ids(tkg_table *table, int column);
double *tkg_table_numbers(tkg_table *table, int column);
/* Takes the values of a column out of the table, which has none there afterwards: the caller calls
 * free() with them. NULL without rows, and where there are none. */
void *tkg_table_take(tkg_table *table, int column);
/* Why a column of kind F or T was given up: the message for its first value that is no number or
 * time. NULL if it was read. Owned by the table. */
const char *tkg_table_unread(const tkg_table *table, int column);
/* The line of the file that a row came from, from 1; 0 if there is no such row. */
double tkg_table_line(const tkg_table *table, int64_t row);
/* The file that was read: path, path.gz or path.xz. Owned by the table. */
const char *tkg_table_path(const tkg_table *table);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
