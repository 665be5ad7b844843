/* Reads the bytes of a text file that may be plain, gzip (.gz) or xz (.xz).
 *
 * The compression is recognised by the first bytes, not by the name. If `path` does not exist,
 * path.gz and path.xz are tried. */
#ifndef TKG_READER_H
#define TKG_READER_H

#include <stddef.h>

/* Bytes of a read; fuzz targets set few, so that short inputs take several. */
#ifndef TKG__READER_BYTES
#define TKG__READER_BYTES (1 << 16)
#endif

typedef struct tkg__reader tkg__reader;

/* Opens a file; the caller closes *out. TKG_E_FILE if there is no such file. */
int tkg__reader_open(tkg__reader **out, const char *path);

/* Writes up to `size` decoded bytes to dst; *got is 0 only at the end of the file. TKG_E_FORMAT for
 * a truncated or damaged stream. */
int tkg__reader_bytes(tkg__reader *reader, char *dst, size_t size, size_t *got);

/* The name of the file that was opened, with .gz or .xz if that was found. */
const char *tkg__reader_path(const tkg__reader *reader);

/* The share of the file that was read, 0 to 1. */
double tkg__reader_share(const tkg__reader *reader);

void tkg__reader_close(tkg__reader *reader);

#endif
