/* How fast the kernels of a backend are: each op through the table that the engine uses.
 *
 *   kernels LIBTINYKG BACKEND DEVICE [quick] [first|rest]
 *
 * Prints a JSON object a line: the device's copy bandwidth, then ops with microseconds, GB/s and
 * the share of that bandwidth; `first`: sums over edges alone, `rest`: the others. Bytes are the
 * compulsory ones: each input that is read once, each output once, of a table the rows that are
 * used. An op is recorded many times over and played back, so that neither launching nor the host's
 * clock is measured, and the median of some such rounds is taken. Arrays are larger than any cache,
 * except where a graph of a real size is not. */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

extern "C" {
#include "base/backend.h"
#include "base/error.h"
#include "data/graph.h"
#include "shared/moments.h"
}

static const tkg_backend *device;
static const tkg_op_info *infos;
static int64_t (*codec_bytes)(int, int64_t, int64_t);
static int64_t (*graph_length)(int64_t, int64_t, int64_t, int64_t);
static int (*graph_pack)(int64_t, int64_t, int64_t, const int32_t *, const int32_t *,
                         const int32_t *, int64_t, int32_t *, int64_t *, int32_t *);
static tkg_run_context context = {1, 2, 1, false, false, 1e-6, 3, 0.9, 0.999};
static bool quick;
static double copy_rate; /* bytes a second, read and written */

/* ---- data on the device ---- */

static uint64_t state = 1;
static uint32_t word(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(state >> 33) ^ (uint32_t)(state >> 17);
}
static int64_t below(int64_t n) { return (int64_t)(word() % (uint64_t)n); }

/* A number that is small more often than large: as degrees are. */
static int64_t skewed(int64_t n) {
  const double u = (double)(word() >> 8) * 0x1p-24;
  return std::min(n - 1, (int64_t)((double)n * u * u * u));
}

typedef std::vector<int64_t> dims;

struct array {
  tkg_node node;
  char *data;
  int64_t bytes;
};

static std::vector<void *> allocated;

static int64_t count_of(const dims &shape) {
  int64_t count = 1;
  for (int64_t s : shape) count *= s;
  return count;
}

static tkg_node node_of(int op, int dtype, const dims &shape) {
  tkg_node n = {};
  n.op = (uint8_t)op;
  n.dtype = (uint8_t)dtype;
  n.rank = (uint8_t)shape.size();
  for (size_t d = 0; d < shape.size(); d++) n.shape[d] = shape[d];
  return n;
}

static array make(int dtype, const dims &shape, int64_t bytes) {
  array a = {node_of(TKG_OP_LEAF, dtype, shape), NULL, bytes};
  a.data = (char *)device->allocate(bytes);
  if (!a.data) fprintf(stderr, "kernels: no memory for %.0f bytes\n", (double)bytes), exit(1);
  allocated.push_back(a.data);
  return a;
}

/* A block of random numbers, over and over: making them all would take longer than the rest. */
static array floats(const dims &shape, bool positive = false) {
  static std::vector<float> block;
  if (block.empty())
    for (int k = 0; k < 1 << 20; k++) block.push_back((float)(word() >> 8) * 0x1p-23f - 1);
  std::vector<float> one = block;
  if (positive)
    for (float &v : one) v = fabsf(v) + 0.01f;
  array a = make(TKG_F32, shape, 4 * count_of(shape));
  const int64_t first = std::min(a.bytes, (int64_t)(4 * one.size()));
  device->write(a.data, one.data(), first);
  for (int64_t at = first; at < a.bytes; at += first)
    device->copy(a.data + at, a.data, std::min(first, a.bytes - at));
  return a;
}

static array integers(const dims &shape, const std::vector<int32_t> &values) {
  array a = make(TKG_I32, shape, 4 * (int64_t)values.size());
  device->write(a.data, values.data(), a.bytes);
  return a;
}

/* Random ids, and how many different ones they are. */
static array ids(const dims &shape, int64_t limit, int64_t *distinct = NULL) {
  std::vector<int32_t> values((size_t)count_of(shape));
  std::vector<bool> seen((size_t)limit);
  for (int32_t &v : values) seen[(size_t)(v = (int32_t)below(limit))] = true;
  if (distinct) *distinct = std::count(seen.begin(), seen.end(), true);
  return integers(shape, values);
}

