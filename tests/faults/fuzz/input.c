#define _GNU_SOURCE
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const char *input_file(const uint8_t *bytes, size_t size) {
  static char path[64];
  static int file = -1;
  if (file < 0) {
    file = memfd_create("input", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  }
  must(file >= 0 && !ftruncate(file, 0), "a file in memory");
  must(pwrite(file, bytes, size, 0) == (ssize_t)size, "bytes in that file");
  return path;
}

void must(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "violated: %s\n", what);
  abort();
}
