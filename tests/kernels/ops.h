/* The op check's tools: random arrays, a run on a backend, the comparison of two. An op of a
 * backend is run once as it is and once captured and replayed; its results are compared with the
 * CPU's. */
#ifndef TKG_OPS_H
#define TKG_OPS_H

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

extern "C" {
#include "base/backend.h"
#include "base/error.h"
#include "shared/codec.h"
}

/* ---- what is under test ---- */

static const tkg_backend *cpu, *device;
static const char *(*cpu_error)(void);
static int64_t (*codec_bytes)(int, int64_t, int64_t);
static const tkg_op_info *infos;
static int failures, checks, seen[TKG_OP_COUNT];

/* ---- random numbers and arrays ---- */

static uint64_t state = 1;
static uint32_t random_word(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(state >> 33) ^ (uint32_t)(state >> 17);
}
static int64_t below(int64_t n) { return n > 0 ? (int64_t)(random_word() % (uint64_t)n) : 0; }
static float uniform(float low, float high) {
  return low + (high - low) * (float)(random_word() >> 8) * 0x1p-24f;
}

static int64_t some_rows(void) {
  static const int64_t sizes[] = {0, 1, 2, 5, 31, 32, 33, 64, 100, 257};
  return sizes[below(10)];
}
static int64_t some_cols(void) {
  static const int64_t sizes[] = {1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 64, 65, 100, 128, 300};
  return sizes[below(16)];
}

typedef std::vector<int64_t> dims;

struct array {
  tkg_node node;
  std::vector<char> bytes;
  float *f(void) { return (float *)bytes.data(); }
  int32_t *i(void) { return (int32_t *)bytes.data(); }
};

static int64_t count_of(const tkg_node *n) {
  int64_t count = 1;
  for (int d = 0; d < n->rank; d++) count *= n->shape[d];
  return count;
}
static int64_t cols_of(const tkg_node *n) { return n->rank ? n->shape[n->rank - 1] : 1; }
static int64_t rows_of(const tkg_node *n) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < n->rank; d++) rows *= n->shape[d];
  return rows;
}
static int64_t bytes_of(const tkg_node *n) {
  if (n->dtype == TKG_CODES)
    return codec_bytes((int)n->i[0], rows_of(n), cols_of(n)) +
           (n->i[3] ? (count_of(n) + 7) / 8 : 0);
  if (n->dtype == TKG_MASK) return (count_of(n) + 7) / 8;
  return (n->dtype == TKG_BF16 ? 2 : 4) * count_of(n);
}

static tkg_node node_of(int op, int dtype, const dims &shape) {
  tkg_node n = {};
  n.op = (uint8_t)op;
  n.dtype = (uint8_t)dtype;
  n.rank = (uint8_t)shape.size();
  for (size_t d = 0; d < shape.size(); d++) n.shape[d] = shape[d];
  return n;
}

static array floats(const dims &shape, float low = -2, float high = 2) {
  array a = {node_of(TKG_OP_LEAF, TKG_F32, shape), {}};
  a.bytes.resize((size_t)bytes_of(&a.node));
  for (int64_t k = 0; k < count_of(&a.node); k++)
    a.f()[k] = below(16) ? uniform(low, high) : low < 0 ? (below(2) ? 0.0f : -0.0f) : low;
  return a;
}

/* The same numbers in 16 bits: the upper halves of the floats. */
static array halves(array a) {
  std::vector<char> bytes;
  for (size_t k = 0; k + 4 <= a.bytes.size(); k += 4)
    bytes.insert(bytes.end(), {a.bytes[k + 2], a.bytes[k + 3]});
  a.node.dtype = TKG_BF16;
  a.bytes = bytes;
  return a;
}

