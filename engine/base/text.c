#include "text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

void tkg__text_add(tkg_text *text, const char *format, ...) {
  bool fits = text->memory && text->length < text->size;
  va_list args;
  va_start(args, format);
  text->length += vsnprintf(fits ? text->memory + text->length : NULL,
                            fits ? (size_t)(text->size - text->length) : 0, format, args);
  va_end(args);
}
