/* Records of several lines: a quoted field may have line breaks in it (RFC 4180). */
#ifndef TKG_TABLE_RECORD_H
#define TKG_TABLE_RECORD_H

#include "text_blocks.h"

/* Extends a record whose first line was taken off `lines` and ends at `stop`, while a quoted field
 * of it continues. Returns the record's end. If the field is not closed properly, the record stays
 * one line, for splitting to report; *open is then 1 if more text could close it, else 0. */
char *tkg__whole_record(tkg__lines *lines, char *line, char *stop, int separator, int *open);

/* Returns the separator or the end that follows a closing quote; NULL if the quote closes no field,
 * which the files of BookCrossing need. */
const char *tkg__after_quote(const char *quote, const char *end, char separator);

#endif
