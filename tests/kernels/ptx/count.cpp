/* A backend that wraps the one of check-ptx: each group of ops that runs in tiles runs op by op as
 * well, before, on copies of what it writes. Both ways' instructions go to the file that
 * TKG_COUNT_LOG names, a line per group:
 *
 *   ROWS NAMES tiles N.. ops N..      counts of each kind (translated.h), names joined by commas
 *
 * Tiles are as high as on a graph of a hundred thousand rows, whatever the rows. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "translated.h"

extern "C" {
#include "base/backend.h"
#include "base/error.h"
#include "base/stamp.h"
}

static const tkg_backend *inner;
static tkg_backend outer;
static tkg_tile_rules rules;
static decltype(&count_instructions) count;
static decltype(&counted_instructions) counted;

/* A value that was written op by op, in memory of its own. `at`: its place in a tile, or where the
 * plan has it. */
struct written {
  bool in_tile;
  const char *at;
  int64_t bytes;
  char *copy;
};

static std::vector<void *> taken; /* memory of the device, for one group */

static void *take(int64_t bytes) {
  void *memory = bytes > 0 ? inner->allocate(bytes) : NULL;
  if (memory) taken.push_back(memory);
  return memory;
}

/* Waits for the device. */
static void wait(void) {
  static char *word;
  char byte;
  if (!word) inner->zero(word = (char *)inner->allocate(64), 64);
  inner->read(&byte, word, 1);
}

/* Where an operand is: the last copy of it, else where the plan has it. */
static void *find(const std::vector<written> &all, bool in_tile, void *at) {
  for (size_t k = all.size(); k-- > 0;) {
    const int64_t behind = (const char *)at - all[k].at;
    const int64_t end = in_tile ? 1 : all[k].bytes; /* the plan's places in a tile are its own */
    if (all[k].in_tile == in_tile && behind >= 0 && behind < end) return all[k].copy + behind;
  }
  return at;
}

static int run_alone(const tkg_tile_call &t, std::vector<written> *all) {
  tkg_call call = t.call;
  const int64_t bytes = tkg__bytes(call.node);
  for (int k = 0; k < call.node->inputs; k++)
    if (call.data[k] || t.in_tile >> k & 1)
      call.data[k] = find(*all, (t.in_tile >> k & 1) != 0, call.data[k]);
  call.out = take(bytes);
  call.scratch = take(inner->scratch_bytes(call.node, call.in));
  /* A group that sorts nothing was planned without the order that its op sorts into alone. */
  call.order = take(inner->ids_order(call.node, call.in, false).bytes);
  call.ordered = false;
  all->push_back({t.out_in_tile, (const char *)t.call.out, bytes, (char *)call.out});
  return inner->run(&call);
}

static void print_counts(FILE *file, const char *way) {
  uint64_t counts[INSTRUCTION_KINDS];
  wait();
  counted(counts);
  fprintf(file, " %s", way);
  for (uint64_t n : counts) fprintf(file, " %llu", (unsigned long long)n);
}

static int compare(const tkg_tile_call *calls, int n, const tkg_tiling *tiling, FILE *file) {
  std::vector<written> all;
  std::string names;
  for (int k = 0; k < n; k++)
    names += (k ? "," : "") + std::string(tkg__ops[calls[k].call.node->op].name);
  fprintf(file, "%lld %s", (long long)tiling->rows, names.c_str());
  wait();
  count(true);
  int status = TKG_OK;
  for (int k = 0; k < n && !status; k++) status = run_alone(calls[k], &all);
  print_counts(file, "ops");
  count(true);
  if (!status) status = inner->run_tiles(calls, n, tiling);
  print_counts(file, "tiles");
  count(false);
  fputc('\n', file);
  for (void *memory : taken) inner->release(memory);
  taken.clear();
  return status;
}

static int run_tiles(const tkg_tile_call *calls, int n, const tkg_tiling *tiling) {
  const char *path = getenv("TKG_COUNT_LOG");
  FILE *file = path && tiling->rows > 0 ? fopen(path, "a") : NULL;
  if (!file) return inner->run_tiles(calls, n, tiling);
  const int status = compare(calls, n, tiling, file);
  fclose(file);
  return status;
}

/* The library of check-ptx lies in the folder above this one's. */
static void *open_inner(void) {
  Dl_info here;
  if (!dladdr((void *)&open_inner, &here)) return NULL;
  const std::string path = here.dli_fname;
  return dlopen((path.substr(0, path.rfind('/')) + "/../libtinykg_cuda.so").c_str(), RTLD_NOW);
}

extern "C" uint64_t tkg_backend_stamp(void) { return tkg__interface_stamp(); }

extern "C" const tkg_backend *tkg_backend_open(const char *device, char *message, int size) {
  void *library = open_inner();
  tkg_backend_opener open = library ? (tkg_backend_opener)dlsym(library, "tkg_backend_open") : NULL;
  if (!open) {
    snprintf(message, (size_t)size, "%s", dlerror());
    return NULL;
  }
  count = (decltype(count))dlsym(library, "count_instructions");
  counted = (decltype(counted))dlsym(library, "counted_instructions");
  inner = open(device, message, size);
  if (!inner) return NULL;
  outer = *inner;
  rules = *inner->tiles;
  rules.many = 1;
  outer.tiles = &rules;
  outer.run_tiles = run_tiles;
  outer.capture_begin = NULL;
  return &outer;
}
