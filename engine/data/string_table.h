/* A dictionary of names: ids 0, 1, 2, ... in the order of their first appearance. */
#ifndef TKG_STRING_TABLE_H
#define TKG_STRING_TABLE_H

#include <stddef.h>
#include <stdint.h>

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
/* Gives the id of a name, and adds the name if it is new. TKG_E_RANGE from 2^30 names on. */
int tkg_names_add(tkg_names *names, const char *name, size_t length, int32_t *id);
/* ffi:end */

/* A name to be added, and its id. */
typedef struct tkg__name {
  const char *text;
  size_t length;
  uint32_t hash; /* by tkg__name_hash */
  int32_t id;
} tkg__name;

uint32_t tkg__name_hash(const char *name, size_t length);

/* Adds names in the order of a list, as tkg_names_add does one, and sets their ids. */
int tkg__names_add(tkg_names *names, tkg__name *list, size_t n);

#ifdef __cplusplus
}
#endif

#endif
