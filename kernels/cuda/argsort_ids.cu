#include "argsort_ids.h"

#include "launch.h"
#include "radix_sort.h"

/* ---- few ids: one block sorts them in shared memory ---- */

enum { MOST_FEW = 4096, SORT_THREADS = 1024 };

/* A bitonic network over a power of two of pairs, id << 32 | position: no two are equal, so equal
 * ids stay in order of position. */
static __global__ void __launch_bounds__(SORT_THREADS)
    sort_few_kernel(int count, int power, int64_t n, const int32_t *ids, int shift, uint32_t *keys,
                    uint32_t *places, tkg_error_slot error) {
  TKG_SHARED(uint64_t, pair, [MOST_FEW]);
  const int threads = (int)blockDim.x;
  for (int i = (int)threadIdx.x; i < power; i += threads) {
    pair[i] = UINT64_MAX;
    if (i < count)
      pair[i] =
          (uint64_t)(tkg_check_id(ids[i], n, i, error, true) ? ids[i] : n) << 32 | (uint32_t)i;
  }
  for (int size = 2; size <= power; size *= 2)
    for (int step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int q = (int)threadIdx.x; q < power / 2; q += threads) {
        const int a = 2 * q - (q & (step - 1)), b = a + step;
        const uint64_t first = pair[a], second = pair[b];
        if ((first > second) == ((a & size) == 0)) pair[a] = second, pair[b] = first;
      }
    }
  __syncthreads();
  for (int i = (int)threadIdx.x; i < count; i += threads) {
    if (shift) {
      keys[i] = (uint32_t)(pair[i] >> 32) << shift | (uint32_t)pair[i];
      continue;
    }
    keys[i] = (uint32_t)(pair[i] >> 32);
    places[i] = (uint32_t)pair[i];
  }
}

/* The array at an offset of the order. */
static uint32_t *order_part(const tkg_call *c, int64_t offset) {
  return reinterpret_cast<uint32_t *>(static_cast<char *>(c->order) + offset);
}

static void sort_few(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream) {
  const int power = tkg_power(o->count, MOST_FEW);
  const int threads = (int)tkg_between(power / 2, TKG_WARP, SORT_THREADS);
  tkg_launch(sort_few_kernel, {dim3(o->count > 0), dim3((unsigned)threads), 0}, stream,
             (int)o->count, power, o->n, ids, o->shift, order_part(c, 0), order_part(c, o->places),
             error);
}

/* ---- ids ---- */

/* Reserves bytes of scratch. Returns their offset. */
static int64_t take_scratch(tkg_argsort *o, int64_t bytes) {
  const int64_t start = o->bytes;
  o->bytes += tkg_ceil(bytes, 256) * 256;
  return start;
}

static int bits_of(int64_t n) {
  int bits = 0;
  while (n >> bits) bits++;
  return bits;
}

/* The order alone, without scratch. */
static tkg_argsort order_of(int64_t count, int64_t n) {
  tkg_argsort o = {};
  const int place_bits = count > 0 ? bits_of(count - 1) : 0;
  const int64_t array = tkg_ceil(4 * count, 256) * 256;
  o.count = count;
  o.n = n;
  o.bits = bits_of(n);
  o.shift = o.bits + place_bits <= 32 ? place_bits : 0;
  o.places = o.shift ? 0 : array;
  o.order_bytes = o.places + array;
  return o;
}

tkg_argsort tkg__argsort_plan(int64_t count, int64_t n) {
  tkg_argsort o = order_of(count, n);
  if (count <= MOST_FEW) return o;
  take_scratch(&o, 4 * count); /* unsorted keys, at its begin */
  o.unsorted_places = o.shift ? 0 : take_scratch(&o, 4 * count);
  o.sort_bytes = tkg__radix_sort_bytes(count, !o.shift, o.shift, o.shift + o.bits);
  o.sort = take_scratch(&o, o.sort_bytes);
  return o;
}

/* A bad id is reported and sorts behind all others, as n. */
static __global__ void prepare_kernel(int64_t count, int64_t n, const int32_t *ids, int shift,
                                      uint32_t *keys, uint32_t *places, tkg_error_slot error) {
  for (int64_t i = tkg_first(); i < count; i += tkg_stride()) {
    const uint32_t key = (uint32_t)(tkg_check_id(ids[i], n, i, error, true) ? ids[i] : n);
    keys[i] = shift ? key << shift | (uint32_t)i : key;
    if (!shift) places[i] = (uint32_t)i;
  }
}

int tkg__argsort_ids(const tkg_call *c, const tkg_argsort *o, const int32_t *ids,
                     tkg_error_slot error, cudaStream_t stream) {
  uint32_t *keys = tkg_argsort_part(c, 0);
  uint32_t *places = o->shift ? NULL : tkg_argsort_part(c, o->unsorted_places);
  if (c->ordered) return TKG_OK;
  if (o->count > UINT32_MAX)
    return tkg__fail(TKG_E_UNSUPPORTED, "%s: %" PRId64 " ids; at most 2^32 - 1 are sorted at once",
                     tkg__ops[c->node->op].name, o->count);
  if (o->n > UINT32_MAX)
    return tkg__fail(TKG_E_UNSUPPORTED, "%s: %" PRId64 " rows; ids of at most 2^32 - 1 are sorted",
                     tkg__ops[c->node->op].name, o->n);
  if (o->count <= MOST_FEW) {
    sort_few(c, o, ids, error, stream);
    return TKG_OK;
  }
  tkg_launch(prepare_kernel, tkg_flat(o->count), stream, o->count, o->n, ids, o->shift, keys,
             places, error);
  if (!tkg__queues()) return TKG_OK;
  const tkg_radix_sort sort = {o->count, {o->shift, o->shift + o->bits},
                               keys,     order_part(c, 0),
                               places,   places ? order_part(c, o->places) : NULL};
  return tkg__radix_sort(tkg_argsort_part(c, o->sort), o->sort_bytes, &sort, stream);
}

tkg_ids_order tkg__ids_order(const tkg_node *node, const tkg_node *const *in, bool tiled) {
  tkg_ids_order r = {};
  switch (node->op) {
  case TKG_OP_SCATTER_ADD:
    r.input = 1;
    break;
  case TKG_OP_GROUPED_MATMUL:
    if (tiled) return r; /* it sorts nothing there (tile_rows.cuh) */
    r.input = 2;
    break;
  case TKG_OP_NEIGHBOR_SCATTER:
  case TKG_OP_GROUPED_OUTER:
    r.input = 2;
    break;
  default:
    return r;
  }
  r.n = node->op == TKG_OP_GROUPED_MATMUL ? in[1]->shape[0] : node->shape[0];
  r.bytes = order_of(tkg__count(in[r.input]), r.n).order_bytes;
  return r;
}