static void release_all(void) {
  for (void *memory : allocated) device->release(memory);
  allocated.clear();
}

/* ---- timing ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const tkg_node *n, const char *message) {
  fprintf(stderr, "kernels: %s: %s\n", infos[n->op].name, message);
  exit(1);
}

/* Seconds of `times` runs of a call in one go, from the start of the work to its end. */
static double seconds(const tkg_call *c, tkg_capture *capture, int times) {
  char message[512] = "";
  int status = device->begin(&context);
  const double start = now();
  if (capture)
    status |= device->replay(capture);
  else
    for (int k = 0; k < times; k++) status |= device->run(c);
  status |= device->finish(message, sizeof message);
  if (status) fail(c->node, *message ? message : device->error());
  return now() - start;
}

static tkg_capture *capture_run(const tkg_call *c, int times) {
  char message[512];
  device->begin(&context);
  tkg_capture *capture = NULL;
  if (device->capture_begin()) {
    for (int k = 0; k < times; k++) device->run(c);
    capture = device->capture_end();
  }
  device->finish(message, sizeof message);
  return capture;
}

static double median(std::vector<double> list) {
  std::sort(list.begin(), list.end());
  return list[list.size() / 2];
}

/* Seconds of one run. */
static double measure(const tkg_call *c) {
  seconds(c, NULL, 1);
  const double once = seconds(c, NULL, 1);
  const int times = quick ? 2 : (int)std::min(200.0, std::max(4.0, 0.01 / once));
  tkg_capture *capture = capture_run(c, times);
  std::vector<double> rounds(quick ? 1 : 7);
  for (double &round : rounds) round = seconds(c, capture, times) / times;
  if (capture) device->capture_free(capture);
  return median(rounds);
}

static void report(const char *name, const char *shape, double bytes, double took) {
  printf("{\"op\": \"%s\", \"shape\": \"%s\", \"bytes\": %.0f, \"us\": %.3f, \"gb_s\": %.1f, "
         "\"share\": %.4f}\n",
         name, shape, bytes, took * 1e6, bytes / took * 1e-9, bytes / took / copy_rate);
  fflush(stdout);
}

/* The share of the bandwidth at which plain copies run. */
static void copies(int64_t bytes) {
  char message[512] = "";
  std::vector<double> rounds;
  array from = floats({bytes / 4}), to = floats({bytes / 4});
  for (int k = 0; k < 8; k++) {
    device->begin(&context);
    device->finish(message, sizeof message);
    const double start = now();
    device->begin(&context);
    for (int r = 0; r < 10; r++) device->copy(to.data, from.data, bytes);
    device->finish(message, sizeof message);
    rounds.push_back((now() - start) / 10);
  }
  copy_rate = 2 * (double)bytes / median(rounds);
  report("copy", "", 2 * (double)bytes, median(rounds));
  release_all();
}

/* ---- an op ---- */

struct bench {
  tkg_node node;
  std::vector<array> in;
  double bytes; /* compulsory */
  bool in_place;

