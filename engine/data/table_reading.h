/* Reads a file into columns by several threads: while blocks of lines are parsed, the next ones are
 * read and decoded, and the rows of those before are added. */
#ifndef TKG_TABLE_READING_H
#define TKG_TABLE_READING_H

#include "table_block.h"

typedef struct tkg__reading tkg__reading;

/* Opens the file of a format, of which path, kinds, ragged, separator, rest, skip and names are set
 * and copied. The caller frees *out, also on failure. */
int tkg__reading_open(tkg__reading **out, const tkg__format *format);

/* Goes on: adds rows to columns, which must be those of this format. *more is 0 when all are
 * there. The message for a bad line is that of the first one. */
int tkg__reading_step(tkg__reading *reading, tkg__columns *columns, int *more);

/* The file that is read, and the share of it that was. */
const char *tkg__reading_path(const tkg__reading *reading);
double tkg__reading_share(const tkg__reading *reading);

void tkg__reading_free(tkg__reading *reading);

#endif
