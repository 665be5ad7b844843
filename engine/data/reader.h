/* Reads the lines of a text file that may be plain, gzip (.gz) or xz (.xz).
 *
 * The compression is recognised by the first bytes, not by the name. If `path` does not exist,
 * path.gz and path.xz are tried. Memory is one buffer that grows to the longest line. */
#ifndef TKG_READER_H
#define TKG_READER_H

#include <stddef.h>
#include <stdint.h>

typedef struct tkg__reader tkg__reader;

/* Opens a file; the caller closes *out. TKG_E_FILE if there is no such file. */
int tkg__reader_open(tkg__reader **out, const char *path);

/* Gives the next line without its end (LF, CRLF, or CR if the file's beginning has no LF),
 * zero-terminated in place; the caller may write into its `length` bytes until the next call. At
 * the end of the file *line is NULL and the status TKG_OK. A UTF-8 byte order mark before the first
 * line is dropped. TKG_E_FORMAT for a truncated or damaged stream, a line of more than 1 GiB, or a
 * NUL byte, which means another encoding. */
int tkg__reader_line(tkg__reader *reader, char **line, size_t *length);

/* Appends a line break and the next line to the line returned last, which must not have been
 * written to: *line and *length are then those of both. *more is 0 if there is no next line. */
int tkg__reader_more(tkg__reader *reader, char **line, size_t *length, int *more);

/* The number of the line returned last, from 1. */
int64_t tkg__reader_number(const tkg__reader *reader);

/* The name of the file that was opened, with .gz or .xz if that was found. */
const char *tkg__reader_path(const tkg__reader *reader);

void tkg__reader_close(tkg__reader *reader);

#endif
