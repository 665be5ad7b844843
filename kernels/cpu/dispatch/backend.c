/* The CPU backend: memory, the table of kernels, the split of a node over threads, and groups of
 * nodes that run in tiles of rows. */
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/backend.h"
#include "base/error.h"
#include "cpu/flat.h"
#include "gemm.h"
#include "isa.h"
#include "peaks.h"
#include "rank.h"
#include "shared/families.h"

/* ---- memory ---- */

enum { LINE = 64, HUGE_PAGE = 2 << 20 };

/* Linux promises more memory than there is, and kills a process that touches too much of it. So an
 * allocation this large is compared with what is free, and refused here, where a message can say
 * what it was for. */
#define WORTH_ASKING ((int64_t)256 << 20)

/* The number of KiB in a line of /proc/meminfo of this name; 0 in others. */
static int64_t kib_of(const char *line, const char *name) {
  size_t length = strlen(name);
  return strncmp(line, name, length) == 0 ? strtoll(line + length, NULL, 10) : 0;
}

static bool is_free(int64_t bytes) {
  FILE *file = bytes < WORTH_ASKING ? NULL : fopen("/proc/meminfo", "r");
  if (!file) return true;
  char line[128];
  int64_t kib = 0;
  while (fgets(line, sizeof line, file))
    kib += kib_of(line, "MemAvailable:") + kib_of(line, "SwapFree:");
  fclose(file);
  return kib == 0 || bytes / 1024 <= kib;
}

/* Large tables are read by random row, and a TLB does not reach far in pages of 4 KiB: large
 * allocations ask for huge pages. */
static void *allocate(int64_t bytes) {
  void *memory = NULL;
  if (bytes < 0 || !is_free(bytes)) return NULL;
  bool large = bytes >= 2 * (int64_t)HUGE_PAGE;
  if (posix_memalign(&memory, large ? HUGE_PAGE : LINE, bytes ? (size_t)bytes : 1)) return NULL;
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, (size_t)bytes, MADV_HUGEPAGE); /* advice: may be refused */
#endif
  return memory;
}

static void move(void *to, const void *from, int64_t bytes) {
  if (bytes > 0) memcpy(to, from, (size_t)bytes);
}

static int read(void *to, const void *from, int64_t bytes) {
  move(to, from, bytes);
  return TKG_OK;
}

static void zero(void *memory, int64_t bytes) {
  if (bytes > 0) memset(memory, 0, (size_t)bytes);
}

/* ---- the table of kernels ---- */

#define X(family) TKG__DECLARE_ARRAYS(tkg_cpu_op, tkg__cpu_##family);
TKG_FAMILIES(X)
#undef X

enum { ISAS = 3 };

static const tkg_cpu_op *kernels[ISAS][TKG_OP_COUNT];
static atomic_bool ready[ISAS];
static pthread_mutex_t building = PTHREAD_MUTEX_INITIALIZER;

static void build(int isa) {
#define X(family) TKG__PICK_ARRAY(tkg__cpu_##family),
  const tkg_cpu_op *families[] = {TKG_FAMILIES(X)};
#undef X
  for (size_t f = 0; f < sizeof families / sizeof *families; f++)
    for (const tkg_cpu_op *k = families[f]; k->run; k++) kernels[isa][k->op] = k;
}

/* The kernel of an op for the instruction set in use, NULL if there is none. */
static const tkg_cpu_op *kernel_of(int op) {
  int isa = tkg__isa_index();
  if (op < 0 || op >= TKG_OP_COUNT) return NULL;
  if (!atomic_load_explicit(&ready[isa], memory_order_acquire)) {
    pthread_mutex_lock(&building);
    if (!atomic_load_explicit(&ready[isa], memory_order_relaxed)) build(isa);
    atomic_store_explicit(&ready[isa], true, memory_order_release);
    pthread_mutex_unlock(&building);
  }
  return kernels[isa][op];
}

static bool supports(int op) { return kernel_of(op) != NULL; }

static int64_t scratch_bytes(const tkg_node *node, const tkg_node *const *in) {
  const tkg_cpu_op *k = kernel_of(node->op);
  int parts = tkg__row_parts(node, in);
  if (parts > 0) return (parts + tkg__parts_of(in[0]->whole_rows)) * tkg__bytes(node);
  return k && k->scratch ? k->scratch(node, in) : 0;
}

/* ---- running a node ---- */

/* Elements of work that are worth a thread: some ten microseconds, several times what it costs to
 * wake one. */
enum { WORK_PER_THREAD = 32768 };

static int64_t threads_for(const tkg_cpu_op *k, const tkg_call *c, int64_t units) {
  int64_t work = k->work ? k->work(c->node, c->in) : tkg__count(c->node);
  int64_t threads = c->context->threads;
  if (threads > work / WORK_PER_THREAD) threads = work / WORK_PER_THREAD;
  if (threads > units) threads = units;
  return threads < 1 ? 1 : threads;
}

