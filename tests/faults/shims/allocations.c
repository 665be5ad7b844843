/* Preloaded into LuaJIT: an allocation of the engine fails, once or from then on.
 *
 * Counted are the calls that libtinykg.so makes, and those of zlib and liblzma, which it calls:
 * LuaJIT and OpenBLAS allocate as ever. A script arms the shim through the functions below
 * (LuaJIT's ffi). */
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

enum { MOST_RANGES = 8 };
static struct range { uintptr_t from, to; } ranges[MOST_RANGES];
static int range_count;
static long first, last, count, failed; /* the allocations first .. last fail */

static int add_ranges(struct dl_phdr_info *info, size_t size, void *unused) {
  static const char *const names[] = {"libtinykg.so", "libz.so", "liblzma.so"};
  (void)size, (void)unused;
  int wanted = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    wanted |= info->dlpi_name && strstr(info->dlpi_name, names[i]) != NULL;
  for (int i = 0; wanted && i < info->dlpi_phnum && range_count < MOST_RANGES; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    uintptr_t from = info->dlpi_addr + part->p_vaddr;
    ranges[range_count++] = (struct range){from, from + part->p_memsz};
  }
  return 0;
}

/* Allocations from number `at` on fail, `times` of them; counting begins anew. At 0 none fails. */
void faults_arm(long at, long times) {
  if (!range_count) dl_iterate_phdr(add_ranges, NULL);
  count = failed = 0;
  first = at;
  last = at ? at + times - 1 : 0;
}

long faults_counted(void) { return count; }
long faults_failed(void) { return failed; }

/* Whether the allocation that is made from here fails. */
static int fails(const void *caller) {
  uintptr_t at = (uintptr_t)caller;
  int own = 0;
  for (int i = 0; i < range_count; i++) own |= at >= ranges[i].from && at < ranges[i].to;
  if (!own) return 0;
  long n = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  if (n < first || n > last) return 0;
  __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
  errno = ENOMEM;
  return 1;
}

#define FAILS fails(__builtin_return_address(0))

void *malloc(size_t size) { return FAILS ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return FAILS ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return FAILS ? NULL : __libc_realloc(old, size); }

void *aligned_alloc(size_t alignment, size_t size) {
  return FAILS ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (FAILS) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}

char *strdup(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = FAILS ? NULL : __libc_malloc(size);
  return copy ? memcpy(copy, text, size) : NULL;
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  if (FAILS) return MAP_FAILED;
  return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