static array ids(const dims &shape, int64_t limit) {
  array a = {node_of(TKG_OP_LEAF, TKG_I32, shape), {}};
  a.bytes.resize((size_t)bytes_of(&a.node));
  const int64_t hub = below(limit), hubs = below(3);
  for (int64_t k = 0; k < count_of(&a.node); k++)
    a.i()[k] = (int32_t)(hubs == 0 && below(4) ? hub : below(limit));
  return a;
}

static array list(const std::vector<int32_t> &values) {
  array a = {node_of(TKG_OP_LEAF, TKG_I32, {(int64_t)values.size()}), {}};
  a.bytes.resize(values.size() * 4);
  if (!values.empty()) memcpy(a.bytes.data(), values.data(), values.size() * 4);
  return a;
}

/* ---- one run on one backend ---- */

/* The race detector knows nothing of OpenMP's barriers: the engine then has one thread. */
#if defined(__SANITIZE_THREAD__)
enum { ENGINE_THREADS = 1 };
#else
enum { ENGINE_THREADS = 2 };
#endif

static const tkg_run_context context = {
    0x9E3779B97F4A7C15ull, 7, ENGINE_THREADS, false, false, 0.01, 3, 0.9, 0.999};

#if defined(__SANITIZE_ADDRESS__)
enum { GUARD = 0 };
#else
enum { GUARD = 64 };
#endif

struct result {
  int status;
  std::string message;
  std::vector<char> out;
  std::vector<std::vector<char>> inputs; /* afterwards */
  bool guards;
};

static void *put(const tkg_backend *b, const std::vector<char> &bytes, int64_t extra) {
  char guard[64];
  memset(guard, 0x5a, sizeof guard);
  void *memory = b->allocate((int64_t)bytes.size() + extra);
  b->write(memory, bytes.data(), (int64_t)bytes.size());
  if (extra) b->write((char *)memory + bytes.size(), guard, extra);
  return memory;
}

static std::vector<char> fetch(const tkg_backend *b, const void *from, int64_t bytes) {
  std::vector<char> to((size_t)bytes);
  b->read(to.data(), from, bytes);
  return to;
}

/* Runs the op, or captures it, which must not run it, and replays it. */
static int run_call(const tkg_backend *b, const tkg_call *c, bool captured) {
  const std::vector<char> before = fetch(b, c->out, bytes_of(c->node));
  if (!captured || !b->capture_begin()) return b->run(c);
  int status = b->run(c);
  tkg_capture *capture = b->capture_end();
  if (!status && (!capture || fetch(b, c->out, bytes_of(c->node)) != before))
    status = TKG_E_UNSUPPORTED;
  if (!status) status = b->replay(capture);
  if (capture) b->capture_free(capture);
  return status;
}

/* `over`: the input whose memory takes the result, or -1. */
static result run_on(const tkg_backend *b, const tkg_node *node, std::vector<array> &in, int over,
                     bool captured = false) {
  tkg_call c = {};
  result r = {};
  c.node = node;
  c.context = &context;
  for (size_t k = 0; k < in.size(); k++) {
    c.in[k] = &in[k].node;
    c.data[k] = put(b, in[k].bytes, (int)k == over ? GUARD : 0);
  }
  std::vector<char> filler((size_t)bytes_of(node), (char)0xff), guard(64);
  c.out = over >= 0 ? c.data[over] : put(b, filler, GUARD);
  const int64_t scratch = b->scratch_bytes(node, c.in);
  if (scratch > 0) c.scratch = b->allocate(scratch);
  const tkg_ids_order order =
      b->ids_order ? b->ids_order(node, c.in, false) : tkg_ids_order{0, 0, 0};
  if (order.bytes > 0) c.order = b->allocate(order.bytes);
  char message[1024] = "";
  if (b->begin) b->begin(&context);
  r.status = run_call(b, &c, captured);
  if (r.status) r.message = b->error ? b->error() : cpu_error();
  if (b->finish) {
    const int status = b->finish(message, sizeof message);
    if (!r.status && status) r.message = message;
    if (!r.status) r.status = status;
  }
  r.out.resize(filler.size());
  b->read(r.out.data(), c.out, (int64_t)r.out.size());
  r.guards = true;
  if (GUARD > 0) {
    b->read(guard.data(), (char *)c.out + r.out.size(), GUARD);
    for (char g : guard) r.guards = r.guards && g == 0x5a;
  }
  for (size_t k = 0; k < in.size(); k++) {
    r.inputs.push_back(std::vector<char>(in[k].bytes.size()));
    if (!c.data[k]) continue;
    b->read(r.inputs[k].data(), c.data[k], (int64_t)in[k].bytes.size());
    if ((int)k != over) b->release(c.data[k]);
  }
  b->release(c.scratch);
  b->release(c.order);
  b->release(c.out);
  return r;
}

