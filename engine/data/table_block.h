/* Parses a block of lines into columns. */
#ifndef TKG_TABLE_BLOCK_H
#define TKG_TABLE_BLOCK_H

#include <locale.h>

#include "local_names.h"
#include "table_columns.h"
#include "table_split.h"
#include "text_blocks.h"

/* What the lines of a file are, and what is wanted of them: the arguments of tkg_table_read. */
typedef struct tkg__format {
  const char *path, *kinds;
  int ragged; /* lines `row id id ...`; else what follows counts */
  int separator, columns;
  int most;   /* fields that a line may have */
  int rest;   /* the column of kind S, or -1 */
  int digits; /* every column that is read has numbers, and lines no quotes */
  int64_t skip;
  locale_t locale; /* where numbers have a point */
  tkg_names *const *names;
} tkg__format;

/* A parsed block. Ids of names are those of `list`, until the names are in their dictionaries. */
typedef struct tkg__parsed {
  const tkg__format *format;
  tkg__columns columns;
  tkg__local_names *list; /* one per dictionary */
  int *list_of;           /* the place in `list` of each column */
  int lists;
  tkg__field *field;
  int64_t line; /* of the record that is being parsed */
  int status;   /* of the parsing, with its message */
  char message[1024];
} tkg__parsed;

/* Makes room to parse blocks one after the other; the caller frees it, on failure too. */
int tkg__parsed_new(tkg__parsed *parsed, const tkg__format *format);
void tkg__parsed_free(tkg__parsed *parsed);

/* Removes what was parsed before. Columns of kind F and T that `known` has given up are not read.
 * TKG_E_MEMORY. */
int tkg__parsed_begin(tkg__parsed *parsed, const tkg__columns *known);

/* Parses lines, which it changes and which must stay until their names have been added; then sets
 * the status. Any thread may call this. */
void tkg__parse_block(tkg__parsed *parsed, tkg__lines lines);

#endif
