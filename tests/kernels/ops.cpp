/* Every op of a backend against the CPU backend, through the table of functions that the engine
 * uses.
 *
 *   ops LIBTINYKG BACKEND [DEVICE] [SEED] [ROUNDS]
 *
 * Shapes are random, with awkward ones among them (0, 1, 31, 32, 33, odd widths, a hub row); values
 * include zeros of both signs, and NaN and infinities where an op promises something about them.
 * Copies, noise, codes and sampled ids must be equal bit for bit, sums within rounding. Each array
 * is an allocation of its own, so that AddressSanitizer sees accesses beside it; without that,
 * words past the output are watched. A backend of a real device is tested in the same way. */
#include "ops.h"
#include "ops_graph.h"
#include "ops_sample.h"
#include "ops_tiles.h"
#include "shared/codec.h"
#include "shared/formulas.h"

/* ---- cases, by family ---- */

static dims some_shape(void) {
  dims shape;
  for (int64_t rank = below(5); rank > 0; rank--) {
    static const int64_t sizes[] = {1, 2, 3, 4, 8, 17, 33};
    shape.push_back(below(40) ? sizes[below(rank > 2 ? 4 : 7)] : 0);
  }
  return shape;
}

static void elementwise(void) {
#define X(name, ...) TKG_OP_##name,
  static const int unary[] = {UNARY_OPS(X) TKG_OP_DROPOUT, TKG_OP_FULL};
  static const int gradients[] = {GRAD_OPS(X)};
#undef X
  const dims shape = {some_rows(), some_cols()};
  for (int op : unary) {
    tkg_node n = node_of(op, TKG_F32, shape);
    std::vector<array> in = {floats(shape, -20, 20)};
    float *x = in[0].f();
    if (in[0].bytes.size() >= 16) x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = 1e-40f;
    n.f[0] = op == TKG_OP_DROPOUT ? 0.3 : below(2) ? -0.5 : 0;
    n.f[1] = 0.75;
    n.i[0] = 5;
    if (op == TKG_OP_FULL) in.clear();
    compare(&n, in, 0, op == TKG_OP_FULL || below(2) ? -1 : 0);
  }
  tkg_node drop = node_of(TKG_OP_DROPOUT, TKG_F32, shape);
  std::vector<array> rows = {floats(shape), ids({shape[0]}, 100000)};
  drop.f[0] = 0.3;
  drop.i[0] = 5;
  drop.inputs = 2;
  if (shape[0] > 0 && below(6) == 0) rows[1].i()[below(shape[0])] = -7;
  compare(&drop, rows, 0, below(2) ? -1 : 0);
  for (int op : gradients) {
    tkg_node n = node_of(op, TKG_F32, shape);
    std::vector<array> in = {floats(shape), floats(shape)};
    n.f[0] = -0.5;
    n.f[1] = 0.5;
    compare(&n, in, 0, below(2) ? -1 : 0);
  }
  tkg_node n = node_of(TKG_OP_LEAKY_RELU_GRAD, TKG_F32, shape);
  std::vector<array> in = {floats(shape), floats(shape)};
  in[1].node.dtype = TKG_MASK;
  in[1].bytes.resize((size_t)bytes_of(&in[1].node));
  n.f[0] = 0.1;
  compare(&n, in, 0, below(2) ? -1 : 0);
  in[1] = coded(floats(shape), true);
  compare(&n, in, 0, below(2) ? -1 : 0);
}

/* Normal and Gumbel numbers may differ by what a device rounds otherwise: nothing. */
static void random_numbers(void) {
  const dims shapes[] = {{some_rows(), some_cols()}, {below(5000)}, {2, 3, 1 + below(9)}, {}};
  for (const dims &shape : shapes)
    for (int kind = 0; kind < TKG_RANDOM_KINDS; kind++) {
      tkg_node n = node_of(TKG_OP_RANDOM, TKG_F32, shape);
      std::vector<array> in;
      n.i[0] = kind;
      n.i[1] = below(9);
      compare(&n, in, 0, -1);
    }
}

