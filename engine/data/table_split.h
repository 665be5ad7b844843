/* Splits a line of text into its fields, in place. */
#ifndef TKG_TABLE_SPLIT_H
#define TKG_TABLE_SPLIT_H

#include <stddef.h>

typedef struct tkg__field {
  char *at; /* without quotes, and without the blanks around it */
  size_t length;
  char *whole; /* the same with those blanks */
  size_t whole_length;
} tkg__field;

/* Splits a line into at most `most` fields. A separator is a byte; 256 * ':' + ':' for that byte
 * twice; ' ' for runs of spaces and tabs; '<' for the three terms of a line of N-Triples. The byte
 * after a field is never a digit or a letter. With ',' and ';' blanks around a field are not part
 * of it, and double quotes around it are removed. Returns the number of fields, 0 for a comment in
 * N-Triples, most + 1 for too many, or -n if field number n (from 1) has no closing quote or is no
 * term. */
int tkg__split(tkg__field *field, int most, char *line, size_t length, int separator);

/* Makes `columns` fields of `found` ones: field `rest` takes the surplus, with the separators
 * between, or is empty if one is missing. Returns the number of fields, which is `found` if more
 * than one is missing. */
int tkg__split_rest(tkg__field *field, int found, int columns, int rest, int separator);

/* Blanks are spaces and tabs. */
static inline int tkg__is_blank(char c) { return c == ' ' || c == '\t'; }

/* Whether fields may be in quotes with this separator. */
int tkg__split_quotes(int separator);

#endif