/* A matrix in codes; `listed`: ids list the rows that are read of it, so noise may be independent.
 */
static array coded(array x, bool signs, bool listed = false) {
  static const int widths[] = {8, 4, 2, 1};
  tkg_node n = node_of(TKG_OP_ENCODE, TKG_CODES, {x.node.shape[0], x.node.shape[1]});
  n.i[0] = widths[below(4)];
  n.i[1] = below(listed ? TKG_ROUNDINGS : TKG_ROUND_DITHER_INDEPENDENT);
  n.i[2] = 1 << 20;
  n.i[3] = signs;
  for (int64_t k = 0; n.i[3] && k < count_of(&n); k++) x.f()[k] = fmaxf(x.f()[k], 0);
  std::vector<array> in = {x};
  return {n, run_on(cpu, &n, in, -1).out};
}

static array maybe_coded(const array &x, bool listed = false) {
  return below(2) ? x : coded(x, below(2), listed);
}

/* ---- comparing ---- */

static std::string text_of(const tkg_node *n) {
  std::string s = "[";
  for (int d = 0; d < n->rank; d++) s += (d ? "," : "") + std::to_string(n->shape[d]);
  return s + "]";
}

static void fail(const tkg_node *node, const std::vector<array> &in, const char *what) {
  if (++failures > 20) return;
  printf("FAIL %s -> %s", infos[node->op].name, text_of(node).c_str());
  for (const array &a : in) printf(" %s", text_of(&a.node).c_str());
  printf(" i %d %d f %g %g: %s\n", (int)node->i[0], (int)node->i[1], node->f[0], node->f[1], what);
}

/* The index of the first element of 4 bytes that differs. */
static int64_t first_difference(const std::vector<char> &a, const std::vector<char> &b) {
  size_t k = 0;
  while (k + 4 <= a.size() && k + 4 <= b.size() && memcmp(&a[k], &b[k], 4) == 0) k += 4;
  return (int64_t)k / 4;
}

/* The largest difference of two float arrays, in units of the larger of 1 and the reference's
 * largest value. Infinity where one has a NaN or an infinity that the other has not. */
static double distance(const std::vector<char> &a, const std::vector<char> &ref) {
  double most = 0, scale = 1;
  const float *x = (const float *)a.data(), *y = (const float *)ref.data();
  for (size_t k = 0; k < ref.size() / 4; k++)
    if (isfinite(y[k])) scale = fmax(scale, fabs(y[k]));
  for (size_t k = 0; k < ref.size() / 4; k++) {
    if (isfinite(y[k]) && isfinite(x[k]))
      most = fmax(most, fabs((double)x[k] - (double)y[k]));
    else if (!(isnan(x[k]) && isnan(y[k])) && x[k] != y[k])
      return INFINITY;
  }
  return most / scale;
}

