/* Delimited text to typed columns, and the dictionaries that turn names into dense ids. */
#ifndef TKG_TABLE_H
#define TKG_TABLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
typedef struct tkg_names tkg_names;
typedef struct tkg_table tkg_table;

/* A dictionary: names to ids 0, 1, 2, ... in the order of first appearance. The caller owns it and
 * may share it between columns, tables and files. */
int tkg_names_new(tkg_names **out);
void tkg_names_free(tkg_names *names);
double tkg_names_count(const tkg_names *names);
/* NUL-terminated, valid until the next name is added; NULL where id is out of range. */
const char *tkg_names_at(const tkg_names *names, int32_t id);
/* The id of a name, -1 where it is unknown. */
int32_t tkg_names_find(const tkg_names *names, const char *name, size_t length);
/* The id of a name, which is added where it is new. */
int tkg_names_add(tkg_names *names, const char *name, size_t length, int32_t *id);

/* Copies line `number` (from 1) of a file, NUL-terminated and cut at size - 1 bytes. An empty
 * string where the file has fewer lines. *found is then 0, else 1. */
int tkg_file_line(const char *path, int64_t number, char *buffer, size_t size, int *found);

/* Reads a file (plain, gzip or xz) whose lines hold one field a column. `kinds` has one letter a
 * column:
 *   i  an id: a non-negative integer below 2147483647
 *   f  a finite number, kept as double; with ';' its point may be a comma
 *   t  a time: a number, or a date of ISO 8601, kept as seconds since 1970 UTC
 *   F T  the same as f and t, but a column with anything else in it is given up: see
 *        tkg_table_unread
 *   s  a name, which becomes its id in names[column]; may not be empty
 *   e  the same, but may be empty
 *   S  the same as e, but takes what the other columns leave, separators included
 *   -  skipped
 * separator: '\t' ',' ';' and the like; one byte twice, as 256 * ':' + ':'; ' ' for any run of
 * spaces and tabs; '<' for lines of N-Triples, whose three columns are IRIs without <>, the text of
 * literals, and blank nodes. With ',' and ';' blanks around a field are no part of it, and a field
 * may be in double quotes, with line breaks in it (RFC 4180): a row is then where it begins. The
 * first `skip` lines are ignored, and so are blank ones.
 * names has one entry a column (NULL but for s and S), or is NULL where no column has names.
 * The caller owns *out. Errors name the file, the line, what is wrong and what was expected. */
int tkg_table_read(tkg_table **out, const char *path, const char *kinds, int separator,
                   int64_t skip, tkg_names *const *names);

/* Reads lines `row id id ...` of ids into two columns: the row repeated, and the id. A line may
 * have a row and no id: it counts for tkg_table_extent(table, 0). */
int tkg_table_read_ragged(tkg_table **out, const char *path);

void tkg_table_free(tkg_table *table);
double tkg_table_rows(const tkg_table *table);
/* One more than the largest id in a column of ids or names; 0 where it has none. */
double tkg_table_extent(const tkg_table *table, int column);
/* The column's values, owned by the table; NULL where the column has another type, or was given
 * up. */
int32_t *tkg_table_ids(tkg_table *table, int column);
double *tkg_table_numbers(tkg_table *table, int column);
/* Why a column of kind F or T was given up: the message of its first value that is neither a number
 * nor a time. NULL where it was read. */
const char *tkg_table_unread(const tkg_table *table, int column);
/* The line of the file that a row came from, for messages. */
double tkg_table_line(const tkg_table *table, int64_t row);
/* The file really read (path, path.gz or path.xz). */
const char *tkg_table_path(const tkg_table *table);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
