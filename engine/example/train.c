/* A recommender trained through the C API alone, with what backward reads kept in two bits.
 *
 *     cc train.c $(pkg-config --cflags --libs tinykg) -o train && ./train
 *
 * Where the library lies in no folder that programs search, as after `make install` below a home,
 * add -Wl,-rpath,$(pkg-config --variable=libdir tinykg); after one into /usr/local, run `ldconfig`
 * as root.
 *
 * 300 users have seen 10 of 200 films each, of one genre of five. A user is what the films they saw
 * are: U = leaky_relu(mean of their films' rows x W), one layer on the graph of users and films. A
 * seen film's score, U[u] . F[i], is trained to be above a drawn one's: the mean of
 * softplus(drawn - seen). Prints the loss and what is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tinykg/graph.h>
#include <tinykg/tinykg.h>

enum { USERS = 300, FILMS = 200, GENRES = 5, SEEN = 10, EDGES = USERS * SEEN };
enum { DIM = 32, BATCH = 512, STEPS = 300, BITS = 2 };
enum { F32 = 0, I32 = 1 };

/* Every failure has its message. */
static void check(int status) {
  if (status == TKG_OK) return;
  fprintf(stderr, "train: %s\n", tkg_error());
  exit(1);
}

static tkg_attributes no_attributes(void) {
  tkg_attributes with;
  memset(&with, 0, sizeof with);
  return with;
}

/* Records an op of up to three inputs, -1 for those it does not have; its node. */
static int record(tkg_tape *tape, const char *op, const tkg_attributes *with, int a, int b, int c) {
  const int32_t inputs[3] = {a, b, c};
  int n = 1 + (b >= 0) + (c >= 0);
  int node = tkg_tape_record(tape, tkg_op_code(op), inputs, n, with, NULL);
  if (node < 0) check(1);
  return node;
}

static int leaf(tkg_tape *tape, tkg_tensor *tensor) {
  int node = tkg_tape_leaf(tape, tensor);
  if (node < 0) check(1);
  return node;
}

/* The number of a memory kind: under what a tensor's bytes are counted. */
static int kind(const char *name) {
  for (int k = 0; k < tkg_memory_kinds(); k++)
    if (strcmp(tkg_memory_kind(k), name) == 0) return k;
  return -1;
}

static tkg_tensor *tensor(tkg_engine *engine, int dtype, int64_t rows, int64_t cols,
                          const char *of) {
  const int64_t shape[2] = {rows, cols};
  tkg_tensor *out = NULL;
  check(tkg_tensor_create(engine, dtype, cols > 0 ? 2 : 1, shape, kind(of), &out));
  return out;
}

static tkg_tensor *parameter(tkg_engine *engine, int64_t rows, int64_t cols, uint32_t stream) {
  tkg_tensor *out = tensor(engine, F32, rows, cols, "parameter");
  tkg_tensor_set_parameter(out, 1);
  check(tkg_tensor_uniform(out, -0.2, 0.2, stream));
  return out;
}

/* ---- data ---- */

static int32_t users[EDGES], films[EDGES];

static int below(int n) { return rand() / (RAND_MAX / n + 1); }

static void make_data(void) {
  srand(1);
  for (int e = 0; e < EDGES; e++) {
    users[e] = e / SEEN;
    films[e] = GENRES * below(FILMS / GENRES) + users[e] % GENRES;
  }
}

/* The packed graph from users to films, and in *layout what ops on it must be told. */
static tkg_tensor *make_graph(tkg_engine *engine, int64_t *layout) {
  int64_t length = tkg_graph_length(USERS, FILMS, EDGES, 0);
  int32_t *packed = (int32_t *)malloc((size_t)length * sizeof *packed);
  if (!packed) exit(1);
  check(tkg_graph_pack(USERS, FILMS, EDGES, users, NULL, films, 0, packed, layout, NULL));
  length = tkg_graph_length(USERS, FILMS, EDGES, *layout);
  tkg_tensor *out = tensor(engine, I32, length, 0, "graph");
  check(tkg_tensor_write(out, packed, 0, length));
  free(packed);
  return out;
}

/* ---- the model ---- */

typedef struct model {
  tkg_tensor *graph, *rows, *matrix;   /* F [FILMS, DIM], W [DIM, DIM] */
  tkg_tensor *user_ids, *seen, *drawn; /* a batch */
  int64_t layout;
} model;

/* U of all users, [USERS, DIM]. */
static int all_users(tkg_tape *tape, const model *m, int rows) {
  tkg_attributes graph = no_attributes(), mean = no_attributes(), slope = no_attributes(),
                 plain = no_attributes();
  graph.i[0] = USERS, graph.i[1] = FILMS, graph.i[2] = EDGES, graph.i[3] = m->layout;
  mean.f[0] = 1.0 / SEEN;
  slope.f[0] = 0.01;
  int sum = record(tape, "aggregate", &graph, leaf(tape, m->graph), rows, -1);
  int x = record(tape, "affine", &mean, sum, -1, -1);
  int y = record(tape, "matmul", &plain, x, leaf(tape, m->matrix), -1);
  return record(tape, "leaky_relu", &slope, y, -1, -1);
}