/* Whether all elements have equal bits or are both NaN. */
static bool same(const std::vector<char> &a, const std::vector<char> &b, int dtype) {
  if (a.size() != b.size()) return false;
  if (a.empty() || memcmp(a.data(), b.data(), a.size()) == 0) return true;
  if (dtype != TKG_F32) return false;
  const float *x = (const float *)a.data(), *y = (const float *)b.data();
  for (size_t k = 0; k < a.size() / 4; k++)
    if (memcmp(&a[4 * k], &b[4 * k], 4) != 0 && !(isnan(x[k]) && isnan(y[k]))) return false;
  return true;
}

/* The halves of an array as floats. */
static std::vector<char> widened(const std::vector<char> &a) {
  std::vector<char> bytes;
  for (size_t k = 0; k + 2 <= a.size(); k += 2) bytes.insert(bytes.end(), {0, 0, a[k], a[k + 1]});
  return bytes;
}

static bool close(const std::vector<char> &a, const std::vector<char> &ref, int dtype,
                  double tolerance) {
  if (tolerance > 0 && dtype == TKG_BF16) /* where a last bit differs, it is rounded another way */
    return a.size() == ref.size() && distance(widened(a), widened(ref)) <= 0x1p-8 + tolerance;
  if (tolerance == 0 || dtype != TKG_F32) return same(a, ref, dtype);
  return a.size() == ref.size() && distance(a, ref) <= tolerance;
}

static void compare_tiles(const tkg_node *node, std::vector<array> &in, const result &want,
                          double tolerance); /* ops_tiles.h */

static void compare(const tkg_node *node, std::vector<array> &in, double tolerance, int over) {
  result want = run_on(cpu, node, in, over), got = run_on(device, node, in, over);
  char text[2400];
  checks++;
  seen[node->op] = 1;
  if (got.status != want.status || got.message != want.message) {
    snprintf(text, sizeof text, "status %d '%s', expected %d '%s'", got.status, got.message.c_str(),
             want.status, want.message.c_str());
    fail(node, in, text);
    return;
  }
  if (!got.guards) fail(node, in, "wrote past its output");
  if (over < 0) compare_tiles(node, in, want, tolerance);
  if (got.status) return;
  if (!close(got.out, want.out, node->dtype, tolerance)) {
    snprintf(text, sizeof text, "differs by %g, allowed %g; first at %d",
             node->dtype == TKG_F32 ? distance(got.out, want.out) : NAN, tolerance,
             (int)first_difference(got.out, want.out));
    fail(node, in, text);
  }
  for (size_t k = 0; k < in.size(); k++)
    if ((int)k != over && !close(got.inputs[k], want.inputs[k], in[k].node.dtype, tolerance))
      fail(node, in, "an input differs afterwards");
  const result replayed = run_on(device, node, in, over, true);
  if (replayed.status || !same(replayed.out, got.out, node->dtype))
    fail(node, in, "replayed it gives other bits");
}

/* ---- for cases ---- */

static const double SUMS = 1e-5;

/* The tolerance of sums of so many terms: roundings add up like the square root of their number. */
static double sums_of(int64_t terms) { return SUMS * fmax(1, sqrt((double)terms) / 16); }

/* How often the most frequent id occurs. */
static int64_t most_equal(const array &ids) {
  std::vector<int32_t> sorted((size_t)count_of(&ids.node));
  if (!sorted.empty()) memcpy(sorted.data(), ids.bytes.data(), sorted.size() * 4);
  std::sort(sorted.begin(), sorted.end());
  size_t most = 0, first = 0;
  for (size_t k = 0; k < sorted.size(); k++) {
    if (sorted[k] != sorted[first]) first = k;
    most = std::max(most, k - first + 1);
  }
  return (int64_t)most;
}

/* Writes bad ids now and then; both backends must report the same one. */
static void spoil(array &a, int64_t limit) {
  const int64_t n = count_of(&a.node);
  if (n == 0 || below(10)) return;
  a.i()[below(n)] = (int32_t)(below(2) ? -1 - below(5) : limit + below(5));
  a.i()[below(n)] = (int32_t)(limit + below(5));
}

#endif
