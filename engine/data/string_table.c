#include "string_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"

/* A hash table with open addressing over ids; the names' bytes are in one growing block. */
struct tkg_names {
  char *bytes; /* all names, each followed by a NUL */
  size_t used, room;
  size_t *offsets; /* where name i starts; offsets[count] is `used` */
  uint32_t *hashes;
  int32_t count, capacity;
  int32_t *slots; /* 1 + id, 0 where free; slot_count is a power of two */
  size_t slot_count;
};

static int no_memory(void) { return tkg__fail(TKG_E_MEMORY, "out of memory for names"); }

static uint32_t hash_of(const char *name, size_t length) {
  return (uint32_t)tkg_hash_text(name, (int64_t)length);
}

/* Returns the slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const tkg_names *t, const char *name, size_t length, uint32_t hash) {
  size_t mask = t->slot_count - 1, at = hash & mask;
  for (; t->slots[at]; at = (at + 1) & mask) {
    int32_t id = t->slots[at] - 1;
    if (t->hashes[id] != hash || t->offsets[id + 1] - t->offsets[id] - 1 != length) continue;
    if (!memcmp(t->bytes + t->offsets[id], name, length)) break;
  }
  return at;
}

static int grow_slots(tkg_names *t) {
  size_t count = 2 * t->slot_count;
  int32_t *slots = calloc(count, sizeof *slots);
  if (!slots) return no_memory();
  for (int32_t id = 0; id < t->count; id++) {
    size_t at = t->hashes[id] & (count - 1);
    while (slots[at]) at = (at + 1) & (count - 1);
    slots[at] = id + 1;
  }
  free(t->slots);
  t->slots = slots;
  t->slot_count = count;
  return TKG_OK;
}

static int grow_ids(tkg_names *t) {
  if (t->capacity > INT32_MAX / 2) return tkg__fail(TKG_E_RANGE, "more than 2^30 names");
  size_t capacity = 2 * (size_t)t->capacity;
  size_t *offsets = realloc(t->offsets, (capacity + 1) * sizeof *offsets);
  if (!offsets) return no_memory();
  t->offsets = offsets;
  uint32_t *hashes = realloc(t->hashes, capacity * sizeof *hashes);
  if (!hashes) return no_memory();
  t->hashes = hashes;
  t->capacity = (int32_t)capacity;
  return TKG_OK;
}

static int grow_bytes(tkg_names *t, size_t more) {
  size_t room = 2 * t->room + more;
  char *bytes = realloc(t->bytes, room);
  if (!bytes) return no_memory();
  t->bytes = bytes;
  t->room = room;
  return TKG_OK;
}

int tkg_names_new(tkg_names **out) {
  tkg_names *t = *out = calloc(1, sizeof *t);
  if (!t) return no_memory();
  t->capacity = 64;
  t->slot_count = 128;
  t->room = 1024;
  t->bytes = malloc(t->room);
  t->offsets = calloc((size_t)t->capacity + 1, sizeof *t->offsets);
  t->hashes = calloc((size_t)t->capacity, sizeof *t->hashes);
  t->slots = calloc(t->slot_count, sizeof *t->slots);
  if (t->bytes && t->offsets && t->hashes && t->slots) return TKG_OK;
  tkg_names_free(t);
  *out = NULL;
  return no_memory();
}

void tkg_names_free(tkg_names *t) {
  if (!t) return;
  free(t->bytes);
  free(t->offsets);
  free(t->hashes);
  free(t->slots);
  free(t);
}

double tkg_names_count(const tkg_names *t) { return t->count; }

const char *tkg_names_at(const tkg_names *t, int32_t id) {
  return id >= 0 && id < t->count ? t->bytes + t->offsets[id] : NULL;
}

int32_t tkg_names_find(const tkg_names *t, const char *name, size_t length) {
  return t->slots[slot_of(t, name, length, hash_of(name, length))] - 1;
}

int tkg_names_add(tkg_names *t, const char *name, size_t length, int32_t *id) {
  uint32_t hash = hash_of(name, length);
  size_t at = slot_of(t, name, length, hash);
  *id = t->slots[at] - 1;
  if (*id >= 0) return TKG_OK;
  int status = TKG_OK;
  if (t->count == t->capacity) status = grow_ids(t);
  if (!status && t->room - t->used < length + 1) status = grow_bytes(t, length + 1);
  if (!status && 2 * ((size_t)t->count + 1) > t->slot_count) {
    status = grow_slots(t);
    at = slot_of(t, name, length, hash);
  }
  if (status) return status;
  memcpy(t->bytes + t->used, name, length);
  t->bytes[t->used + length] = '\0';
  t->used += length + 1;
  t->hashes[t->count] = hash;
  t->slots[at] = t->count + 1;
  *id = t->count++;
  t->offsets[t->count] = t->used;
  return TKG_OK;
}