/* A shape that broadcasts to the given one. */
static dims shrunk(dims shape) {
  for (int64_t &s : shape)
    if (below(3) == 0) s = 1;
  for (int64_t drop = below(3); drop > 0 && !shape.empty() && below(2); drop--)
    shape.erase(shape.begin());
  return shape;
}

static void broadcasts(void) {
#define X(name, ...) TKG_OP_##name,
  static const int ops[] = {BINARY_OPS(X)};
#undef X
  const dims shape = some_shape();
  for (int op : ops) {
    tkg_node n = node_of(op, TKG_F32, shape);
    std::vector<array> in = {floats(shape), floats(shrunk(shape), 0.5, 2)};
    bool left = below(2);
    if (left) std::swap(in[0], in[1]);
    compare(&n, in, 0, left || below(2) ? -1 : 0);
  }
  for (int op : {TKG_OP_SELECT, TKG_OP_REJECT}) { /* by a mask, or by the signs of codes */
    tkg_node n = node_of(op, TKG_F32, shape);
    std::vector<array> in = {floats(shape), floats(shrunk(shape))};
    if (in[1].node.rank == 2 && below(2)) {
      in[1] = coded(in[1], true);
    } else {
      in[1].node.dtype = TKG_MASK;
      in[1].bytes.resize((size_t)bytes_of(&in[1].node));
    }
    compare(&n, in, 0, below(2) ? -1 : 0);
  }
  tkg_node n = node_of(TKG_OP_BROADCAST, TKG_F32, shape);
  std::vector<array> in = {floats(shrunk(shape))};
  compare(&n, in, 0, -1);
}

static void sums(void) {
  dims shape = some_shape(), kept;
  if (below(4) == 0) shape = {1 + below(9000)};
  if (below(4) == 0) shape = {1 + below(4000), some_cols()};
  if (below(8) == 0) shape = {2, 1 + below(9000)};
  tkg_node n = {};
  n.i[0] = below((int64_t)1 << shape.size());
  for (size_t d = 0; d < shape.size(); d++)
    if (!(n.i[0] >> d & 1)) kept.push_back(shape[d]);
  const int64_t which = n.i[0];
  n = node_of(TKG_OP_SUM, TKG_F32, kept);
  n.i[0] = which;
  std::vector<array> in = {floats(shape)};
  /* Terms of both signs cancel; the roundings of the partial sums do not. */
  compare(&n, in, sums_of(count_of(&in[0].node) / (count_of(&n) ? count_of(&n) : 1)), -1);
}

static void by_row(void) {
  const int64_t rows = some_rows(), cols = below(12) ? some_cols() : 2000 + below(3000);
  tkg_node n = node_of(TKG_OP_ARGMAX, TKG_I32, {rows});
  std::vector<array> in = {floats({rows, cols}, -1, 1)};
  if (rows > 2) in[0].f()[2 * cols + cols / 2] = NAN;
  if (rows > 1) in[0].f()[cols] = in[0].f()[2 * cols - 1] = 9;
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_DOT, TKG_F32, {rows});
  in = {floats({rows, cols}), floats({rows, cols})};
  compare(&n, in, sums_of(cols), -1);
  static const int ops[] = {TKG_OP_SOFTMAX, TKG_OP_LOG_SOFTMAX, TKG_OP_SOFTMAX_GRAD,
                            TKG_OP_LOG_SOFTMAX_GRAD};
  for (int k = 0; k < 4; k++) {
    n = node_of(ops[k], TKG_F32, {rows, cols});
    in = {floats({rows, cols}, -4, 4)};
    if (k >= 2) in.push_back(floats({rows, cols}, -6, 0));
    if (rows > 3) in[0].f()[3 * cols] = NAN;
    compare(&n, in, sums_of(cols), below(2) ? -1 : 0);
  }
}

