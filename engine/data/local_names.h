/* The names of a block of text, numbered by first appearance in it. They are added to their
 * dictionary when the blocks before have been. */
#ifndef TKG_LOCAL_NAMES_H
#define TKG_LOCAL_NAMES_H

#include "string_table.h"

typedef struct tkg__local_names {
  tkg_names *dictionary;
  tkg__name *list; /* texts are those of the block */
  int32_t count, room;
  uint64_t *slots; /* 0 where free; slot_count is a power of two */
  size_t slot_count;
} tkg__local_names;

/* Makes an empty list; the caller frees it. TKG_E_MEMORY. */
int tkg__local_new(tkg__local_names *names, tkg_names *dictionary);
void tkg__local_free(tkg__local_names *names);
void tkg__local_clear(tkg__local_names *names);

/* Gives the number of a name, whose text must stay where it is. TKG_E_MEMORY. */
int tkg__local_add(tkg__local_names *names, const char *text, size_t length, int32_t *number);

#endif
