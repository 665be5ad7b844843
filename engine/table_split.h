/* A line of text to its fields, in place. */
#ifndef TKG_TABLE_SPLIT_H
#define TKG_TABLE_SPLIT_H

#include <stddef.h>

enum { TKG__MAX_FIELDS = 64 };

typedef struct tkg__field {
  char *at;
  size_t length;
} tkg__field;

/* Splits at each separator (' ': at runs of spaces and tabs) and returns how many fields there are,
 * TKG__MAX_FIELDS + 1 for too many. The byte after a field is never a digit or a letter of it. With
 * ',' and ';' a field may stand in double quotes, which are taken off; -n says that field number n
 * (from 1) has no closing quote. */
int tkg__split(tkg__field field[TKG__MAX_FIELDS], char *line, size_t length, char separator);

/* Gives field `rest` what `found` fields have over `columns`, with the separators between, or
 * nothing where one is missing. Returns the number of fields, `columns` where that was possible. */
int tkg__split_rest(tkg__field *field, int found, int columns, int rest);

#endif
