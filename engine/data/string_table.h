/* A dictionary of names: ids 0, 1, 2, ... in the order of their first appearance. */
#ifndef TKG_STRING_TABLE_H
#define TKG_STRING_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */
typedef struct tkg_names tkg_names;

/* Creates an empty dictionary. The caller owns it and may share it between columns and files. */
int tkg_names_new(tkg_names **out);
void tkg_names_free(tkg_names *names);
double tkg_names_count(const tkg_names *names);
/* The name of an id, zero-terminated and valid until the next name is added; NULL outside. */
const char *tkg_names_at(const tkg_names *names, int32_t id);
/* The id of a name of `length` bytes, -1 if it is unknown. */
int32_t tkg_names_find(const tkg_names *names, const char *name, size_t length);
/* Gives the id of a name, and adds the name if it is new. TKG_E_RANGE from 2^30 names on,
 * and for a name of 2^32 bytes. */
int tkg_names_add(tkg_names *names, const char *name, size_t length, int32_t *id);

/* The memory of a dictionary in TKG_NAMES_PARTS parts, to be stored: their first bytes, and how
 * many bytes each has. */
enum { TKG_NAMES_PARTS = 3 };
void tkg_names_parts(const tkg_names *names, const void *parts[TKG_NAMES_PARTS],
                     int64_t bytes[TKG_NAMES_PARTS]);
/* Makes a dictionary of such parts of one with `count` names. The parts stay the caller's and must
 * live as long; names cannot be added: TKG_E_ARGUMENT. */
int tkg_names_of_parts(tkg_names **out, void *const parts[TKG_NAMES_PARTS],
                       const int64_t bytes[TKG_NAMES_PARTS], int32_t count);
/* ffi:end */

/* A name to be added, and its id. */
typedef struct tkg__name {
  const char *text;
  uint64_t hash; /* by tkg__name_hash */
  uint32_t length;
  int32_t id;
} tkg__name;

uint64_t tkg__name_hash(const char *name, size_t length);

/* Whether two names of one length are equal: for short ones faster than a call of memcmp. */
static inline int tkg__same_name(const char *a, const char *b, size_t length) {
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t x, y;
    memcpy(&x, a + at, 8);
    memcpy(&y, b + at, 8);
    if (x != y) return 0;
  }
  for (; at < length; at++)
    if (a[at] != b[at]) return 0;
  return 1;
}

/* Adds names in the order of a list, as tkg_names_add does one, and sets their ids. */
int tkg__names_add(tkg_names *names, tkg__name *list, size_t n);

#ifdef __cplusplus
}
#endif

#endif
