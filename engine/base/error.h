/* Errors: functions return a tkg_status; the message is kept per thread. */
#ifndef TKG_ERROR_H
#define TKG_ERROR_H

#include "tinykg.h"

#if defined(__GNUC__)
#define TKG__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TKG__PRINTF(fmt, args)
#endif

/* Sets the message of the calling thread, cut to 1,023 bytes. */
void tkg__say(const char *format, ...) TKG__PRINTF(1, 2);

/* Sets the message and has the value `code`, so that a check reads
 *   return tkg__fail(TKG_E_SHAPE, "matmul: %s and %s do not fit", a, b);
 * It is a macro so that compilers and checkers see which code is returned. */
#define tkg__fail(code, ...) (tkg__say(__VA_ARGS__), (code))

/* Begins a public function: if the condition is false, sets a message and returns the value given,
 * TKG_E_ARGUMENT where that is a status, nothing for a void function. */
#define TKG__NEEDS(object, ...)                                                                    \
  do {                                                                                             \
    if (!(object)) {                                                                               \
      tkg__say("%s needs %s: it was given NULL", __func__, #object);                               \
      return __VA_ARGS__;                                                                          \
    }                                                                                              \
  } while (0)

/* Puts "prefix: " before the current message, for a caller that knows the file or the line; returns
 * `code`. */
int tkg__fail_at(int code, const char *format, ...) TKG__PRINTF(2, 3);

#endif
