/* A line of text to its fields, in place. */
#ifndef TKG_TABLE_SPLIT_H
#define TKG_TABLE_SPLIT_H

#include <stddef.h>

typedef struct tkg__field {
  char *at; /* without quotes, and without the blanks around it */
  size_t length;
  char *whole; /* with those blanks */
  size_t whole_length;
} tkg__field;

/* Splits at each separator and returns how many fields there are, most + 1 for too many. `field`
 * has room for `most` of them. A separator is a byte; one byte twice, as 256 * ':' + ':'; ' ' for
 * runs of spaces and tabs; '<' for the three terms of a line of N-Triples (0 for a comment). The
 * byte after a field is never a digit or a letter of it. With ',' and ';' blanks around a field
 * are no part of it and it may stand in double quotes, which are taken off; -n says that field
 * number n (from 1) has no closing quote, or is no term. */
int tkg__split(tkg__field *field, int most, char *line, size_t length, int separator);

/* Gives field `rest` what `found` fields have over `columns`, with the separators between, or
 * nothing where one is missing. Returns the number of fields, `columns` where that was possible. */
int tkg__split_rest(tkg__field *field, int found, int columns, int rest, int separator);

/* Whether fields may be in quotes with this separator. */
int tkg__split_quotes(int separator);

/* Looking for a quote that is open at the end of a line: begins as zeros. */
typedef struct tkg__quotes {
  size_t at;  /* what comes before has been looked at */
  int open;   /* a field in quotes goes on */
  int loose;  /* a quote inside it is neither doubled nor at its end */
  int broken; /* so was one in a field of several lines */
} tkg__quotes;

/* Looks at what is new of a line: whether it ends inside quotes. */
int tkg__quotes_open(tkg__quotes *quotes, const char *line, size_t length, int separator);

/* The terms of a line of N-Triples: IRIs without <>, the text of literals without language and
 * type, blank nodes as they are. As tkg__split. */
int tkg__split_triple(tkg__field *field, int most, char *line, size_t length);

#endif
