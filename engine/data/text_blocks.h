/* Cuts the text of a file into blocks of whole lines, which threads can parse side by side. */
#ifndef TKG_TEXT_BLOCKS_H
#define TKG_TEXT_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "reader.h"

/* Lines of text: whole ones, and whole records where quotes may hold line breaks. */
typedef struct tkg__lines {
  char *at, *end;
  int64_t number; /* of the line at `at`, from 1 */
  char newline;   /* what ends a line: LF, or CR if the file's beginning has no LF */
} tkg__lines;

/* Text that was read at once, in `count` blocks. Zeros at the beginning; read again and again. */
typedef struct tkg__blocks {
  tkg__lines *block;
  int count;
  char *text;
  size_t filled, room; /* one byte of room is spare, for a NUL */
} tkg__blocks;

typedef struct tkg__text tkg__text;

/* Opens a file to be read in up to `most` blocks of about `size` bytes at a time. With a separator
 * that allows quotes (table_split.h) records are not cut either, but for the first `skip` lines. */
int tkg__text_open(tkg__text **out, const char *path, int most, size_t size, int separator,
                   int64_t skip);

/* Reads the next blocks; their count is 0 at the end of the file. A UTF-8 byte order mark is
 * dropped. The blocks read before must not be freed nor read into yet, as their last bytes may be
 * the beginning of these. TKG_E_FORMAT for a damaged stream, after the lines before the damage, or
 * for a line of more than 1 GiB. */
int tkg__text_next(tkg__text *text, tkg__blocks *blocks);

/* Takes the next line off a block: its first byte, NULL if there is none. *stop is its end, where
 * LF, CRLF, CR or the file's end follows. The text is not changed. */
char *tkg__next_line(tkg__lines *lines, char **stop);

/* Sets the message for line `number`, which has a NUL byte, and returns TKG_E_FORMAT. */
int tkg__nul_byte(const char *path, int64_t number);

/* How many line ends there are in text. */
int64_t tkg__count_lines(const char *at, const char *end, char newline);

/* The name of the file that was opened, and the share of it that was read. */
const char *tkg__text_path(const tkg__text *text);
double tkg__text_share(const tkg__text *text);

void tkg__blocks_free(tkg__blocks *blocks);
void tkg__text_close(tkg__text *text);

#endif
