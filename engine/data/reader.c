#include "reader.h"

#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/error.h"

enum { IN_SIZE = TKG__READER_BYTES };

enum kind { PLAIN, GZIP, XZ };

struct tkg__reader {
  char *path;
  FILE *file;
  enum kind kind;
  int inner_open, stream_done; /* decoder open; its stream complete */
  z_stream gzip;
  lzma_stream xz;
  unsigned char *in; /* compressed bytes not yet decoded: in[in_at .. in_end) */
  size_t in_at, in_end;
  double size, read; /* bytes of the file, and how many of them were read */
};

static int bad_stream(const tkg__reader *r, const char *what) {
  return tkg__fail(TKG_E_FORMAT, "%s: %s", r->path, what);
}

/* Opens path, path.gz or path.xz, the first that exists; r->path is then its name. */
static int open_file(tkg__reader *r, const char *path) {
  static const char *const endings[] = {"", ".gz", ".xz"};
  size_t length = strlen(path);
  r->path = malloc(length + 4);
  if (!r->path) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings && !r->file; i++) {
    memcpy(r->path, path, length);
    strcpy(r->path + length, endings[i]);
    r->file = fopen(r->path, "rb");
    if (!r->file && errno != ENOENT)
      return tkg__fail(TKG_E_FILE, "%s: %s", r->path, strerror(errno));
  }
  struct stat found;
  if (r->file && !fstat(fileno(r->file), &found)) r->size = (double)found.st_size;
  if (r->file) return TKG_OK;
  return tkg__fail(TKG_E_FILE, "%s: no such file (nor with .gz or .xz after it)", path);
}

/* Reads bytes of the file into dst; *got is 0 only at its end. */
static int read_bytes(tkg__reader *r, void *dst, size_t size, size_t *got) {
  *got = fread(dst, 1, size, r->file);
  r->read += (double)*got;
  if (*got == 0 && ferror(r->file))
    return tkg__fail(TKG_E_FILE, "%s: cannot be read: %s", r->path, strerror(errno));
  return TKG_OK;
}

static int refill(tkg__reader *r) {
  if (r->in_at < r->in_end) return TKG_OK;
  r->in_at = 0;
  return read_bytes(r, r->in, IN_SIZE, &r->in_end);
}

/* Refuses what begins as a file of another kind does. Its name may be that of a text. */
static int check_text(const tkg__reader *r) {
  static const struct {
    const char *first, *what;
    size_t length;
  } kinds[] = {
      {"PK\3\4", "a zip archive or a workbook, not text: unzip it, or export the sheet as .csv", 4},
      {"BZh91AY", "compressed by bzip2, which is not read: bunzip2 it", 7},
      {"\x28\xB5\x2F\xFD", "compressed by zstd, which is not read: unzstd it", 4},
      {"PAR1\x15", "a Parquet file, not text: export it as .csv", 5},
  };
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    if (r->in_end >= kinds[k].length && !memcmp(r->in, kinds[k].first, kinds[k].length))
      return bad_stream(r, kinds[k].what);
  return TKG_OK;
}

/* Opens the decoder that the first bytes ask for; they stay in r->in. */
static int start(tkg__reader *r) {
  static const unsigned char xz_magic[] = {0xFD, '7', 'z', 'X', 'Z', 0};
  int status = refill(r);
  if (status) return status;
  if (r->in_end >= 2 && r->in[0] == 0x1F && r->in[1] == 0x8B) {
    r->kind = GZIP;
    if (inflateInit2(&r->gzip, 15 + 16) != Z_OK) return bad_stream(r, "out of memory");
  } else if (r->in_end >= sizeof xz_magic && !memcmp(r->in, xz_magic, sizeof xz_magic)) {
    r->kind = XZ;
    r->xz = (lzma_stream)LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&r->xz, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK)
      return bad_stream(r, "out of memory");
  }
  r->inner_open = r->kind != PLAIN;
  return r->inner_open ? TKG_OK : check_text(r);
}

static int fill_plain(tkg__reader *r, char *dst, size_t size, size_t *got) {
  size_t left = r->in_end - r->in_at;
  if (!left) return read_bytes(r, dst, size, got);
  *got = left < size ? left : size;
  memcpy(dst, r->in + r->in_at, *got);
  r->in_at += *got;
  return TKG_OK;
}

