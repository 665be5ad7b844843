/* Ops in tiles (tkg_backend.run_tiles): a group of one op, whose operands are whole values; and the
 * same op between copies, so that its operands and its result live in a tile. Both give what the
 * CPU gives for the whole. */
#ifndef TKG_OPS_TILES_H
#define TKG_OPS_TILES_H

#include <math.h>

#include "ops.h"

static bool (*rows_apart)(const tkg_node *, const tkg_node *const *);
static enum tkg_row_access (*row_access)(const tkg_node *, const tkg_node *const *, int);
static bool (*rows_by_position)(const tkg_node *);
static bool (*row_of_position)(const tkg_node *, const tkg_node *const *, int);

/* A group under construction. */
struct group {
  std::vector<tkg_tile_call> calls;
  std::vector<void *> memory; /* of the device, released at the end */
  int64_t tile, tile_bytes;
};

/* Room in a tile; its offset there. */
static int64_t take_room(group *g, int64_t bytes) {
  const int64_t at = g->tile_bytes;
  g->tile_bytes += (bytes + 63) / 64 * 64;
  return at;
}

/* Room for a tile of a value. */
static void *room(group *g, const tkg_node *n) {
  return (void *)take_room(g, g->tile * cols_of(n) * 4);
}

/* A copy of a value from or to a tile: no number is outside infinite limits. */
static void add_copy(group *g, const tkg_node *node, const tkg_node *of, void *from, void *to,
                     bool into) {
  tkg_tile_call t = {};
  t.call.node = node;
  t.call.context = &context;
  t.call.in[0] = of;
  t.call.data[0] = from;
  t.call.out = to;
  t.in_tile = into ? 0 : 1;
  t.out_in_tile = into;
  g->calls.push_back(t);
}

static tkg_node copy_of(const tkg_node *n) {
  tkg_node copy = node_of(TKG_OP_CLAMP, TKG_F32, {n->shape[0], n->shape[1]});
  copy.inputs = 1;
  copy.f[0] = -INFINITY;
  copy.f[1] = INFINITY;
  return copy;
}

static void *take(group *g, const std::vector<char> &bytes) {
  g->memory.push_back(put(device, bytes, 64));
  return g->memory.back();
}

static bool sums_rows(const tkg_node *n, const tkg_node *const *in) {
  if (n->op == TKG_OP_SUM) return in[0]->rank == 2 && n->i[0] == 1;
  return n->op == TKG_OP_MATMUL && n->i[0] && !n->i[1] && in[0]->rank == 2 && in[1]->rank == 2;
}

/* Of all elements of a matrix or a list. */
static bool sums_all(const tkg_node *n, const tkg_node *const *in) {
  return n->op == TKG_OP_SUM &&
         ((in[0]->rank == 2 && n->i[0] == 3) || (in[0]->rank == 1 && n->i[0] == 1));
}

/* A number for each row of matrices, or elements of a list by a list of ids. */
static bool makes_list(const tkg_node *n, const tkg_node *const *in) {
  if (n->op == TKG_OP_GATHER) return n->rank == 1 && in[0]->rank == 1 && in[1]->rank == 1;
  return (n->op == TKG_OP_DOT || (n->op == TKG_OP_SUM && n->i[0] == 2)) && n->rank == 1 &&
         in[0]->rank == 2;
}

/* Whether matrices of these columns have room in a tile, as plans see to (memory_plan.c). */
static bool fits_in_tile(const tkg_node *node, const std::vector<array> &in, int64_t rows) {
  int64_t cols = node->rank == 2 ? node->shape[1] : 0;
  for (const array &x : in) cols += x.node.rank == 2 ? x.node.shape[1] : 0;
  return rows * cols * (int64_t)sizeof(float) <= device->tiles->most_bytes;
}

