/* Converts the text of a field to a number or a time. */
#ifndef TKG_TABLE_VALUE_H
#define TKG_TABLE_VALUE_H

#include <stddef.h>

/* Each function returns 1, or 0 if the text is something else. The byte after the text is written
 * to and restored. Numbers are read in the thread's locale, which tkg_table_read sets. */

/* A finite decimal number. */
int tkg__to_number(char *text, size_t length, double *out);

/* The same with a decimal comma, as spreadsheets write numbers in many languages. */
int tkg__to_comma_number(char *text, size_t length, double *out);

/* A number, or a date of ISO 8601 in seconds since 1970 UTC: 2024-01-31, with or without a time
 * (10:00, 10:00:00.5) after T or a blank, and a zone (Z, +01:00, -0530; none is UTC). */
int tkg__to_time(char *text, size_t length, double *out);

#endif