  bench(int op, int dtype, const dims &shape) : node(node_of(op, dtype, shape)), bytes(0) {
    in_place = false;
  }
  bench &f(double f0, double f1 = 0, double f2 = 0) {
    node.f[0] = f0, node.f[1] = f1, node.f[2] = f2;
    return *this;
  }
  bench &i(int64_t i0, int64_t i1 = 0, int64_t i2 = 0, int64_t i3 = 0) {
    node.i[0] = i0, node.i[1] = i1, node.i[2] = i2, node.i[3] = i3;
    return *this;
  }
  /* An input; so much of it has to be read, all of it by default. */
  bench &with(const array &a, double read = -1) {
    in.push_back(a);
    bytes += read < 0 ? (double)a.bytes : read;
    return *this;
  }
  int64_t out_bytes(void) const {
    int64_t count = 1, cols = node.rank ? node.shape[node.rank - 1] : 1;
    for (int d = 0; d < node.rank; d++) count *= node.shape[d];
    if (node.dtype == TKG_CODES) return codec_bytes((int)node.i[0], count / cols, cols);
    return node.dtype == TKG_MASK ? (count + 7) / 8 : 4 * count;
  }
  std::string text(void) const {
    std::string s;
    for (const array &a : in) {
      s += s.empty() ? "" : " ";
      for (int d = 0; d < a.node.rank; d++) {
        if (d) s += 'x';
        s += std::to_string(a.node.shape[d]);
      }
    }
    return s;
  }
  /* A sum over edges by each of cuSPARSE's algorithms, where the library is. */
  void by_library(const tkg_call *c, const char *name) {
    context.fast = true;
    device->set_ways("");
    seconds(c, NULL, 1); /* tries all */
    const std::string chosen = device->ways(), shape = chosen.substr(0, chosen.rfind(": "));
    for (int k = 1; k <= 3 && !chosen.empty(); k++) {
      const std::string way = "cuSPARSE CSR_ALG" + std::to_string(k);
      std::string only = shape, line = name;
      only.append(": ").append(way).append("\n");
      line.append(", ").append(way);
      device->set_ways(only.c_str());
      report(line.c_str(), text().c_str(), bytes + (double)out_bytes(), measure(c));
    }
    context.fast = false;
  }
  void go(const char *name = NULL) {
    tkg_call c = {};
    if (device->supports(node.op)) {
      c.node = &node;
      c.context = &context;
      node.inputs = (uint8_t)in.size();
      for (size_t k = 0; k < in.size(); k++) c.in[k] = &in[k].node, c.data[k] = in[k].data;
      c.out = in_place ? c.data[0] : make(node.dtype, {}, out_bytes()).data;
      const int64_t scratch = device->scratch_bytes(&node, c.in);
      if (scratch > 0) c.scratch = make(TKG_F32, {}, scratch).data;
      const int64_t order = device->ids_order ? device->ids_order(&node, c.in, false).bytes : 0;
      if (order > 0) c.order = make(TKG_F32, {}, order).data;
      const double took = measure(&c);
      name = name ? name : infos[node.op].name;
      report(name, text().c_str(), bytes + (double)out_bytes(), took);
      if (device->ways && node.op == TKG_OP_AGGREGATE && in[1].node.dtype == TKG_F32)
        by_library(&c, name);
    }
    release_all();
  }
};

/* Rows of 64 floats; a graph like Amazon-Book's (114 k nodes, 2 x 2.6 M edges, 40 relations). */
static int64_t N = (int64_t)1 << 21, D = 64, NODES = 113487, EDGES = 5200000, RELATIONS = 80;

static void elementwise(void) {
  const dims all = {N, D};
  bench(TKG_OP_ADD, TKG_F32, all).with(floats(all)).with(floats(all)).go();
  bench(TKG_OP_MUL, TKG_F32, all).with(floats(all)).with(floats({N, 1})).go("mul by a column");
  bench(TKG_OP_ADD, TKG_F32, all).with(floats(all)).with(floats({1, D})).go("add a row");
  bench(TKG_OP_LEAKY_RELU, TKG_F32, all).f(0).with(floats(all)).go("relu");
  bench(TKG_OP_TANH, TKG_F32, all).with(floats(all)).go();
  bench(TKG_OP_SOFTPLUS, TKG_F32, all).with(floats(all)).go();
  bench(TKG_OP_TANH_GRAD, TKG_F32, all).with(floats(all)).with(floats(all)).go();
  bench(TKG_OP_DROPOUT, TKG_F32, all).f(0.1).i(3).with(floats(all)).go();
}

static void kept(void) {
  const dims all = {N, D};
  static const int widths[] = {8, 4, 2, 1};
  for (int bits : widths) {
    const std::string width = " " + std::to_string(bits) + " bits";
    const int64_t packed = codec_bytes(bits, N, D);
    bench(TKG_OP_ENCODE, TKG_CODES, all)
        .i(bits, 0, 5)
        .with(floats(all))
        .go(("encode" + width).c_str());
    array codes = make(TKG_CODES, all, packed);
    codes.node.i[0] = bits;
    device->zero(codes.data, packed);
    bench(TKG_OP_DECODE, TKG_F32, all).i(bits, 0, 5).with(codes).go(("decode" + width).c_str());
  }
  bench(TKG_OP_SIGN_MASK, TKG_MASK, all).with(floats(all)).go();
  array mask = make(TKG_MASK, all, N * D / 8);
  device->zero(mask.data, mask.bytes);
  bench(TKG_OP_LEAKY_RELU_GRAD, TKG_F32, all)
      .f(0)
      .with(floats(all))
      .with(mask)
      .go("relu_grad, mask");
}