/* `inside`: what can live in a tile does, if it has room. */
static result run_in_tiles(const tkg_node *node, std::vector<array> &in, bool inside) {
  static const int64_t heights[] = {16, 32};
  group g = {{}, {}, heights[below(2)], 0};
  inside = inside && fits_in_tile(node, in, g.tile);
  tkg_node copies[TKG_MAX_INPUTS + 1];
  tkg_tile_call t = {};
  result r = {};
  t.call.node = node;
  t.call.context = &context;
  for (size_t k = 0; k < in.size(); k++) t.call.in[k] = &in[k].node;
  t.reduces = sums_rows(node, t.call.in) || sums_all(node, t.call.in);
  const int64_t rows = t.reduces ? in[0].node.shape[0] : node->shape[0], bytes = bytes_of(node);
  const int chunks = (int)std::min((rows + 63) / 64, (int64_t)5);
  for (size_t k = 0; k < in.size(); k++) {
    t.call.data[k] = take(&g, in[k].bytes);
    if (!inside || in[k].node.dtype != TKG_F32 || in[k].node.rank != 2 ||
        (row_access(node, t.call.in, (int)k) == TKG_ACCESS_WHOLE &&
         !row_of_position(node, t.call.in, (int)k)))
      continue;
    copies[k] = copy_of(&in[k].node);
    void *to = room(&g, &in[k].node);
    add_copy(&g, &copies[k], &in[k].node, t.call.data[k], to, true);
    t.call.data[k] = to;
    t.in_tile |= 1u << k;
  }
  void *out = take(&g, std::vector<char>((size_t)bytes, (char)0xff));
  t.out_in_tile = inside && !t.reduces && node->dtype == TKG_F32 && node->rank == 2;
  t.call.out = t.out_in_tile ? room(&g, node) : out;
  int64_t scratch = device->tiles->scratch_bytes(node, t.call.in);
  if (t.reduces && inside && g.tile_bytes + scratch <= device->tiles->most_bytes) {
    t.part_in_tile = true;
    t.part = take_room(&g, scratch);
    scratch = bytes;
  }
  if (t.reduces) scratch *= chunks;
  t.call.scratch = take(&g, std::vector<char>((size_t)scratch, (char)0xff));
  const int64_t order = device->ids_order(node, t.call.in, true).bytes;
  if (order > 0) t.call.order = take(&g, std::vector<char>((size_t)order, (char)0xff));
  g.calls.push_back(t);
  copies[TKG_MAX_INPUTS] = copy_of(node);
  if (t.out_in_tile) add_copy(&g, &copies[TKG_MAX_INPUTS], node, t.call.out, out, false);
  tkg_tiling tiling = {};
  tiling.rows = rows;
  tiling.tile = g.tile;
  tiling.chunks = chunks;
  tiling.tile_bytes = g.tile_bytes;
  char message[1024] = "";
  device->begin(&context);
  r.status = device->run_tiles(g.calls.data(), (int)g.calls.size(), &tiling);
  if (r.status) r.message = device->error();
  const int status = device->finish(message, sizeof message);
  if (!r.status && status) r.message = message;
  if (!r.status) r.status = status;
  r.out = fetch(device, out, bytes);
  const std::vector<char> behind = fetch(device, (char *)out + bytes, 64);
  r.guards = true;
  for (char b : behind) r.guards = r.guards && b == 0x5a;
  for (void *m : g.memory) device->release(m);
  return r;
}

static bool can_tile(const tkg_node *node, const std::vector<array> &in) {
  const tkg_node *of[TKG_MAX_INPUTS] = {};
  for (size_t k = 0; k < in.size(); k++) of[k] = &in[k].node;
  return device->tiles && (node->dtype != TKG_I32 || node->op == TKG_OP_GATHER) &&
         device->tiles->runs(node, of) &&
         (rows_apart(node, of) || rows_by_position(node) || sums_rows(node, of) ||
          sums_all(node, of) || makes_list(node, of));
}

/* Compares with the CPU's result. */
static void compare_tiles(const tkg_node *plain, std::vector<array> &in, const result &want,
                          double tolerance) {
  tkg_node node = *plain;
  node.inputs = (uint8_t)in.size();
  if (!can_tile(&node, in)) return;
  for (int inside = 0; inside < 2; inside++) {
    const result got = run_in_tiles(&node, in, inside);
    checks++;
    if (got.status != want.status || got.message != want.message)
      fail(&node, in, ("in tiles: '" + got.message + "', not '" + want.message + "'").c_str());
    else if (!got.status && !got.guards)
      fail(&node, in, "in tiles: wrote past its output");
    else if (!got.status && !close(got.out, want.out, node.dtype, tolerance))
      fail(&node, in, inside ? "differs inside a tile" : "differs in tiles");
  }
}

#endif