/* Some rows are at the floor. The gradient reads y as floats and from codes. */
static void normalizing(void) {
  static const int widths[] = {32, 8, 4, 2, 1};
  const int64_t rows = some_rows(), cols = below(12) ? some_cols() : 600;
  array x = floats({rows, cols}, -4, 4);
  if (rows > 3) x.f()[3 * cols] = NAN;
  if (rows > 5) memset(x.f() + 5 * cols, 0, (size_t)cols * 4);
  tkg_node n = node_of(TKG_OP_ROW_NORM, TKG_F32, {rows, 1});
  n.f[0] = below(2) ? 1e-12 : 3;
  std::vector<array> in = {x};
  compare(&n, in, SUMS, -1);
  n.i[0] = below(2);
  compare(&n, in, SUMS, -1);
  n.i[0] = 0;
  const array norm = {node_of(TKG_OP_LEAF, TKG_F32, {rows, 1}), run_on(cpu, &n, in, -1).out};
  tkg_node y = node_of(TKG_OP_NORMALIZE, TKG_F32, {rows, cols});
  y.f[0] = n.f[0];
  in = {x, norm};
  compare(&y, in, SUMS, below(2) ? -1 : 0);
  const array exact = {node_of(TKG_OP_LEAF, TKG_F32, {rows, cols}), run_on(cpu, &y, in, -1).out};
  for (int bits : widths) {
    array y_saved = exact;
    if (bits < 32) {
      tkg_node codes = node_of(TKG_OP_ENCODE, TKG_CODES, {rows, cols});
      codes.i[0] = bits;
      codes.i[1] = below(2) ? TKG_ROUND_DITHER : TKG_ROUND_DITHER_INDEPENDENT;
      codes.i[2] = 1 << 20;
      in = {exact};
      y_saved = {codes, run_on(cpu, &codes, in, -1).out};
    }
    n = node_of(TKG_OP_NORMALIZE_GRAD, TKG_F32, {rows, cols});
    n.f[0] = y.f[0];
    in = {floats({rows, cols}), y_saved, norm};
    compare(&n, in, SUMS, below(2) ? -1 : 0);
  }
}

static void updates(void) {
  const dims shape = {some_rows(), some_cols()};
  static const struct {
    int op, inputs;
  } ops[] = {{TKG_OP_SGD, 2}, {TKG_OP_SGD, 3}, {TKG_OP_ADAM, 4}, {TKG_OP_ADAGRAD, 3}};
  for (auto o : ops) {
    tkg_node n = node_of(o.op, TKG_F32, shape);
    std::vector<array> in((size_t)o.inputs);
    for (int k = 0; k < o.inputs; k++) in[(size_t)k] = floats(shape, k >= 2 ? 0 : -1, 1);
    n.f[0] = o.op == TKG_OP_ADAGRAD ? 1e-8 : 0.9;
    n.f[1] = o.op == TKG_OP_ADAM ? 0.999 : 0.01;
    n.f[2] = 1e-8;
    n.f[3] = 0.01;
    compare(&n, in, 0, 0);
  }
}

/* The rows that have a gradient, in any order: their places in it, which has a row for each. */
static array some_places(int64_t rows, int64_t *touched) {
  array a = ids({rows}, 2);
  *touched = 0;
  for (int64_t r = 0; r < rows; r++) a.i()[r] = a.i()[r] ? (int32_t)(*touched)++ : -1;
  return a;
}

/* Ids of rows with the positions of their first occurrences. */
static std::vector<array> some_list(int64_t rows) {
  array list = ids({1 + below(2 * rows)}, rows), first = list;
  const int64_t n = (int64_t)list.bytes.size() / 4;
  for (int64_t k = n; k-- > 0;)
    for (int64_t before = 0; before <= k; before++)
      if (list.i()[before] == list.i()[k]) {
        first.i()[k] = (int32_t)before;
        break;
      }
  return {list, first};
}

/* Each format of moments, parameters of 32 and 16 bits; gradients of all rows, of indexed and of
 * listed ones. Updates three times: the state is that of the update before. Row-wise a sum's order
 * differs. */
