/* The dictionary of names.
 *
 * Input: names, each ended by the byte 255; the rest is one too.
 * Holds: a name has the id that it got first, ids count up, and the bytes come back. */
#include <string.h>

#include "data/table.h"
#include "input.h"

static void add(tkg_names *names, const char *name, size_t length) {
  double before = tkg_names_count(names);
  int32_t known = tkg_names_find(names, name, length), id = -1;
  must(!tkg_names_add(names, name, length, &id), "memory for a name");
  must(known < 0 ? id == before : id == known, "a name keeps its id, a new one has the next");
  must(tkg_names_count(names) == before + (known < 0), "a name counts once");
  must(tkg_names_find(names, name, length) == id, "a name is found under its id");
  const char *text = tkg_names_at(names, id);
  must(text && !memcmp(text, name, length) && text[length] == '\0', "its bytes come back");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  tkg_names *names = NULL;
  must(!tkg_names_new(&names), "memory for names");
  const char *at = (const char *)bytes, *end = at + size;
  while (at < end) {
    const char *stop = memchr(at, 255, (size_t)(end - at));
    if (!stop) stop = end;
    add(names, at, (size_t)(stop - at));
    at = stop + 1;
  }
  int32_t count = (int32_t)tkg_names_count(names);
  must(!tkg_names_at(names, count) && !tkg_names_at(names, -1), "there are no other ids");
  tkg_names_free(names);
  return 0;
}
