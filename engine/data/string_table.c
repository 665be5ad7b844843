#include "string_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* A hash table with open addressing over ids; the names' bytes are in one growing block. A slot
 * has the hash and 1 + id, and is 0 where free; slot_count is a power of two. */
struct tkg_names {
  char *bytes; /* all names, each followed by a NUL */
  size_t used, room;
  size_t *offsets; /* where name i starts; offsets[count] is `used` */
  int32_t count, capacity;
  uint64_t *slots;
  size_t slot_count;
};

static int no_memory(void) { return tkg__fail(TKG_E_MEMORY, "out of memory for names"); }

/* Returns the first 4 or 8 bytes at p as a number. */
static uint64_t word(const char *p, size_t bytes) {
  uint64_t w = 0;
  if (bytes == 8) return memcpy(&w, p, 8), w;
  uint32_t half;
  memcpy(&half, p, 4);
  return half;
}

/* Multiplies words of 8 bytes into a state; the last word may overlap the one before. */
uint32_t tkg__name_hash(const char *name, size_t length) {
  const uint64_t odd = 0x9E3779B97F4A7C15u;
  uint64_t h = length * odd, last;
  const char *p = name, *end = name + length;
  for (; end - p > 8; p += 8) {
    h = (h ^ word(p, 8)) * odd;
    h ^= h >> 32;
  }
  if (length >= 8)
    last = word(end - 8, 8);
  else if (length >= 4)
    last = word(name, 4) | word(end - 4, 4) << 32;
  else
    last = length
               ? (uint64_t)(unsigned char)name[0] | (uint64_t)(unsigned char)name[length / 2] << 8 |
                     (uint64_t)(unsigned char)end[-1] << 16
               : 0;
  h = (h ^ last) * odd;
  h = (h ^ h >> 29) * odd;
  return (uint32_t)(h >> 32);
}

/* Returns the slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const tkg_names *t, const char *name, size_t length, uint32_t hash) {
  size_t mask = t->slot_count - 1, at = hash & mask;
  for (; t->slots[at]; at = (at + 1) & mask) {
    if (t->slots[at] >> 32 != hash) continue;
    size_t id = (uint32_t)t->slots[at] - 1;
    if (t->offsets[id + 1] - t->offsets[id] - 1 != length) continue;
    if (!memcmp(t->bytes + t->offsets[id], name, length)) break;
  }
  return at;
}

static int grow_slots(tkg_names *t) {
  size_t count = 2 * t->slot_count, mask = count - 1;
  uint64_t *slots = calloc(count, sizeof *slots);
  if (!slots) return no_memory();
  for (size_t from = 0; from < t->slot_count; from++) {
    if (!t->slots[from]) continue;
    size_t at = (t->slots[from] >> 32) & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = t->slots[from];
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
  t->slots = calloc(t->slot_count, sizeof *t->slots);
  if (t->bytes && t->offsets && t->slots) return TKG_OK;
  tkg_names_free(t);
  *out = NULL;
  return no_memory();
}

void tkg_names_free(tkg_names *t) {
  if (!t) return;
  free(t->bytes);
  free(t->offsets);
  free(t->slots);
  free(t);
}

double tkg_names_count(const tkg_names *t) { return t->count; }

const char *tkg_names_at(const tkg_names *t, int32_t id) {
  return id >= 0 && id < t->count ? t->bytes + t->offsets[id] : NULL;
}

int32_t tkg_names_find(const tkg_names *t, const char *name, size_t length) {
  size_t at = slot_of(t, name, length, tkg__name_hash(name, length));
  return (int32_t)(uint32_t)t->slots[at] - 1;
}

/* Adds a name that the dictionary does not have; `at` is its slot. */
static int add_new(tkg_names *t, const tkg__name *n, size_t at) {
  int status = TKG_OK;
  if (t->count == t->capacity) status = grow_ids(t);
  if (!status && t->room - t->used < n->length + 1) status = grow_bytes(t, n->length + 1);
  if (!status && 2 * ((size_t)t->count + 1) > t->slot_count) {
    status = grow_slots(t);
    at = slot_of(t, n->text, n->length, n->hash);
  }
  if (status) return status;
  memcpy(t->bytes + t->used, n->text, n->length);
  t->bytes[t->used + n->length] = '\0';
  t->used += n->length + 1;
  t->slots[at] = (uint64_t)n->hash << 32 | (uint32_t)++t->count;
  t->offsets[t->count] = t->used;
  return TKG_OK;
}

static int add(tkg_names *t, tkg__name *n) {
  size_t at = slot_of(t, n->text, n->length, n->hash);
  n->id = t->slots[at] ? (int32_t)(uint32_t)t->slots[at] - 1 : t->count;
  return n->id < t->count ? TKG_OK : add_new(t, n, at);
}

int tkg_names_add(tkg_names *t, const char *name, size_t length, int32_t *id) {
  tkg__name n = {name, length, tkg__name_hash(name, length), -1};
  int status = add(t, &n);
  *id = n.id;
  return status;
}

/* Asks for the memory that adding later names of a list will read: a large dictionary is in no
 * cache, and each name would wait for it three times. */
static void look_ahead(const tkg_names *t, const tkg__name *list, size_t left) {
  enum { SLOT = 48, OFFSET = 32, BYTES = 16 };
  size_t mask = t->slot_count - 1;
  if (left > SLOT) __builtin_prefetch(&t->slots[list[SLOT].hash & mask]);
  for (int near = OFFSET; near >= BYTES; near -= OFFSET - BYTES) {
    if (left <= (size_t)near) continue;
    uint64_t slot = t->slots[list[near].hash & mask];
    if (!slot || slot >> 32 != list[near].hash) continue;
    const size_t *offset = &t->offsets[(uint32_t)slot - 1];
    __builtin_prefetch(near == BYTES ? (const void *)(t->bytes + *offset) : (const void *)offset);
  }
}

int tkg__names_add(tkg_names *t, tkg__name *list, size_t n) {
  int status = TKG_OK;
  for (size_t i = 0; i < n && !status; i++) {
    look_ahead(t, list + i, n - i);
    status = add(t, &list[i]);
  }
  return status;
}
