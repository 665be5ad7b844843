#include "argsort_ids.h"

#include "launch.h"
#include "radix_sort.h"

/* Reserves bytes of scratch. Returns their offset. */
static int64_t take_scratch(tkg_argsort *o, int64_t bytes) {
  const int64_t start = o->bytes;
  o->bytes += tkg_ceil(bytes, 256) * 256;
  return start;
}

tkg_argsort tkg__argsort_plan(int64_t count, int64_t n) {
  tkg_argsort o = {};
  o.count = count;
  o.n = n;
  while (n >> o.bits) o.bits++;
  o.keys = take_scratch(&o, 4 * count);
  o.places = take_scratch(&o, 4 * count);
  o.unsorted_keys = take_scratch(&o, 4 * count);
  o.unsorted_places = take_scratch(&o, 4 * count);
  o.sort_bytes = tkg__radix_sort_bytes(count, o.bits);
  o.sort = take_scratch(&o, o.sort_bytes);
  return o;
}

/* A bad id is reported and sorts behind all others, as n. */
static __global__ void prepare_kernel(int64_t count, int64_t n, const int32_t *ids, uint32_t *keys,
                                      uint32_t *places, tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride()) {
    keys[i] = (uint32_t)(tkg_check_id(ids[i], n, i, error, true) ? ids[i] : n);
    places[i] = (uint32_t)i;
  }
}

int tkg__argsort_ids(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream) {
  uint32_t *keys = tkg_argsort_part(c, o->unsorted_keys);
  uint32_t *places = tkg_argsort_part(c, o->unsorted_places);
  if (o->count > UINT32_MAX)
    return tkg__fail(TKG_E_UNSUPPORTED, "%s: %" PRId64 " ids; at most 2^32 - 1 are sorted at once",
                     tkg__ops[c->node->op].name, o->count);
  tkg_launch(prepare_kernel, tkg_flat(o->count), stream, o->count, o->n, ids, keys, places, error);
  return tkg__radix_sort(tkg_argsort_part(c, o->sort), o->sort_bytes, keys,
                         tkg_argsort_part(c, o->keys), places, tkg_argsort_part(c, o->places),
                         o->count, o->bits, stream);
}
