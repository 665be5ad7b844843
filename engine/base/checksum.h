/* Checksums of files and of data sets. */
#ifndef TKG_CHECKSUM_H
#define TKG_CHECKSUM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* CRC-32 (as zlib, gzip and PNG have it) of n bytes behind those whose checksum `before` is; 0
 * begins. */
double tkg_crc32(double before, const void *data, int64_t n);

/* Hashes of 64 bits, the same on every machine. */
uint64_t tkg_hash_text(const char *text, int64_t n);

/* Adds to *sum a hash per row: of hashes[c][ids[c][row]] for each of the columns, in their order,
 * and of values[row] where there are values. A sum does not depend on the order of the rows. */
void tkg_hash_rows(int64_t n, int columns, const uint64_t *const *hashes, const int32_t *const *ids,
                   const float *values, uint64_t *sum);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
