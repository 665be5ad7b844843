#include "isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#if defined(__x86_64__)
static const char *const names[] = {"sse2", "avx2", "avx512"};

static int best(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  /* x86-64-v4; every processor that has these has the rest of that level. */
  int v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
  return v4 ? 2 : 1;
}
#else
static const char *const names[] = {"neon"};

static int best(void) { return 0; }
#endif

static int find(const char *name) {
  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
    if (!strcmp(names[i], name)) return i;
  return -1;
}

static int choose(void) {
  int top = best();
  const char *wish = getenv("TINYKG_ISA");
  int wished = wish ? find(wish) : -1;
  return wished >= 0 && wished < top ? wished : top;
}

static atomic_int current =
    -1; /* not chosen yet; two threads that choose at once choose the same */

int tkg__isa_index(void) {
  int index = atomic_load_explicit(&current, memory_order_relaxed);
  if (index < 0) {
    index = choose();
    atomic_store_explicit(&current, index, memory_order_relaxed);
  }
  return index;
}

const char *tkg__isa(void) { return names[tkg__isa_index()]; }

int tkg_set_isa(const char *name) {
  int index = name ? find(name) : choose();
  if (index < 0)
    return tkg__fail(TKG_E_ARGUMENT, "instruction set '%s' is not one of this build", name);
  if (index > best())
    return tkg__fail(TKG_E_UNSUPPORTED, "this processor has no %s; its best is %s", name,
                     names[best()]);
  atomic_store_explicit(&current, index, memory_order_relaxed);
  return TKG_OK;
}
