#include "local_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int no_memory(void) { return tkg__fail(TKG_E_MEMORY, "out of memory for names"); }

int tkg__local_new(tkg__local_names *t, tkg_names *dictionary) {
  *t = (tkg__local_names){.dictionary = dictionary, .slot_count = 128};
  t->slots = calloc(t->slot_count, sizeof *t->slots);
  return t->slots ? TKG_OK : no_memory();
}

void tkg__local_free(tkg__local_names *t) {
  free(t->list);
  free(t->slots);
}

void tkg__local_clear(tkg__local_names *t) {
  t->count = 0;
  memset(t->slots, 0, t->slot_count * sizeof *t->slots);
}

/* A slot has the upper half of the hash, whose lower half says where it is, and 1 + the number. */
static uint64_t slot_for(uint64_t hash, int32_t number) {
  return (hash & ~(uint64_t)UINT32_MAX) | (uint32_t)(number + 1);
}

static int grow(tkg__local_names *t) {
  int32_t room = t->room ? 2 * t->room : 64;
  tkg__name *list = realloc(t->list, (size_t)room * sizeof *list);
  if (!list) return no_memory();
  t->list = list;
  t->room = room;
  size_t count = 2 * (size_t)room, mask = count - 1;
  uint64_t *slots = calloc(count, sizeof *slots);
  if (!slots) return no_memory();
  for (int32_t i = 0; i < t->count; i++) {
    size_t at = list[i].hash & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = slot_for(list[i].hash, i);
  }
  free(t->slots);
  t->slots = slots;
  t->slot_count = count;
  return TKG_OK;
}

int tkg__local_add(tkg__local_names *t, const char *text, size_t length, int32_t *number) {
  int status = t->count == t->room ? grow(t) : TKG_OK;
  if (status) return status;
  uint64_t hash = tkg__name_hash(text, length);
  size_t mask = t->slot_count - 1, at = hash & mask;
  for (; t->slots[at]; at = (at + 1) & mask) {
    if ((t->slots[at] ^ hash) >> 32) continue;
    *number = (int32_t)(uint32_t)t->slots[at] - 1;
    const tkg__name *known = &t->list[*number];
    if (known->length == length && tkg__same_name(known->text, text, length)) return TKG_OK;
  }
  *number = t->count++;
  t->list[*number] = (tkg__name){text, hash, (uint32_t)length, -1};
  t->slots[at] = slot_for(hash, *number);
  return TKG_OK;
}
