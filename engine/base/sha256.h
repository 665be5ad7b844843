/* SHA-256 (FIPS 180-4), to tell whether a file has changed. */
#ifndef TKG_SHA256_H
#define TKG_SHA256_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
/* Writes the SHA-256 of n bytes as 64 lower-case hexadecimal digits and a final zero. */
void tkg_sha256(const void *bytes, size_t n, char digits[65]);
/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