/* Runs `chunks` equal parts of the units at once. Messages belong to a thread, so the first part
 * that failed is run again on the caller's; it may then succeed, if what it lacked was memory. */
static int run_parallel(const tkg_cpu_op *k, const tkg_call *c, int64_t units, int64_t chunks) {
  int64_t failed = chunks;
#pragma omp parallel for num_threads((int)chunks) schedule(static, 1) reduction(min : failed)
  for (int64_t p = 0; p < chunks; p++)
    if (k->run(c, units * p / chunks, units * (p + 1) / chunks) && p < failed) failed = p;
  if (failed == chunks) return TKG_OK;
  int status = k->run(c, units * failed / chunks, units * (failed + 1) / chunks);
  return status ? status : tkg__no_gemm();
}

/* ---- sums over rows, in the parts that op.h prescribes ---- */

/* Adds rows first..last-1 of one part to `part`, or begins it. */
static int add_rows(const tkg_cpu_op *k, const tkg_call *c, float *part, int64_t first,
                    int64_t last, bool begins) {
  for (int64_t r = first; r < last; r += TKG_PART_STEP, begins = false) {
    int64_t end = r + TKG_PART_STEP < last ? r + TKG_PART_STEP : last;
    int status = k->accumulate(c, r, end, part, begins);
    if (status) return status;
  }
  return TKG_OK;
}

/* Where rows are dealt to ranks the engine adds the parts of all ranks up (run/exchange.c). */
static void add_parts(const tkg_call *c, int parts) {
  if (c->in[0]->whole_rows > 0) return;
  int64_t count = tkg__count(c->node);
  const float *restrict part = c->scratch;
  float *restrict out = c->out;
  for (int64_t j = 0; j < count; j++) {
    double sum = 0;
    for (int p = 0; p < parts; p++) sum += (double)part[p * count + j];
    out[j] = (float)sum;
  }
}

static int run_part(const tkg_cpu_op *k, const tkg_call *c, int parts, int part) {
  const tkg_row_range rows = tkg__row_range(c->in[0]);
  return add_rows(k, c, (float *)c->scratch + part * tkg__count(c->node),
                  tkg__part_row(&rows, parts, part), tkg__part_row(&rows, parts, part + 1), true);
}

static int run_row_sum(const tkg_cpu_op *k, const tkg_call *c) {
  int parts = tkg__row_parts(c->node, c->in), failed = parts;
#pragma omp parallel for num_threads((int)threads_for(k, c, parts)) schedule(static, 1)            \
    reduction(min                                                                                  \
              : failed)
  for (int p = 0; p < parts; p++)
    if (run_part(k, c, parts, p) && p < failed) failed = p;
  if (failed < parts) { /* run it again for its message */
    int status = run_part(k, c, parts, failed);
    return status ? status : tkg__no_gemm();
  }
  add_parts(c, parts);
  return TKG_OK;
}

static int run(const tkg_call *c) {
  const tkg_cpu_op *k = kernel_of(c->node->op);
  if (!k)
    return tkg__fail(TKG_E_UNSUPPORTED, "%s: no kernel on the cpu", tkg__ops[c->node->op].name);
  if (tkg__row_parts(c->node, c->in) > 0) return run_row_sum(k, c);
  int64_t units = k->units ? k->units(c->node, c->in) : tkg__rows(c->node);
  int64_t threads = threads_for(k, c, units);
  tkg_call phase = *c;
  int status = TKG_OK;
  for (const int phases = k->phases ? k->phases(c) : 1; phase.phase < phases && !status;
       phase.phase++)
    if (threads > 1)
      status = run_parallel(k, &phase, units, threads);
    else if (units > 0)
      status = k->run(&phase, 0, units);
  if (!status && k->combine) k->combine(c);
  return status;
}

/* A slice of so many rows. */
static int64_t overlap_bytes(const tkg_node *node, int64_t slice, int64_t rows) {
  (void)node;
  return rows * slice * (int64_t)sizeof(float);
}

static int64_t slice_bytes(const tkg_node *node, int64_t slice) {
  return overlap_bytes(node, slice, tkg__rows(node));
}

/* ---- running a group in tiles ---- */

/* Scratch memory belongs to a whole node, not to a tile. Dropout by ids counts its rows from 0. */
static bool runs_in_tiles(const tkg_node *node, const tkg_node *const *in) {
  return tkg__op_is(node->op, TKG_TILED) && !(node->op == TKG_OP_DROPOUT && node->inputs > 1) &&
         (tkg__row_parts(node, in) > 0 || scratch_bytes(node, in) == 0);
}

