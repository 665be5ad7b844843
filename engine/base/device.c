/* Backends in libraries of their own: found beside libtinykg.so, loaded once, never unloaded. */
#define _GNU_SOURCE // dladdr; NOLINT(bugprone-reserved-identifier)
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "stamp.h"
#include "tinykg.h"

/* Writes the folder of this library, with its last slash. */
static void own_folder(char *out, size_t size) {
  Dl_info info;
  const char *slash = NULL;
  if (dladdr((const void *)tkg_version, &info)) slash = strrchr(info.dli_fname, '/');
  int length = slash ? (int)(slash - info.dli_fname) + 1 : 0;
  snprintf(out, size, "%.*s", length, slash ? info.dli_fname : "");
}

/* Sets a function pointer, to which ISO C has no cast from a data pointer. */
static void find(void *library, const char *name, void *function) {
  void *symbol = dlsym(library, name);
  memcpy(function, &symbol, sizeof symbol);
}

static bool same_interface(void *library) {
  tkg_backend_stamper stamp;
  find(library, "tkg_backend_stamp", &stamp);
  return stamp && stamp() == tkg__interface_stamp();
}

/* Loads libtinykg_FAMILY.so and opens a device of it; NULL with a note if that fails. */
static const tkg_backend *load(const char *family, const char *name, char note[TKG_NOTE]) {
  char folder[3072], path[4096];
  own_folder(folder, sizeof folder);
  snprintf(path, sizeof path, "%slibtinykg_%s.so", folder, family);
  if (access(path, F_OK) != 0) {
    snprintf(note, TKG_NOTE, "device '%s': make %s builds libtinykg_%s.so, which needs %s", family,
             family, family, strcmp(family, "cuda") == 0 ? "nvcc" : "g++");
    return NULL;
  }
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    snprintf(note, TKG_NOTE, "device '%s': %s", family, dlerror());
    return NULL;
  }
  if (!same_interface(library)) {
    snprintf(note, TKG_NOTE,
             "device '%s': libtinykg_%s.so was built from other sources than libtinykg.so: make %s "
             "builds it again",
             family, family, family);
    return NULL;
  }
  tkg_backend_opener open;
  find(library, "tkg_backend_open", &open);
  if (!open) snprintf(note, TKG_NOTE, "device '%s': %.200s: no tkg_backend_open", family, path);
  return open ? open(name, note, TKG_NOTE) : NULL;
}

static bool is_family(const char *name, const char *family) {
  size_t length = strlen(family);
  return strncmp(name, family, length) == 0 && (name[length] == 0 || name[length] == ':');
}

/* The name of a device, "cuda" with the place of this process on the machine: "cuda@2". */
static const char *at_place(const char *name, int place, char out[32]) {
  if (place == 0 || strchr(name, ':')) return name;
  snprintf(out, 32, "%.16s@%d", name, place);
  return out;
}

int tkg__device_open(const char *name, int place, const tkg_backend **out, char note[TKG_NOTE]) {
  bool any = strcmp(name, "auto") == 0;
  char placed[32];
  note[0] = 0;
  *out = NULL;
  if (any || is_family(name, "cuda"))
    *out = load("cuda", at_place(any ? "cuda" : name, place, placed), note);
  else if (is_family(name, "emu"))
    *out = load("emu", at_place(name, place, placed), note);
  else if (strcmp(name, "cpu") != 0)
    return tkg__fail(TKG_E_ARGUMENT, "device '%s' is not one of auto, cpu, cuda, cuda:N, emu",
                     name);
  if (!*out && (any || strcmp(name, "cpu") == 0)) *out = &tkg__cpu_backend;
  return *out ? TKG_OK : tkg__fail(TKG_E_DEVICE, "%s", note);
}

int tkg__no_memory_or_lost(const tkg_backend *backend, int status) {
  const char *why = backend->lost ? backend->lost() : NULL;
  if (!why) return status;
  return tkg__fail(TKG_E_DEVICE, "%s is lost to this process (%s): start it again", backend->name,
                   why);
}

int tkg__keep_backend_message(const tkg_backend *backend, int status) {
  if (status && backend->error) tkg__say("%s", backend->error());
  return status;
}