static void updates_in_blocks(void) {
  static const int64_t widths[] = {1, 5, 8, 31, 32, 33, 64, 100, 256, 257, 300};
  const dims shape = {some_rows(), widths[below(11)]};
  const tkg_node like = node_of(TKG_OP_LEAF, TKG_F32, shape);
  const bool fits = shape[1] <= 256, half = below(2);
  const int format = (int)(fits ? below(8) : below(2));
  const int64_t cols = shape[1], count = count_of(&like);
  const int64_t length = format & 6 || (cols >= 32 && fits) ? cols : 64;
  const bool by_row = length == cols && shape[0] > 0;
  const bool index = by_row && below(3) == 0, listed = by_row && !index && below(2);
  const bool compact = listed && below(2);
  const int64_t blocks = (count + length - 1) / length;
  array p = floats(shape, -1, 1);
  int64_t touched = shape[0];
  std::vector<array> rows;
  if (index) rows = {some_places(shape[0], &touched)};
  if (listed) rows = some_list(shape[0]);
  if (compact) touched = (int64_t)rows[0].bytes.size() / 4;
  std::vector<array> in = {half ? halves(p) : p, floats({touched, cols}, -1, 1)};
  in.push_back(format & 1 ? ids({format & 2 ? (count + 3) / 4 : (count + 1) / 2}, 1)
                          : floats(shape, -1, 1));
  in.push_back(floats(format & 1 ? dims{blocks, 2} : format & 2 ? dims{blocks} : shape, 0, 0));
  in.insert(in.end(), rows.begin(), rows.end());
  tkg_node n = node_of(TKG_OP_ADAM_BLOCKS, half ? TKG_BF16 : TKG_F32, shape);
  n.inputs = (uint8_t)in.size();
  n.f[0] = 0.9;
  n.f[1] = 0.999;
  n.f[2] = 1e-8;
  n.f[3] = 0.01;
  n.i[1] = format;
  n.i[2] = below(5);
  n.i[3] = compact;
  for (int round = 0; round < 3; round++) {
    compare(&n, in, format & 2 ? sums_of(cols) : 0, 0);
    const result after = run_on(cpu, &n, in, 0);
    for (size_t k = 2; k < 4; k++) in[k].bytes = after.inputs[k];
    in[0].bytes = after.out;
  }
}

static void products(void) {
  const int64_t m = some_rows(), k = below(12) ? some_cols() : 0, n = some_cols();
  for (int t = 0; t < 4; t++) {
    const bool ta = t & 1, tb = t & 2;
    tkg_node o = node_of(TKG_OP_MATMUL, TKG_F32, {m, n});
    o.i[0] = ta;
    o.i[1] = tb;
    std::vector<array> in = {floats(ta ? dims{k, m} : dims{m, k}),
                             floats(tb ? dims{n, k} : dims{k, n})};
    compare(&o, in, sums_of(k), -1);
  }
}

static void batched_products(void) {
  const int64_t b = below(9), m = some_cols(), k = below(12) ? some_cols() : 0, n = some_cols();
  for (int t = 0; t < 4; t++) {
    const bool ta = t & 1, tb = t & 2;
    tkg_node o = node_of(TKG_OP_BATCHED_MATMUL, TKG_F32, {b, m, n});
    o.i[0] = ta;
    o.i[1] = tb;
    std::vector<array> in = {floats(ta ? dims{b, k, m} : dims{b, m, k}),
                             floats(tb ? dims{b, n, k} : dims{b, k, n})};
    compare(&o, in, sums_of(k), -1);
  }
}

/* A weight's gradient over so many rows that the sum is made of parts. */
static void parted_products(void) {
  const int64_t k = TKG_PARTED_ROWS + below(3000), m = 1 + below(70), n = 1 + below(70);
  for (int tb = 0; tb < 2; tb++) {
    tkg_node o = node_of(TKG_OP_MATMUL, TKG_F32, {m, n});
    o.i[0] = 1;
    o.i[1] = tb;
    std::vector<array> in = {floats({k, m}), floats(tb ? dims{n, k} : dims{k, n})};
    compare(&o, in, sums_of(k), -1);
  }
}

