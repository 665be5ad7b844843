#include "stamp.h"

#include <stddef.h>
#include <string.h>

#include "backend.h"

/* FNV-1a. */
static void add(uint64_t *stamp, const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++)
    *stamp = (*stamp ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
}

uint64_t tkg__interface_stamp(void) {
  static const size_t layout[] = {
      sizeof(tkg_node),        offsetof(tkg_node, shape),
      sizeof(tkg_call),        offsetof(tkg_call, context),
      sizeof(tkg_tile_call),   sizeof(tkg_tiling),
      sizeof(tkg_run_context), offsetof(tkg_run_context, lr),
      sizeof(tkg_backend),     offsetof(tkg_backend, memory),
  };
  uint64_t stamp = UINT64_C(14695981039346656037);
  add(&stamp, layout, sizeof layout);
  for (int op = 0; op < TKG_OP_COUNT; op++) {
    const tkg_op_info *o = &tkg__ops[op];
    add(&stamp, o->name, strlen(o->name) + 1);
    add(&stamp, o->reads, strlen(o->reads) + 1);
    add(&stamp, &o->flags, sizeof o->flags);
  }
  return stamp;
}