/* Skips zero padding after a complete gzip member; *more is 1 if another member follows. */
static int next_member(tkg__reader *r, int *more) {
  *more = 0;
  for (;;) {
    int status = refill(r);
    if (status || r->in_end == 0) return status;
    if (r->in[r->in_at] != 0) break;
    r->in_at++;
  }
  if (r->in[r->in_at] != 0x1F) return bad_stream(r, "bytes that are not gzip follow its end");
  *more = 1;
  r->stream_done = 0;
  return inflateReset(&r->gzip) == Z_OK ? TKG_OK : bad_stream(r, "damaged gzip data");
}

static int fill_gzip(tkg__reader *r, char *dst, size_t size, size_t *got) {
  *got = 0;
  r->gzip.next_out = (Bytef *)dst;
  r->gzip.avail_out = (uInt)size;
  while (r->gzip.avail_out == size) {
    int status = TKG_OK, more = 1;
    if (r->stream_done) status = next_member(r, &more);
    if (status || !more) return status;
    if ((status = refill(r))) return status;
    if (r->in_end == 0) return bad_stream(r, "ends in the middle of its gzip data (truncated?)");
    r->gzip.next_in = r->in + r->in_at;
    r->gzip.avail_in = (uInt)(r->in_end - r->in_at);
    int code = inflate(&r->gzip, Z_NO_FLUSH);
    r->in_at = r->in_end - r->gzip.avail_in;
    if (code == Z_STREAM_END)
      r->stream_done = 1;
    else if (code != Z_OK && code != Z_BUF_ERROR)
      return bad_stream(r, "damaged gzip data");
  }
  *got = size - r->gzip.avail_out;
  return TKG_OK;
}

static int fill_xz(tkg__reader *r, char *dst, size_t size, size_t *got) {
  *got = 0;
  r->xz.next_out = (uint8_t *)dst;
  r->xz.avail_out = size;
  while (r->xz.avail_out == size && !r->stream_done) {
    int status = refill(r);
    if (status) return status;
    r->xz.next_in = r->in + r->in_at;
    r->xz.avail_in = r->in_end - r->in_at;
    lzma_ret code = lzma_code(&r->xz, r->in_end ? LZMA_RUN : LZMA_FINISH);
    r->in_at = r->in_end - r->xz.avail_in;
    if (code == LZMA_STREAM_END)
      r->stream_done = 1;
    else if (code == LZMA_BUF_ERROR)
      return bad_stream(r, "ends in the middle of its xz data (truncated?)");
    else if (code != LZMA_OK)
      return bad_stream(r, "damaged xz data");
  }
  *got = size - r->xz.avail_out;
  return TKG_OK;
}

int tkg__reader_bytes(tkg__reader *r, char *dst, size_t size, size_t *got) {
  return r->kind == GZIP ? fill_gzip(r, dst, size, got)
         : r->kind == XZ ? fill_xz(r, dst, size, got)
                         : fill_plain(r, dst, size, got);
}

int tkg__reader_open(tkg__reader **out, const char *path) {
  *out = NULL;
  tkg__reader *r = calloc(1, sizeof *r);
  if (!r) return tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
  int status = open_file(r, path);
  if (!status) {
    r->in = malloc(IN_SIZE);
    status = r->in ? start(r) : tkg__fail(TKG_E_MEMORY, "%s: out of memory", path);
  }
  if (status)
    tkg__reader_close(r);
  else
    *out = r;
  return status;
}

const char *tkg__reader_path(const tkg__reader *reader) { return reader->path; }

double tkg__reader_share(const tkg__reader *r) { return r->read < r->size ? r->read / r->size : 1; }

void tkg__reader_close(tkg__reader *r) {
  if (!r) return;
  if (r->inner_open && r->kind == GZIP) inflateEnd(&r->gzip);
  if (r->inner_open && r->kind == XZ) lzma_end(&r->xz);
  if (r->file) fclose(r->file);
  free(r->path);
  free(r->in);
  free(r);
}
