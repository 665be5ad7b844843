/* What the fuzz targets share: an input as a file, and conditions that must hold. */
#ifndef TKG_FUZZ_INPUT_H
#define TKG_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* Puts `size` bytes into a file in memory and returns its path. The next call replaces them. */
const char *input_file(const uint8_t *bytes, size_t size);

/* Ends the process, so that the fuzzer keeps the input, unless `condition` holds. */
void must(int condition, const char *what);

#endif
