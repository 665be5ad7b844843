#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tinykg.h"

static _Thread_local char message[1024] = "no error";

void tkg__say(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
}

int tkg__fail_at(int code, const char *format, ...) {
  char prefix[512], rest[sizeof message];
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  memcpy(rest, message, sizeof rest);
  snprintf(message, sizeof message, "%s: %.*s", prefix, (int)(sizeof message - sizeof prefix - 2),
           rest);
  return code;
}

const char *tkg_error(void) { return message; }

/* The list of the header, which Lua reads too, and errors.def are in step. */
#define X(name, text) LISTED_##name,
enum {
  LISTED_OK,
#include "errors.def"
  LISTED_COUNT
};
#undef X
#define X(name, text)                                                                              \
  _Static_assert((int)TKG_E_##name == (int)LISTED_##name, "tkg_status and errors.def differ");
#include "errors.def"
#undef X
_Static_assert(TKG_E_RANKS + 1 == LISTED_COUNT, "tkg_status and errors.def differ");

const char *tkg_status_text(int code) {
#define X(name, text) text,
  static const char *const texts[] = {
      "success",
#include "errors.def"
  };
#undef X
  int n = (int)(sizeof texts / sizeof *texts);
  return code >= 0 && code < n ? texts[code] : "unknown status";
}