/* Few distinct numbers in some rows, and NaN, infinities and zeros of both signs. */
static void largest(void) {
  const int64_t rows = some_rows(), cols = below(6) ? some_cols() : 4000 + below(3000);
  const int64_t k = 1 + (below(2) ? below(cols) : below(cols < 20 ? cols : 20));
  array x = floats({rows, cols});
  if (below(2))
    for (int64_t j = 0; j < rows * cols; j++) x.f()[j] = (float)below(4) - 1;
  if (rows > 2 && cols > 3) {
    float *row = x.f() + 2 * cols;
    row[cols / 2] = row[0] = NAN, row[1] = -INFINITY, row[2] = INFINITY, row[3] = -0.0f;
  }
  std::vector<array> in = {x};
  tkg_node n = node_of(TKG_OP_TOP_K, TKG_I32, {rows, k});
  n.i[0] = k;
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_TOP_K_MASK, TKG_F32, {rows, cols});
  n.i[0] = k;
  compare(&n, in, 0, -1);
}

/* Rows of one matrix against those of another, both of which may be cut; some rows are NaN. */
static void contrasts(void) {
  const int64_t n = some_rows(), m = below(3) ? some_rows() : 700 + below(900);
  const int64_t d = below(12) ? some_cols() : 0;
  array x = floats({n, d}), y = floats({m, d});
  if (n > 3 && d > 0 && below(4) == 0) x.f()[3 * d] = NAN;
  tkg_node o = node_of(TKG_OP_PRODUCT_LOGSUMEXP, TKG_F32, {n, 1});
  o.f[0] = below(2) ? 0.3 : -2;
  std::vector<array> in = {x, y};
  compare(&o, in, sums_of(d) + sums_of(m), -1);
  const array sums = {node_of(TKG_OP_LEAF, TKG_F32, {n, 1}), run_on(cpu, &o, in, -1).out};
  for (int by = 0; by < 2; by++) {
    tkg_node back = node_of(TKG_OP_PRODUCT_LOGSUMEXP_GRAD, TKG_F32, {by ? m : n, d});
    back.f[0] = o.f[0];
    back.i[0] = by;
    in = {floats({n, 1}), x, y, sums};
    compare(&back, in, 4 * (sums_of(d) + sums_of(by ? n : m)), -1);
  }
}

static void layouts(void) {
  dims shape = some_shape();
  if (shape.empty()) shape = {5};
  const int64_t dim = below((int64_t)shape.size());
  std::vector<array> in;
  dims all = shape;
  all[(size_t)dim] = 0;
  for (int64_t k = 0; k < 2 + below(5); k++) {
    dims part = shape;
    part[(size_t)dim] = below(4) ? below(9) : 4 * below(3);
    all[(size_t)dim] += part[(size_t)dim];
    in.push_back(floats(part));
  }
  tkg_node n = node_of(TKG_OP_CONCAT, TKG_F32, all);
  n.inputs = (uint8_t)in.size();
  n.i[0] = dim;
  compare(&n, in, 0, -1);
  const int64_t whole = 1 + below(below(8) ? 40 : 3000), first = below(whole);
  dims inside = shape, around = shape;
  around[(size_t)dim] = whole;
  inside[(size_t)dim] = below(whole - first + 1);
  n = node_of(TKG_OP_NARROW, TKG_F32, inside);
  n.i[0] = dim;
  n.i[1] = first;
  in = {floats(around)};
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_PAD, TKG_F32, around);
  n.i[0] = dim;
  n.i[1] = first;
  in = {floats(inside)};
  n.inputs = 1;
  if (below(2)) {
    in.push_back(floats(around));
    n.inputs = 2;
  }
  compare(&n, in, 0, n.inputs > 1 && below(2) ? 1 : -1);
  const int64_t rows = some_rows(), cols = some_cols();
  n = node_of(TKG_OP_TRANSPOSE, TKG_F32, {cols, rows});
  in = {floats({rows, cols})};
  compare(&n, in, 0, -1);
}

