#include "string_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* A hash table with open addressing over the names' bytes, which are in one growing block: of each
 * name a header, the text and a NUL. A slot has where the text begins and the upper bits of its
 * hash, whose lower bits say where the slot is; it is 0 where free. So a name is found with two
 * accesses of memory. */
struct tkg_names {
  char *bytes;
  size_t used, room;
  size_t *offsets; /* where the text of name i begins */
  int32_t count, capacity;
  uint64_t *slots;
  size_t slot_count; /* a power of two */
  int borrowed;      /* the memory is another's */
};

struct header {
  uint32_t length;
  int32_t id;
};

static const uint64_t offset_bits = ((uint64_t)1 << 40) - 1;

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
uint64_t tkg__name_hash(const char *name, size_t length) {
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
  return h ^ h >> 32;
}

/* The header of the name that a slot has. */
static struct header header_at(const tkg_names *t, uint64_t slot) {
  struct header header;
  memcpy(&header, t->bytes + (slot & offset_bits) - sizeof header, sizeof header);
  return header;
}

static uint64_t slot_for(uint64_t hash, size_t offset) { return (hash & ~offset_bits) | offset; }

/* Returns the slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const tkg_names *t, const tkg__name *n) {
  size_t mask = t->slot_count - 1, at = n->hash & mask;
  for (; t->slots[at]; at = (at + 1) & mask) {
    if ((t->slots[at] ^ n->hash) & ~offset_bits) continue;
    if (header_at(t, t->slots[at]).length != n->length) continue;
    if (tkg__same_name(t->bytes + (t->slots[at] & offset_bits), n->text, n->length)) break;
  }
  return at;
}

static int grow_slots(tkg_names *t) {
  size_t count = 2 * t->slot_count, mask = count - 1;
  uint64_t *slots = calloc(count, sizeof *slots);
  if (!slots) return no_memory();
  for (int32_t id = 0; id < t->count; id++) {
    size_t offset = t->offsets[id];
    uint64_t hash = tkg__name_hash(t->bytes + offset, header_at(t, offset).length);
    size_t at = hash & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = slot_for(hash, offset);
  }
  free(t->slots);
  t->slots = slots;
  t->slot_count = count;
  return TKG_OK;
}

static int grow_ids(tkg_names *t) {
  if (t->capacity > INT32_MAX / 2) return tkg__fail(TKG_E_RANGE, "more than 2^30 names");
  size_t capacity = 2 * (size_t)t->capacity;
  size_t *offsets = realloc(t->offsets, capacity * sizeof *offsets);
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
  TKG__NEEDS(out, TKG_E_ARGUMENT);
  tkg_names *t = *out = calloc(1, sizeof *t);
  if (!t) return no_memory();
  t->capacity = 64;
  t->slot_count = 128;
  t->room = 1024;
  t->bytes = malloc(t->room);
  t->offsets = calloc((size_t)t->capacity, sizeof *t->offsets);
  t->slots = calloc(t->slot_count, sizeof *t->slots);
  if (t->bytes && t->offsets && t->slots) return TKG_OK;
  tkg_names_free(t);
  *out = NULL;
  return no_memory();
}

void tkg_names_free(tkg_names *t) {
  if (!t) return;
  if (!t->borrowed) {
    free(t->bytes);
    free(t->offsets);
    free(t->slots);
  }
  free(t);
}

void tkg_names_parts(const tkg_names *t, const void *parts[TKG_NAMES_PARTS],
                     int64_t bytes[TKG_NAMES_PARTS]) {
  TKG__NEEDS(t && parts && bytes);
  const void *all[] = {t->bytes, t->offsets, t->slots};
  const size_t sizes[] = {t->used, (size_t)t->count * sizeof *t->offsets,
                          t->slot_count * sizeof *t->slots};
  for (int k = 0; k < TKG_NAMES_PARTS; k++) {
    parts[k] = all[k];
    bytes[k] = (int64_t)sizes[k];
  }
}

int tkg_names_of_parts(tkg_names **out, void *const parts[TKG_NAMES_PARTS],
                       const int64_t bytes[TKG_NAMES_PARTS], int32_t count) {
  TKG__NEEDS(out && parts && bytes, TKG_E_ARGUMENT);
  tkg_names *t = *out = calloc(1, sizeof *t);
  if (!t) return no_memory();
  t->bytes = parts[0];
  t->offsets = parts[1];
  t->slots = parts[2];
  t->used = t->room = (size_t)bytes[0];
  t->count = t->capacity = count;
  t->slot_count = (size_t)bytes[2] / sizeof *t->slots;
  t->borrowed = 1;
  return TKG_OK;
}

double tkg_names_count(const tkg_names *t) {
  TKG__NEEDS(t, 0);
  return t->count;
}

const char *tkg_names_at(const tkg_names *t, int32_t id) {
  TKG__NEEDS(t, NULL);
  return id >= 0 && id < t->count ? t->bytes + t->offsets[id] : NULL;
}

static tkg__name name_of(const char *text, size_t length) {
  return (tkg__name){text, tkg__name_hash(text, length), (uint32_t)length, -1};
}

int32_t tkg_names_find(const tkg_names *t, const char *text, size_t length) {
  TKG__NEEDS(t && (text || length == 0), -1);
  tkg__name name = name_of(text, length);
  uint64_t slot = length > UINT32_MAX ? 0 : t->slots[slot_of(t, &name)];
  return slot ? header_at(t, slot).id : -1;
}

/* Adds a name that the dictionary does not have; `at` is its slot. */
static int add_new(tkg_names *t, const tkg__name *n, size_t at) {
  const struct header header = {n->length, t->count};
  const size_t bytes = sizeof header + n->length + 1;
  int status = TKG_OK;
  if (t->borrowed) return tkg__fail(TKG_E_ARGUMENT, "a stored dictionary takes no more names");
  if (t->count == t->capacity) status = grow_ids(t);
  if (!status && t->room - t->used < bytes) status = grow_bytes(t, bytes);
  if (!status && 4 * ((size_t)t->count + 1) > 3 * t->slot_count) {
    status = grow_slots(t);
    at = slot_of(t, n);
  }
  if (status) return status;
  char *text = t->bytes + t->used + sizeof header;
  memcpy(text - sizeof header, &header, sizeof header);
  memcpy(text, n->text, n->length);
  text[n->length] = '\0';
  t->offsets[t->count++] = (size_t)(text - t->bytes);
  t->slots[at] = slot_for(n->hash, (size_t)(text - t->bytes));
  t->used += bytes;
  return TKG_OK;
}