static const tkg_tile_rules tile_rules = {.tile = TKG_PART_STEP, /* a unit of products */
                                          .block = FLAT_BLOCK,
                                          .least_rows = TKG_PARTED_ROWS,
                                          .least_tiles = 8,
                                          .most_nodes = INT_MAX,
                                          .part_rows = TKG_PART_UNIT,
                                          .most_parts = TKG_MOST_PARTS,
                                          .runs = runs_in_tiles};

/* Computes rows first..last-1 of one node. Flat kernels have units of FLAT_BLOCK elements, of which
 * a tile is a whole number; units of other kernels are rows. */
static int run_rows(const tkg_cpu_op *k, const tkg_call *c, int64_t first, int64_t last) {
  if (k->rows) return k->rows(c, first, last);
  int64_t rows = tkg__rows(c->node), units = k->units ? k->units(c->node, c->in) : rows;
  if (units == rows) return k->run(c, first, last);
  int64_t cols = tkg__cols(c->node);
  return k->run(c, first * cols / FLAT_BLOCK, (last * cols + FLAT_BLOCK - 1) / FLAT_BLOCK);
}

/* Kernels count rows from the first of the whole value: the address of row 0 of a value whose row
 * `first` lies at `offset` of a tile's memory. */
static void *whole_of(char *memory, const void *offset, const tkg_node *n, int64_t first) {
  return memory + (intptr_t)offset - first * tkg__cols(n) * (int64_t)sizeof(float);
}

static int run_in_tile(const tkg_tile_call *t, char *memory, int chunk, int64_t first, int64_t last,
                       bool begins) {
  const tkg_cpu_op *k = kernel_of(t->call.node->op);
  tkg_call c = t->call;
  for (int i = 0; i < c.node->inputs; i++)
    if (t->in_tile >> i & 1) c.data[i] = whole_of(memory, c.data[i], c.in[i], first);
  if (t->out_in_tile) c.out = whole_of(memory, c.out, c.node, first);
  if (!t->reduces) return run_rows(k, &c, first, last);
  return add_rows(k, &c, (float *)c.scratch + chunk * tkg__count(c.node), first, last, begins);
}

/* Runs the tiles of one chunk, one after the other, in tile memory number `at`. */
static int run_chunk(const tkg_tile_call *calls, int n, const tkg_tiling *t, int chunk, int at) {
  char *memory = t->memory + at * t->tile_bytes;
  double *seconds = t->seconds ? t->seconds + (int64_t)at * n : NULL;
  const tkg_row_range rows = {t->first_row, t->rows, t->whole_rows};
  const int64_t begin = tkg__part_row(&rows, t->chunks, chunk);
  const int64_t end = tkg__part_row(&rows, t->chunks, chunk + 1);
  for (int64_t first = begin; first < end; first += t->tile) {
    int64_t last = first + t->tile < end ? first + t->tile : end;
    for (int i = 0; i < n; i++) {
      const double began = seconds ? omp_get_wtime() : 0;
      int status = run_in_tile(&calls[i], memory, chunk, first, last, first == begin);
      if (seconds) seconds[i] += omp_get_wtime() - began;
      const char *where = tkg__line_of(&calls[i].call, status);
      if (status) return where ? tkg__fail_at(status, "%s", where) : status;
    }
  }
  return TKG_OK;
}

static int threads_for_tiles(const tkg_tile_call *calls, const tkg_tiling *t) {
  const int threads = calls->call.context->threads;
  return threads < t->memories ? threads : t->memories;
}

/* Threads take chunks as they become free; a chunk computes the same on any thread. */
static int run_tiles(const tkg_tile_call *calls, int n, const tkg_tiling *t) {
  int failed = t->chunks;
#pragma omp parallel for num_threads(threads_for_tiles(calls, t)) schedule(dynamic, 1)             \
    reduction(min                                                                                  \
              : failed)
  for (int chunk = 0; chunk < t->chunks; chunk++) {
    if (run_chunk(calls, n, t, chunk, omp_get_thread_num()) && chunk < failed) failed = chunk;
  }
  if (failed < t->chunks) { /* run it again for its message */
    int status = run_chunk(calls, n, t, failed, 0);
    return status ? status : tkg__no_gemm();
  }
  for (int i = 0; i < n; i++)
    if (calls[i].reduces) add_parts(&calls[i].call, t->chunks);
  return TKG_OK;
}

const tkg_backend tkg__cpu_backend = {
    .name = "cpu",
    .allocate = allocate,
    .release = free,
    .write = move,
    .read = read,
    .copy = move,
    .zero = zero,
    .supports = supports,
    .scratch_bytes = scratch_bytes,
    .slice_bytes = slice_bytes,
    .overlap_bytes = overlap_bytes,
    .run = run,
    .deals_rows = true,
    .finds_dealt_rows = true,
    .leaves_out_rows = true,
    .tiles = &tile_rules,
    .run_tiles = run_tiles,
    .rank_bytes = tkg__rank_bytes,
    .rank = tkg__rank,
    .peaks = tkg__cpu_peaks,
};