static void rows_by_id(void) {
  const int64_t rows = below(9) ? 1 + below(300) : 1, m = some_rows();
  const int64_t d = below(12) ? some_cols() : 0;
  const bool vector = below(6) == 0, three = below(3) == 0 && m % 2 == 0;
  const array x = floats(vector ? dims{rows} : dims{rows, d});
  std::vector<array> in = {vector ? x : maybe_coded(x, true),
                           ids(three ? dims{m / 2, 2} : dims{m}, rows)};
  spoil(in[1], rows);
  dims shape = three ? dims{m / 2, 2} : dims{m};
  if (!vector) shape.push_back(d);
  tkg_node n = node_of(TKG_OP_GATHER, TKG_F32, shape);
  compare(&n, in, 0, -1);
  in[0] = halves(x);
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_WIDEN, TKG_F32, vector ? dims{rows} : dims{rows, d});
  in = {in[0]};
  compare(&n, in, 0, -1);
  const int64_t first = below(rows);
  n = node_of(TKG_OP_WIDEN, TKG_F32, vector ? dims{rows - first} : dims{rows - first, d});
  n.i[0] = first * (vector ? 1 : d);
  compare(&n, in, 0, -1);

  const int64_t many = below(3) ? m : 300 + below(2000); /* a hub's run then spans chunks */
  n = node_of(TKG_OP_SCATTER_ADD, TKG_F32, vector ? dims{rows} : dims{rows, d});
  in = {floats(vector ? dims{many} : dims{many, d}), ids({many}, rows)};
  spoil(in[1], rows);
  n.inputs = 2;
  int over = -1;
  if (below(2)) {
    in.push_back(floats(vector ? dims{rows} : dims{rows, d}));
    over = below(2) ? 2 : -1;
    n.inputs = 3;
  }
  compare(&n, in, sums_of(most_equal(in[1])), over);

  const int64_t r = 1 + below(70), j = below(12) ? some_cols() : 0;
  n = node_of(TKG_OP_TAKE, TKG_F32, {m, j});
  in = {floats({m, r}), ids({m, j}, r)};
  spoil(in[1], r);
  compare(&n, in, 0, -1);
  n = node_of(TKG_OP_TAKE_GRAD, TKG_F32, {m, r});
  in = {floats({m, j}), ids({m, j}, r)};
  spoil(in[1], r);
  compare(&n, in, sums_of(j), -1);
}

static void neighbourhoods(void) {
  const int64_t n = some_rows(), k = 1 + below(17), d = below(12) ? some_cols() : 0;
  const int64_t m = 1 + below(200);
  const bool with = below(3) != 0;
  const array exact = floats(with ? dims{m, d} : dims{n * k, d});
  const array x = below(3) ? exact : halves(exact);
  array by = ids(below(2) ? dims{n, k} : dims{n * k}, m);
  spoil(by, m);
  tkg_node o = node_of(TKG_OP_NEIGHBOR_SUM, TKG_F32, {n, d});
  std::vector<array> in = {floats({n, k}), x};
  if (with) in.push_back(by);
  compare(&o, in, SUMS, -1);
  o = node_of(TKG_OP_NEIGHBOR_DOT, TKG_F32, {n, k});
  o.i[0] = k;
  in = {floats({n, d}), x};
  if (with) in.push_back(by);
  compare(&o, in, SUMS, -1);
  o = node_of(TKG_OP_NEIGHBOR_OUTER, TKG_F32, {n * k, d});
  in = {floats({n, k}), floats({n, d})};
  compare(&o, in, 0, -1);
  o = node_of(TKG_OP_NEIGHBOR_SCATTER, TKG_F32, {m, d});
  in = {floats({n, k}), floats({n, d}), by};
  int over = -1;
  o.inputs = 3;
  if (below(2)) {
    in.push_back(floats({m, d}));
    over = below(2) ? 3 : -1;
    o.inputs = 4;
  }
  compare(&o, in, sums_of(most_equal(by)), over);
  o = node_of(TKG_OP_RELATION_SCORE, TKG_F32, {n, k});
  in = {floats({n, d}), floats({m, d}), ids({n, k}, m)};
  spoil(in[2], m);
  compare(&o, in, sums_of(d), -1);
}