static int add(tkg_names *t, tkg__name *n) {
  size_t at = slot_of(t, n);
  n->id = t->slots[at] ? header_at(t, t->slots[at]).id : t->count;
  return n->id < t->count ? TKG_OK : add_new(t, n, at);
}

int tkg_names_add(tkg_names *t, const char *text, size_t length, int32_t *id) {
  TKG__NEEDS(t && id && (text || length == 0), TKG_E_ARGUMENT);
  *id = -1;
  if (length > UINT32_MAX) return tkg__fail(TKG_E_RANGE, "a name of %zu bytes", length);
  tkg__name name = name_of(text, length);
  int status = add(t, &name);
  *id = name.id;
  return status;
}

/* Asks for the memory that adding later names of a list will read: a large dictionary is in no
 * cache, and each name would wait for it twice. */
static void look_ahead(const tkg_names *t, const tkg__name *list, size_t left) {
  enum { SLOT = 32, BYTES = 16 };
  size_t mask = t->slot_count - 1;
  if (left > SLOT) __builtin_prefetch(&t->slots[list[SLOT].hash & mask]);
  if (left <= BYTES) return;
  uint64_t slot = t->slots[list[BYTES].hash & mask];
  if (!((slot ^ list[BYTES].hash) & ~offset_bits))
    __builtin_prefetch(t->bytes + (slot & offset_bits) - sizeof(struct header));
}

int tkg__names_add(tkg_names *t, tkg__name *list, size_t n) {
  int status = TKG_OK;
  for (size_t i = 0; i < n && !status; i++) {
    look_ahead(t, list + i, n - i);
    status = add(t, &list[i]);
  }
  return status;
}