static void reductions(void) {
  const dims all = {N, D};
  bench(TKG_OP_SUM, TKG_F32, {N}).i(2).with(floats(all)).go("sum of rows");
  bench(TKG_OP_SUM, TKG_F32, {D}).i(1).with(floats(all)).go("sum of columns");
  bench(TKG_OP_SUM, TKG_F32, {}).i(3).with(floats(all)).go("sum of all");
  bench(TKG_OP_DOT, TKG_F32, {N}).with(floats(all)).with(floats(all)).go();
  bench(TKG_OP_ARGMAX, TKG_I32, {N}).with(floats(all)).go();
  bench(TKG_OP_SOFTMAX, TKG_F32, {N * 8, 8}).with(floats({N * 8, 8})).go();
  bench(TKG_OP_SOFTMAX_GRAD, TKG_F32, {N * 8, 8})
      .with(floats({N * 8, 8}))
      .with(floats({N * 8, 8}))
      .go();
  bench(TKG_OP_LOG_SOFTMAX, TKG_F32, all).with(floats(all)).go();
  bench(TKG_OP_ROW_NORM, TKG_F32, {N, 1}).f(1e-12).with(floats(all)).go();
  bench(TKG_OP_NORMALIZE, TKG_F32, all).f(1e-12).with(floats(all)).with(floats({N, 1}, true)).go();
}

/* The last is the gradient of a layer's weights. */
static void products(void) {
  const dims all = {N, D};
  bench(TKG_OP_MATMUL, TKG_F32, all).with(floats(all)).with(floats({D, D})).go();
  bench(TKG_OP_MATMUL, TKG_F32, {D, D}).i(1).with(floats(all)).with(floats(all)).go("matmul a'b");
}

static void layouts(void) {
  const dims all = {N, D}, half = {N, D / 2};
  bench(TKG_OP_CONCAT, TKG_F32, all).i(1).with(floats(half)).with(floats(half)).go();
  bench(TKG_OP_NARROW, TKG_F32, half).i(1, D / 2).with(floats(all), (double)(2 * N * D)).go();
  bench(TKG_OP_TRANSPOSE, TKG_F32, {D, N}).with(floats(all)).go();
}

static void rows_by_id(void) {
  int64_t used = 0;
  const int64_t rows = N / 2;
  array by = ids({N}, rows, &used);
  bench(TKG_OP_GATHER, TKG_F32, {N, D})
      .with(floats({rows, D}), (double)(4 * D * used))
      .with(by)
      .go();
  by = ids({N}, rows);
  bench(TKG_OP_SCATTER_ADD, TKG_F32, {rows, D}).with(floats({N, D})).with(by).go();
  std::vector<int32_t> hubs((size_t)N);
  for (int32_t &v : hubs) v = (int32_t)skewed(rows);
  by = integers({N}, hubs);
  bench(TKG_OP_SCATTER_ADD, TKG_F32, {rows, D})
      .with(floats({N, D}))
      .with(by)
      .go("scatter_add, hubs");
}

static void neighbourhoods(void) {
  const int64_t k = 8, n = N / k, rows = N / 2;
  int64_t used = 0;
  const dims w = {n, k}, few = {n, D}, all = {N, D};
  bench(TKG_OP_NEIGHBOR_SUM, TKG_F32, few).with(floats(w)).with(floats(all)).go();
  array by = ids(w, rows, &used);
  bench(TKG_OP_NEIGHBOR_SUM, TKG_F32, few)
      .with(floats(w))
      .with(floats({rows, D}), (double)(4 * D * used))
      .with(by)
      .go("neighbor_sum by ids");
  bench(TKG_OP_NEIGHBOR_DOT, TKG_F32, w).i(k).with(floats(few)).with(floats(all)).go();
  bench(TKG_OP_NEIGHBOR_OUTER, TKG_F32, all).with(floats(w)).with(floats(few)).go();
  by = ids(w, rows);
  bench(TKG_OP_NEIGHBOR_SCATTER, TKG_F32, {rows, D})
      .with(floats(w))
      .with(floats(few))
      .with(by)
      .go();
  by = ids({n, k}, 64);
  bench(TKG_OP_RELATION_SCORE, TKG_F32, w).with(floats(few)).with(floats({64, D})).with(by).go();
}