static void saved(void) {
  static const int widths[] = {8, 4, 2, 1};
  const dims shape = {some_rows(), below(10) ? some_cols() : 0};
  for (int bits : widths) {
    array x = floats(shape, -3, 5);
    const int64_t count = count_of(&x.node), cols = shape[1];
    if (count > 8 * cols && cols > 0) { /* rows that are special */
      for (int64_t j = 0; j < cols; j++) x.f()[j] = 0.1f, x.f()[cols + j] = 0;
      x.f()[3 * cols] = NAN;
      x.f()[4 * cols + cols / 2] = INFINITY;
      x.f()[5 * cols] = 3e38f, x.f()[6 * cols - 1] = -3e38f;
      x.f()[6 * cols] = 1e-38f;
    }
    tkg_node n = node_of(TKG_OP_ENCODE, TKG_CODES, shape);
    n.i[0] = bits;
    n.i[1] = below(TKG_ROUNDINGS);
    n.i[2] = 1 << 20;
    n.i[3] = below(2);
    std::vector<array> in = {x};
    compare(&n, in, 0, -1);
    array codes = {n, run_on(cpu, &n, in, -1).out};
    const tkg_node encoded = n;
    n = node_of(TKG_OP_DECODE, TKG_F32, shape);
    memcpy(n.i, encoded.i, sizeof n.i);
    in = {codes};
    compare(&n, in, 0, -1);
  }
  tkg_node n = node_of(TKG_OP_SIGN_MASK, TKG_MASK, shape);
  std::vector<array> in = {floats(shape)};
  compare(&n, in, 0, -1);
}

/* Rows added to zeros, to a value, and over it; where there are many destinations, an id and its
 * position do not fit in one word. */
static void add_rows(const array &by, int64_t rows, int64_t d) {
  tkg_node n = node_of(TKG_OP_SCATTER_ADD, TKG_F32, {rows, d});
  std::vector<array> in = {floats({count_of(&by.node), d}), by};
  n.inputs = 2;
  compare(&n, in, sums_of(most_equal(by)), -1);
  in.push_back(floats({rows, d}));
  n.inputs = 3;
  compare(&n, in, sums_of(most_equal(by)), below(2) ? 2 : -1);
}

/* A hub that 60,000 rows are added to, and one of 20,000 weighted rows. Runs once. */
static void hub(void) {
  add_rows(ids({3000}, 1 << 21), 1 << 21, 1);
  array by = ids({70000}, 70000);
  add_rows(by, 70000, 4);
  by = ids({70000}, 40);
  for (int64_t p = 0; p < 60000; p++) by.i()[p + below(10000)] = 17;
  for (int64_t d : {20, 3}) add_rows(by, 40, d);
  add_rows(by, 70000, 3);
  by = ids({9000, 4}, 5000);
  for (int64_t p = 0; p < 20000; p++) by.i()[p + below(10000)] = 17;
  tkg_node n = node_of(TKG_OP_NEIGHBOR_SCATTER, TKG_F32, {5000, 6});
  std::vector<array> in = {floats({9000, 4}), floats({9000, 6}), by};
  n.inputs = 3;
  compare(&n, in, sums_of(most_equal(by)), -1);
}

