/* Text that is put together piece by piece in memory of a given size. */
#ifndef TKG_TEXT_H
#define TKG_TEXT_H

#include <stdint.h>

#include "error.h"

typedef struct tkg_text {
  char *memory;   /* zero-terminated after the first piece; NULL: lengths are only counted */
  int64_t size;   /* bytes of the memory */
  int64_t length; /* of the whole text, also of what did not fit */
} tkg_text;

/* Appends a piece, as printf has it; what does not fit is left out. */
void tkg__text_add(tkg_text *text, const char *format, ...) TKG__PRINTF(2, 3);

#endif