static void updates(void) {
  const dims all = {N, D};
  const struct {
    int op, inputs;
    const char *name;
  } rules[] = {{TKG_OP_SGD, 2, "sgd"}, {TKG_OP_ADAM, 4, "adam"}, {TKG_OP_ADAGRAD, 3, "adagrad"}};
  for (const auto &r : rules) {
    bench b(r.op, TKG_F32, all);
    b.f(r.op == TKG_OP_ADAM  ? 0.9
        : r.op == TKG_OP_SGD ? 0
                             : 1e-8,
        r.op == TKG_OP_ADAM ? 0.999 : 0, 1e-8);
    for (int k = 0; k < r.inputs; k++) b.with(floats(all, k > 1));
    b.in_place = true;
    b.bytes += (double)(r.inputs - 2) * (double)b.in[0].bytes; /* state is written as well */
    b.go(r.name);
  }
  bench b(TKG_OP_ADAM_BLOCKS, TKG_F32, all);
  b.f(0.9, 0.999, 1e-8).i(0, TKG_MOMENTS_8).with(floats(all)).with(floats(all));
  b.with(make(TKG_I32, {N * D / 2}, 2 * N * D)).with(make(TKG_F32, {N, 2}, 8 * N));
  for (int k = 2; k < 4; k++) device->zero(b.in[k].data, b.in[k].bytes);
  b.in_place = true;
  b.bytes += (double)(b.in[2].bytes + b.in[3].bytes);
  b.go();
}

/* ---- whole graphs ---- */

static int64_t layout = TKG_GRAPH_RELATIONS;

/* The same graph each time, packed once. */
static array graph(double *forward) {
  static std::vector<int32_t> packed;
  if (packed.empty()) {
    std::vector<int32_t> heads, tails, relations;
    for (int64_t e = 0; e < EDGES; e++) {
      heads.push_back((int32_t)skewed(NODES));
      tails.push_back((int32_t)below(NODES));
      relations.push_back((int32_t)below(RELATIONS));
    }
    packed.resize((size_t)graph_length(NODES, NODES, EDGES, TKG_GRAPH_RELATIONS));
    graph_pack(NODES, NODES, EDGES, heads.data(), relations.data(), tails.data(),
               TKG_GRAPH_RELATIONS, packed.data(), &layout, NULL);
    packed.resize((size_t)graph_length(NODES, NODES, EDGES, layout));
  }
  *forward = 4.0 * (double)(NODES + 1 + EDGES);
  return integers({(int64_t)packed.size()}, packed);
}

static void graphs(void) {
  double read;
  const dims x = {NODES, D};
  const int64_t there = TKG_GRAPH_BACKWARD;
  for (int back = 0; back < 2; back++) {
    array g = graph(&read);
    bench(TKG_OP_AGGREGATE, TKG_F32, x)
        .i(NODES, NODES, EDGES, layout | (back ? there : 0))
        .with(g, read)
        .with(floats(x))
        .go(back ? "aggregate, backward" : "aggregate");
  }
  array g = graph(&read);
  bench(TKG_OP_AGGREGATE, TKG_F32, x)
      .i(NODES, NODES, EDGES, layout)
      .with(g, read)
      .with(floats(x))
      .with(floats({EDGES}))
      .go("aggregate, weights");
  for (int bits : {8, 4, 2, 1}) {
    g = graph(&read);
    array codes = make(TKG_CODES, x, codec_bytes(bits, NODES, D));
    codes.node.i[0] = bits;
    device->zero(codes.data, codes.bytes);
    bench(TKG_OP_AGGREGATE, TKG_F32, x)
        .i(NODES, NODES, EDGES, layout)
        .with(g, read)
        .with(codes)
        .with(floats({EDGES}))
        .go(("aggregate, weights, " + std::to_string(bits) + " bits").c_str());
  }
  g = graph(&read);
  bench(TKG_OP_AGGREGATE_MUL, TKG_F32, x)
      .i(NODES, NODES, EDGES, layout)
      .with(g, read + 4.0 * (double)EDGES)
      .with(floats(x))
      .with(floats({RELATIONS, D}))
      .go();
  g = graph(&read);
  bench(TKG_OP_SDDMM, TKG_F32, {EDGES})
      .i(NODES, NODES, EDGES, layout)
      .with(g, read)
      .with(floats(x))
      .with(floats(x))
      .go();
  g = graph(&read);
  bench(TKG_OP_AGGREGATE_RELATION, TKG_F32, {RELATIONS, D})
      .i(NODES, NODES, EDGES, layout)
      .with(g, read + 4.0 * (double)EDGES)
      .with(floats(x))
      .with(floats(x))
      .go();
  g = graph(&read);
  bench(TKG_OP_EDGE_SOFTMAX, TKG_F32, {EDGES})
      .i(NODES, NODES, EDGES, layout)
      .with(g, 4.0 * (double)NODES)
      .with(floats({EDGES}))
      .go();
}