/* Records the loss of the batch; nothing is computed here. */
static int record_loss(tkg_tape *tape, const model *m) {
  tkg_attributes all = no_attributes(), mean = no_attributes();
  all.i[0] = 1; /* sum over dimension 0 */
  mean.f[0] = 1.0 / BATCH;
  int rows = leaf(tape, m->rows);
  int u = record(tape, "gather", NULL, all_users(tape, m, rows), leaf(tape, m->user_ids), -1);
  int i = record(tape, "gather", NULL, rows, leaf(tape, m->seen), -1);
  int j = record(tape, "gather", NULL, rows, leaf(tape, m->drawn), -1);
  int seen = record(tape, "dot", NULL, u, i, -1), drawn = record(tape, "dot", NULL, u, j, -1);
  int less = record(tape, "sub", NULL, drawn, seen, -1);
  int sum = record(tape, "sum", &all, record(tape, "softplus", NULL, less, -1, -1), -1, -1);
  return record(tape, "affine", &mean, sum, -1, -1);
}

static void draw_batch(const model *m) {
  int32_t u[BATCH], i[BATCH], j[BATCH];
  for (int k = 0; k < BATCH; k++) {
    int e = below(EDGES);
    u[k] = users[e], i[k] = films[e], j[k] = below(FILMS);
  }
  check(tkg_tensor_write(m->user_ids, u, 0, BATCH));
  check(tkg_tensor_write(m->seen, i, 0, BATCH));
  check(tkg_tensor_write(m->drawn, j, 0, BATCH));
}

static void report(const tkg_step *step) {
  tkg_kept kept;
  printf("%-12s %-10s %4s %12s %12s\n", "op", "rule", "bits", "exact bytes", "kept bytes");
  for (int k = 0; tkg_step_kept(step, k, &kept) == 0; k++)
    if (strcmp(kept.rule, "resident") != 0)
      printf("%-12s %-10s %4d %12.0f %12.0f\n", kept.op, kept.rule, (int)kept.bits,
             kept.exact_bytes, kept.kept_bytes);
  double reference = tkg_step_figure(step, "reference_bytes");
  double stored = tkg_step_figure(step, "stored_bytes");
  printf("kept for backward: %.0f bytes of %.0f that an op-by-op FP32 tape keeps\n", stored,
         reference);
}

int main(void) {
  tkg_engine *engine = NULL;
  tkg_tape *tape = NULL;
  tkg_step *step = NULL;
  tkg_optimizer *adam = NULL;
  check(tkg_engine_create("cpu", &engine));
  tkg_engine_set_seed(engine, 1);
  check(tkg_engine_set_threads(engine, 1)); /* steps this small gain nothing from more */
  make_data();
  model m;
  m.graph = make_graph(engine, &m.layout);
  m.rows = parameter(engine, FILMS, DIM, 1);
  m.matrix = parameter(engine, DIM, DIM, 2);
  m.user_ids = tensor(engine, I32, BATCH, 0, "data");
  m.seen = tensor(engine, I32, BATCH, 0, "data");
  m.drawn = tensor(engine, I32, BATCH, 0, "data");
  check(tkg_tape_create(engine, &tape));
  check(tkg_step_create(engine, &step));
  check(tkg_step_set(step, "bits", BITS));
  check(tkg_optimizer_create(engine, "adam", &adam));
  check(tkg_optimizer_set(adam, "lr", 0.01));
  for (int k = 1; k <= STEPS; k++) {
    tkg_tensor *value = NULL;
    float loss = 0;
    draw_batch(&m);
    tkg_tape_begin(tape);
    int32_t root = record_loss(tape, &m);
    check(tkg_step_set(step, "number", k)); /* what is drawn in a step depends on it */
    check(tkg_step_run(step, tape, root, adam, &root, 1, &value));
    check(tkg_tensor_read(value, &loss, 0, 1));
    tkg_tensor_release(value);
    if (k == 1 || k % 100 == 0) printf("step %3d  loss %.4f\n", k, (double)loss);
  }
  report(step);
  tkg_tensor *const all[] = {m.graph, m.rows, m.matrix, m.user_ids, m.seen, m.drawn};
  for (size_t k = 0; k < sizeof all / sizeof *all; k++) tkg_tensor_release(all[k]);
  tkg_optimizer_release(adam);
  tkg_step_release(step);
  tkg_tape_release(tape);
  tkg_engine_release(engine);
  return 0;
}
