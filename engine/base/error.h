/* Errors: a status code returned, a message kept per thread. See errors.def for the codes. */
#ifndef TKG_ERROR_H
#define TKG_ERROR_H

#if defined(__GNUC__)
#define TKG__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TKG__PRINTF(fmt, args)
#endif

#define X(name, text) TKG_E_##name,
enum tkg_status {
  TKG_OK = 0,
#include "errors.def"
};
#undef X

/* Records the message of the calling thread; truncated at 1,023 bytes. */
void tkg__say(const char *format, ...) TKG__PRINTF(1, 2);

/* Records a message and is the status `code`, so that a check reads
 *   return tkg__fail(TKG_E_SHAPE, "matmul: %s and %s do not fit", a, b);
 * A macro, so that compilers and checkers see which code comes back. */
#define tkg__fail(code, ...) (tkg__say(__VA_ARGS__), (code))

/* What a public function begins with: a NULL where an object must be leaves a message and returns
 * the value given, TKG_E_ARGUMENT where that is a status and nothing where there is no result. */
#define TKG__NEEDS(object, ...)                                                                    \
  do {                                                                                             \
    if (!(object)) {                                                                               \
      tkg__say("%s needs %s: it was given NULL", __func__, #object);                               \
      return __VA_ARGS__;                                                                          \
    }                                                                                              \
  } while (0)

/* Puts "prefix: " before the current message (a caller that knows the file or the line). */
int tkg__fail_at(int code, const char *format, ...) TKG__PRINTF(2, 3);

#endif
