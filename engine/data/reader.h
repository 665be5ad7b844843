/* Lines of a text file that may be plain, gzip (.gz) or xz (.xz).
 *
 * The compression is recognised by the first bytes, never by the name. Where `path` does not exist,
 * path.gz and path.xz are tried. Memory is one buffer that grows to the longest line. */
#ifndef TKG_READER_H
#define TKG_READER_H

#include <stddef.h>
#include <stdint.h>

typedef struct tkg__reader tkg__reader;

/* Opens a file; the caller owns *out and closes it. TKG_E_FILE when there is no such file. */
int tkg__reader_open(tkg__reader **out, const char *path);

/* The next line without its end (LF, CRLF, or CR where the file's beginning has no LF),
 * NUL-terminated in place: the caller may write into its `length` bytes until the next call. At the
 * end of the file *line is NULL and the status TKG_OK. A truncated or damaged stream is
 * TKG_E_FORMAT. A UTF-8 byte order mark before the first line is dropped; a NUL byte inside a line
 * is an error, since it means another encoding. */
int tkg__reader_line(tkg__reader *reader, char **line, size_t *length);

/* Puts the next line, and the line break before it, behind the line returned last, which has not
 * been written to: *line and *length are then those of both. *more is 0 where there is none. */
int tkg__reader_more(tkg__reader *reader, char **line, size_t *length, int *more);

/* The number of the line returned last, from 1. */
int64_t tkg__reader_number(const tkg__reader *reader);

/* The name of the file really opened: with .gz or .xz where that was found. */
const char *tkg__reader_path(const tkg__reader *reader);

void tkg__reader_close(tkg__reader *reader);

#endif