/* ---- sampling ---- */

static void sampling(void) {
  const int64_t n = N / 8, k = 8;
  std::vector<int32_t> offsets(1), tails, relations;
  for (int64_t v = 0; v < NODES; v++) {
    for (int64_t e = 1 + skewed(90); e > 0; e--) {
      tails.push_back((int32_t)below(NODES));
      relations.push_back((int32_t)below(RELATIONS));
    }
    std::sort(tails.begin() + offsets.back(), tails.end());
    offsets.push_back((int32_t)tails.size());
  }
  const dims rows = {NODES + 1}, edges = {(int64_t)tails.size()};
  bench(TKG_OP_SAMPLE_NEIGHBORS, TKG_I32, {2, n, k})
      .i(k, 4, 0)
      .with(integers(rows, offsets), 8.0 * (double)n)
      .with(integers(edges, tails), 4.0 * (double)(n * k))
      .with(integers(edges, relations), 4.0 * (double)(n * k))
      .with(ids({n}, NODES))
      .go();
  bench(TKG_OP_SAMPLE_NEGATIVES, TKG_I32, {n, 1})
      .i(1, 4, NODES)
      .with(integers(rows, offsets), 8.0 * (double)n)
      .with(integers(edges, tails), 4.0 * (double)n)
      .with(ids({n}, NODES))
      .go();
}

/* ---- all of it ---- */

static void *symbol(void *library, const char *name) {
  void *s = dlsym(library, name);
  if (!s) fprintf(stderr, "kernels: %s\n", dlerror()), exit(2);
  return s;
}

static void *library(const char *path) {
  void *l = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!l) fprintf(stderr, "kernels: %s\n", dlerror()), exit(2);
  return l;
}

static void open_all(const char *engine, const char *backend, const char *name) {
  char message[512] = "";
  void *e = library(engine);
  infos = (const tkg_op_info *)symbol(e, "tkg__ops");
  codec_bytes = (decltype(codec_bytes))symbol(e, "tkg_codec_bytes");
  graph_length = (decltype(graph_length))symbol(e, "tkg_graph_length");
  graph_pack = (decltype(graph_pack))symbol(e, "tkg_graph_pack");
  tkg_backend_opener opener = (tkg_backend_opener)symbol(library(backend), "tkg_backend_open");
  device = opener(name, message, sizeof message);
  if (!device) fprintf(stderr, "kernels: %s\n", message), exit(1);
}

int main(int argc, char **argv) {
  if (argc < 4)
    return fprintf(stderr, "kernels LIBTINYKG BACKEND DEVICE [quick] [first|rest]\n"), 2;
  open_all(argv[1], argv[2], argv[3]);
  bool first = true, rest = true;
  for (int k = 4; k < argc; k++) {
    if (!strcmp(argv[k], "quick")) quick = true;
    if (!strcmp(argv[k], "first")) rest = false;
    if (!strcmp(argv[k], "rest")) first = false;
  }
  if (quick) N = 2048, NODES = 500, EDGES = 4000, RELATIONS = 5;
  copies(quick ? 1 << 16 : (int64_t)1 << 30);
  if (first) graphs();
  if (!rest) return 0;
  products(); /* what is asked first, should time run out */
  reductions();
  rows_by_id();
  updates();
  elementwise();
  kept();
  neighbourhoods();
  layouts();
  sampling();
  return 0;
}
