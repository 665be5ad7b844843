/* Checksums of files and of data sets. */
#ifndef TKG_CHECKSUM_H
#define TKG_CHECKSUM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* Returns the CRC-32 (of zlib, gzip and PNG) of some bytes with the checksum `before`, followed by
 * these n; `before` is 0 at the beginning. */
double tkg_crc32(double before, const void *data, int64_t n);

/* Returns a hash of 64 bits of n bytes, the same on every machine. */
uint64_t tkg_hash_text(const char *text, int64_t n);

/* Returns a checksum of 64 bits of n bytes, at the speed of memory. Bytes that differ in one word
 * of 8 never have the same; it is that of this machine's byte order. */
uint64_t tkg_checksum(const void *data, int64_t n);

/* Adds to *sum one hash per row, of hashes[c][ids[c][row]] in the order of the columns c and of
 * values[row], if values is not NULL. The sum does not depend on the order of the rows. */
void tkg_hash_rows(int64_t n, int columns, const uint64_t *const *hashes, const int32_t *const *ids,
                   const float *values, uint64_t *sum);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