/* After a bad id in one op, a parameter that is updated later in the run must not change. */
static void no_update_after_an_error(void) {
  std::vector<array> in = {floats({4, 4}), list({1, 9})};
  array p = floats({8}), g = floats({8});
  tkg_node gather = node_of(TKG_OP_GATHER, TKG_F32, {2, 4});
  tkg_node sgd = node_of(TKG_OP_SGD, TKG_F32, {8});
  std::vector<char> out(32), after(32);
  char message[256] = "";
  tkg_call a = {}, b = {};
  a.node = &gather, b.node = &sgd;
  a.context = b.context = &context;
  a.where = "recipe.lua:12";
  a.in[0] = &in[0].node, a.in[1] = &in[1].node, b.in[0] = &p.node, b.in[1] = &g.node;
  a.data[0] = put(device, in[0].bytes, 0), a.data[1] = put(device, in[1].bytes, 0);
  b.data[0] = b.out = put(device, p.bytes, 0), b.data[1] = put(device, g.bytes, 0);
  a.out = put(device, out, 0);
  checks++;
  int status = device->begin(&context) | device->run(&a) | device->run(&b);
  int found = device->finish(message, sizeof message);
  device->read(after.data(), b.out, 32);
  if (status || found != TKG_E_RANGE || after != p.bytes ||
      strcmp(message, "recipe.lua:12: gather: id 9 at position 1 is outside 0..3") != 0)
    failures++, printf("FAIL after an error: status %d %d '%s'\n", status, found, message);
  status = device->begin(&context) | device->run(&b);
  status |= device->finish(message, sizeof message);
  device->read(after.data(), b.out, 32);
  if (status || after == p.bytes) failures++, printf("FAIL: an error outlives its run\n");
  void *const memory[] = {a.data[0], a.data[1], a.out, b.data[0], b.data[1]};
  for (void *m : memory) device->release(m);
}

/* ---- all of it ---- */

static void *symbol(void *library, const char *name) {
  void *s = dlsym(library, name);
  if (!s) fprintf(stderr, "ops: %s\n", dlerror()), exit(2);
  return s;
}

static void *library(const char *path) {
  void *l = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!l) fprintf(stderr, "ops: %s\n", dlerror()), exit(2);
  return l;
}

static void open_all(const char *engine, const char *backend, const char *name) {
  char message[512] = "";
  void *e = library(engine), *l = library(backend);
  cpu = (const tkg_backend *)symbol(e, "tkg__cpu_backend");
  cpu_error = (const char *(*)(void))symbol(e, "tkg_error");
  codec_bytes = (int64_t(*)(int, int64_t, int64_t))symbol(e, "tkg_codec_bytes");
  infos = (const tkg_op_info *)symbol(e, "tkg__ops");
  rows_apart = (decltype(rows_apart))symbol(e, "tkg__rows_apart_by_list");
  rows_by_position = (decltype(rows_by_position))symbol(e, "tkg__rows_by_position");
  row_of_position = (decltype(row_of_position))symbol(e, "tkg__row_of_position");
  row_access = (decltype(row_access))symbol(e, "tkg__row_access");
  graph_length = (decltype(graph_length))symbol(e, "tkg_graph_length");
  graph_pack = (decltype(graph_pack))symbol(e, "tkg_graph_pack");
  tkg_backend_opener opener = (tkg_backend_opener)symbol(l, "tkg_backend_open");
  device = opener(name, message, sizeof message);
  if (!device) fprintf(stderr, "ops: %s\n", message), exit(2);
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "ops LIBTINYKG BACKEND [DEVICE] [SEED] [ROUNDS]\n"), 2;
  open_all(argv[1], argv[2], argc > 3 ? argv[3] : "auto");
  state = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
  const int rounds = argc > 5 ? atoi(argv[5]) : 40;
  void (*const families[])(void) = {elementwise,
                                    random_numbers,
                                    broadcasts,
                                    sums,
                                    by_row,
                                    updates,
                                    updates_in_blocks,
                                    products,
                                    parted_products,
                                    batched_products,
                                    contrasts,
                                    largest,
                                    layouts,
                                    sampling,
                                    rows_by_id,
                                    neighbourhoods,
                                    saved,
                                    normalizing,
                                    graphs,
                                    grouped,
                                    tails_and_values};
  for (int r = 0; r < rounds; r++)
    for (auto family : families) family();
  if (rounds >= 10) hub(), hub_of_a_graph();
  no_update_after_an_error();
  for (int op = 0; op < TKG_OP_COUNT; op++) {
    /* A round or two may make no graph with an edge. */
    if (rounds >= 10 && device->supports(op) && !seen[op])
      failures++, printf("FAIL %s: no case\n", infos[op].name);
    if (cpu->supports(op) && !device->supports(op))
      failures++, printf("FAIL %s: no kernel on %s\n", infos[op].name, device->name);
  }
  printf("%s: %d checks, %d failed\n", device->name, checks, failures);
  return failures != 0;
}
