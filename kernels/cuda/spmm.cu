/* cuSPARSE takes the adjacency as CSR: offsets and ids are the packed graph's own arrays, or copies
 * of those that do not begin at a multiple of 16 bytes, as it asks of the arrays of some sparse
 * types. Values must lie in the order of ids: weights are put in that order before each product,
 * into memory of their own; without weights there is an array of ones. Descriptors, these arrays,
 * the library's buffer and what it finds out about the sparsity are made once per graph and number
 * of columns, outside of captures. What they take is planned (tkg__spmm_bytes), so an algorithm
 * that asks for a larger buffer is not taken. The bits of a result hang on the way, which the clock
 * chooses: so all of this is for the precision 'fast' alone.
 *
 * The values of the matrices may change after the sparsity was looked at, but not the buffer, nor
 * is it shared by two matrices (cusparseSpMM_preprocess). CSR_ALG1 and CSR_ALG3 gain by it,
 * CSR_ALG2 is for rows that follow each other in memory, as ours do; CSR_ALG3 repeats bit for bit.
 */
#include "spmm.h"

#include <stdio.h>
#include <string.h>

#include "cusparse.h"
#include "family.h"
#include "launch.h"
#include "pool.h"

enum { OWN, ALG1, ALG2, ALG3, WAYS };
static const char *const way_names[WAYS] = {"own", "cuSPARSE CSR_ALG1", "cuSPARSE CSR_ALG2",
                                            "cuSPARSE CSR_ALG3"};

/* ---- the ways by shape ---- */

typedef struct shape {
  int64_t n, m, e, d; /* rows, rows of x, edges, columns */
} shape;

enum { MOST_SHAPES = 64, LINE = 128 };

static struct {
  int count;
  shape of[MOST_SHAPES];
  int way[MOST_SHAPES];
  char text[MOST_SHAPES * LINE];
} chosen;

/* Of more shapes than there is room for, the others are summed by our own kernel. */
static int keep_way(const shape &s, int way) {
  if (chosen.count == MOST_SHAPES) return OWN;
  chosen.of[chosen.count] = s;
  chosen.way[chosen.count++] = way;
  return way;
}

static uintptr_t generation = 1; /* counts what was forgotten or set */

const void *tkg__spmm_prepared(void) { return reinterpret_cast<const void *>(generation); }

#define SHAPE_FORMAT "sum over edges [%" PRId64 ",%" PRId64 "] of [%" PRId64 ",%" PRId64 "], "
#define SHAPE_SCAN                                                                                 \
  "sum over edges [%" SCNd64 ",%" SCNd64 "] of [%" SCNd64 ",%" SCNd64 "], %" SCNd64                \
  " edges: %63[^\n]"

const char *tkg__spmm_ways(void) {
  size_t at = 0;
  chosen.text[0] = 0;
  for (int k = 0; k < chosen.count; k++) {
    const shape &s = chosen.of[k];
    at += (size_t)snprintf(chosen.text + at, sizeof chosen.text - at,
                           SHAPE_FORMAT "%" PRId64 " edges: %s\n", s.n, s.d, s.m, s.d, s.e,
                           way_names[chosen.way[k]]);
  }
  return chosen.text;
}

static int read_way(const char *line) {
  shape s;
  int64_t again;
  char name[64];
  if (sscanf(line, SHAPE_SCAN, &s.n, &s.d, &s.m, &again, &s.e, name) != 6 || again != s.d)
    return tkg__fail(TKG_E_ARGUMENT, "ways: '%.*s' is none", (int)strcspn(line, "\n"), line);
  for (int way = 0; way < WAYS; way++)
    if (strcmp(name, way_names[way]) == 0) {
      keep_way(s, way);
      return TKG_OK;
    }
  return tkg__fail(TKG_E_ARGUMENT, "ways: there is no '%s'", name);
}

int tkg__spmm_set_ways(const char *text) {
  int status = TKG_OK;
  chosen.count = 0;
  generation++;
  while (*text && !status) {
    const char *end = strchr(text, '\n');
    if (end != text) status = read_way(text);
    text = end ? end + 1 : text + strlen(text);
  }
  return status;
}

/* ---- memory ---- */

static int64_t array_bytes(int64_t count) { return tkg_ceil(4 * count, 256) * 256; }

/* Of the library's buffer, at most: as much as the offsets and the values take, and some more. */
static int64_t most_buffer(int64_t n, int64_t e) {
  return array_bytes(n + 1) + array_bytes(e) + ((int64_t)1 << 20);
}

int64_t tkg__spmm_bytes(const tkg_node *node, const tkg_node *const *) {
  const int64_t n = node->shape[0], e = node->i[2];
  return array_bytes(n + 1) + 2 * array_bytes(e) + most_buffer(n, e);
}

#ifdef __CUDACC__

static bool same(const shape &a, const shape &b) {
  return a.n == b.n && a.m == b.m && a.e == b.e && a.d == b.d;
}

/* ---- the library ---- */

/* cusparse.h, library_types.h */
enum { AS_IS = 0, INDEX_32 = 2, BASE_ZERO = 0, ROWS_FOLLOW = 2, FLOATS = 0 };
static const int algorithms[WAYS] = {0, 4, 6, 12};
static const float one = 1, none = 0;

static struct {
  tkg_cusparse call;
  void *handle;
  bool looked_for, found;
} cusparse;

static int failed(int status) {
  if (!status) return TKG_OK;
  return tkg__fail(TKG_E_DEVICE, "aggregate: cuSPARSE: %s", cusparse.call.status_text(status));
}

static bool has_library(void) {
  if (!cusparse.looked_for) cusparse.found = tkg__cusparse_open(&cusparse.call);
  cusparse.looked_for = true;
  return cusparse.found;
}

static int open_handle(cudaStream_t stream) {
  if (cusparse.handle) return TKG_OK;
  int status = cusparse.call.create(&cusparse.handle);
  if (!status) status = cusparse.call.set_stream(cusparse.handle, stream);
  if (status && cusparse.handle) {
    cusparse.call.destroy(cusparse.handle); /* the next sum tries again */
    cusparse.handle = NULL;
  }
  return failed(status);
}

/* ---- what is prepared for a graph ---- */

/* Of a call: the operands. */
typedef struct operands {
  shape s;
  tkg_graph g;
  const void *memory; /* of the graph */
  const float *x, *w; /* w: by edge, or NULL */
  float *out;
} operands;

typedef struct prepared {
  shape s;
  const int32_t *offsets; /* of the graph, in its memory: */
  const void *memory;
  bool weighted;
  int way;
  char *arrays;  /* of copies, */
  float *values; /* and of the values, in the order of ids */
  void *a, *b, *c, *buffer;
} prepared;

enum { MOST_PREPARED = 64 };
static prepared ready[MOST_PREPARED];
static int ready_count;

static void forget(int k) {
  prepared *p = &ready[k];
  if (p->a) cusparse.call.destroy_csr(p->a);
  if (p->b) cusparse.call.destroy_dense(p->b);
  if (p->c) cusparse.call.destroy_dense(p->c);
  tkg__pool_release(p->arrays);
  tkg__pool_release(p->buffer);
  *p = ready[--ready_count];
  generation++;
}

void tkg__spmm_forget(const void *memory) {
  for (int k = ready_count; k-- > 0;)
    if (ready[k].memory == memory) forget(k);
}

/* Its number, or -1. */
static int find_ready(const operands &o, int way) {
  for (int k = 0; k < ready_count; k++)
    if (ready[k].offsets == o.g.offsets && same(ready[k].s, o.s) && ready[k].way == way &&
        ready[k].weighted == (o.w != NULL))
      return k;
  return -1;
}

/* Weights in the order of ids, or ones. */
static __global__ void values_kernel(int64_t e, const int32_t *order, const float *w, float *to) {
  for (int64_t p = tkg_first(); p < e; p += tkg_stride())
    to[p] = w ? w[order ? order[p] : p] : 1.0F;
}

static void write_values(const operands &o, float *values, cudaStream_t stream) {
  tkg_launch(values_kernel, tkg_flat(o.s.e), stream, o.s.e, o.g.order, o.w, values);
}

/* Takes room for a copy of an array, unless it is aligned. Returns where it begins. */
static int64_t take_room(int64_t *bytes, const void *array, int64_t count) {
  const int64_t at = *bytes;
  if (!array || !tkg_vec4_aligned(array, 0)) *bytes += array_bytes(count);
  return at;
}

static const int32_t *copy_of(const prepared *p, int64_t at, const int32_t *array, int64_t count,
                              cudaStream_t stream) {
  if (tkg_vec4_aligned(array, 0)) return array;
  tkg_copy_bytes(p->arrays + at, array, 4 * count, stream);
  return reinterpret_cast<const int32_t *>(p->arrays + at);
}

static int make_matrices(const operands &o, prepared *p, cudaStream_t stream) {
  const tkg_cusparse *f = &cusparse.call;
  int64_t bytes = 0;
  const int64_t offsets_at = take_room(&bytes, o.g.offsets, o.s.n + 1);
  const int64_t ids_at = take_room(&bytes, o.g.ids, o.s.e);
  const int64_t values_at = take_room(&bytes, NULL, o.s.e);
  p->arrays = static_cast<char *>(tkg__pool_allocate(bytes));
  if (!p->arrays) return tkg__fail(TKG_E_MEMORY, "aggregate: no memory for cuSPARSE's arrays");
  const int32_t *offsets = copy_of(p, offsets_at, o.g.offsets, o.s.n + 1, stream);
  const int32_t *ids = copy_of(p, ids_at, o.g.ids, o.s.e, stream);
  p->values = reinterpret_cast<float *>(p->arrays + values_at);
  write_values(o, p->values, stream);
  int status =
      f->create_csr(&p->a, o.s.n, o.s.m, o.s.e, const_cast<int32_t *>(offsets),
                    const_cast<int32_t *>(ids), p->values, INDEX_32, INDEX_32, BASE_ZERO, FLOATS);
  if (!status)
    status =
        f->create_dense(&p->b, o.s.m, o.s.d, o.s.d, const_cast<float *>(o.x), FLOATS, ROWS_FOLLOW);
  if (!status) status = f->create_dense(&p->c, o.s.n, o.s.d, o.s.d, o.out, FLOATS, ROWS_FOLLOW);
  return failed(status);
}

static int make_buffer(prepared *p) {
  const tkg_cusparse *f = &cusparse.call;
  const int algorithm = algorithms[p->way];
  size_t bytes = 0;
  int status = failed(f->buffer_size(cusparse.handle, AS_IS, AS_IS, &one, p->a, p->b, &none, p->c,
                                     FLOATS, algorithm, &bytes));
  if (status) return status;
  if ((int64_t)bytes > most_buffer(p->s.n, p->s.e))
    return tkg__fail(TKG_E_MEMORY,
                     "aggregate: %s asks for a buffer of %zu bytes, and %" PRId64 " are planned",
                     way_names[p->way], bytes, most_buffer(p->s.n, p->s.e));
  p->buffer = tkg__pool_allocate((int64_t)bytes);
  if (!p->buffer) return tkg__fail(TKG_E_MEMORY, "aggregate: no memory for cuSPARSE's buffer");
  return failed(f->preprocess(cusparse.handle, AS_IS, AS_IS, &one, p->a, p->b, &none, p->c, FLOATS,
                              algorithm, p->buffer));
}

/* Allocates, so it is no part of a capture. */
static int prepare(const operands &o, int way, cudaStream_t stream) {
  if (ready_count == MOST_PREPARED) forget(0);
  const int at = ready_count++;
  prepared *p = &ready[at];
  *p = {o.s, o.g.offsets, o.memory, o.w != NULL, way, NULL, NULL, NULL, NULL, NULL, NULL};
  int status = open_handle(stream);
  if (!status) status = make_matrices(o, p, stream);
  if (!status) status = make_buffer(p);
  if (status) forget(at);
  return status;
}

static int multiply(const operands &o, int way, cudaStream_t stream) {
  const tkg_cusparse *f = &cusparse.call;
  int at = find_ready(o, way), status = TKG_OK;
  if (at < 0) status = prepare(o, way, stream);
  if (status) return status;
  if (at < 0) at = ready_count - 1;
  const prepared *p = &ready[at];
  if (o.w) write_values(o, p->values, stream); /* weights are others each time */
  status = f->set_values(p->b, const_cast<float *>(o.x));
  if (!status) status = f->set_values(p->c, o.out);
  if (!status && tkg__queues())
    status = f->multiply(cusparse.handle, AS_IS, AS_IS, &one, p->a, p->b, &none, p->c, FLOATS,
                         algorithms[way], p->buffer);
  return failed(status);
}

/* ---- the choice ---- */

typedef int (*own_sum)(const tkg_call *c, cudaStream_t stream);

static int run_way(const tkg_call *c, const operands &o, int way, own_sum own,
                   cudaStream_t stream) {
  return way == OWN ? own(c, stream) : multiply(o, way, stream);
}

enum { ROUNDS = 3 };

/* Milliseconds of some rounds after a first one. */
static int time_way(const tkg_call *c, const operands &o, int way, own_sum own, cudaEvent_t begin,
                    cudaEvent_t end, cudaStream_t stream, float *ms) {
  int status = run_way(c, o, way, own, stream);
  if (!status) status = tkg_cuda_status(cudaEventRecord(begin, stream));
  for (int k = 0; k < ROUNDS && !status; k++) status = run_way(c, o, way, own, stream);
  if (!status) status = tkg_cuda_status(cudaEventRecord(end, stream));
  if (!status) status = tkg_cuda_status(cudaEventSynchronize(end));
  return status ? status : tkg_cuda_status(cudaEventElapsedTime(ms, begin, end));
}

/* Runs all ways. One that the library does not have for this shape, or has no memory for, is not
 * chosen; our own that fails is an error. What a slower one prepared is freed at once. */
static int choose(const tkg_call *c, const operands &o, own_sum own, cudaStream_t stream,
                  int *way) {
  cudaEvent_t begin = NULL, end = NULL;
  float least = 0;
  *way = OWN;
  int status = tkg_cuda_status(cudaEventCreateWithFlags(&begin, cudaEventDefault));
  if (!status) status = tkg_cuda_status(cudaEventCreateWithFlags(&end, cudaEventDefault));
  for (int k = OWN; k < WAYS && !status; k++) {
    float ms = 0;
    const int failure = time_way(c, o, k, own, begin, end, stream, &ms);
    if (k == OWN) status = failure;
    const bool faster = !failure && (k == OWN || ms < least);
    const int slower = faster ? *way : k, at = find_ready(o, slower);
    if (faster) least = ms, *way = k;
    if (at >= 0) forget(at);
  }
  cudaGetLastError(); /* of a way that failed */
  if (begin) cudaEventDestroy(begin);
  if (end) cudaEventDestroy(end);
  if (!status) *way = keep_way(o.s, *way);
  return status;
}

/* The way of a shape, or -1. */
static int find_way(const shape &s) {
  for (int k = 0; k < chosen.count; k++)
    if (same(chosen.of[k], s)) return chosen.way[k];
  return -1;
}

static operands operands_of(const tkg_call *c) {
  operands o = {};
  o.memory = c->data[0];
  o.g = tkg__graph_of(tkg_in<int32_t>(c, 0), c->node->i);
  o.s = {c->node->shape[0], tkg__rows(c->in[1]), o.g.e, tkg__cols(c->node)};
  o.x = tkg_in<float>(c, 1);
  o.w = tkg_in<float>(c, 2);
  o.out = tkg_out<float>(c);
  return o;
}

static bool suits(const tkg_call *c, const operands &o) {
  return c->in[1]->dtype == TKG_F32 && o.s.n == o.g.n && o.s.m == o.g.m && o.s.n > 0 && o.s.m > 0 &&
         o.s.e > 0 && o.s.d > 0 && tkg_vec4_aligned(o.x, 0) && tkg_vec4_aligned(o.out, 0);
}

static bool captures(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) != cudaSuccess ||
         status != cudaStreamCaptureStatusNone;
}

int tkg__spmm(const tkg_call *c, cudaStream_t stream, own_sum own) {
  const operands o = operands_of(c);
  if (!suits(c, o) || !has_library()) return own(c, stream);
  int way = find_way(o.s);
  const bool unprepared = way < 0 || (way != OWN && find_ready(o, way) < 0);
  if (unprepared && captures(stream)) return own(c, stream);
  if (way < 0) {
    const int status = choose(c, o, own, stream, &way);
    if (status) return status;
  }
  return run_way(c, o, way, own, stream);
}

#else

void tkg__spmm_forget(const void *) {}

/* The emulation has no cuSPARSE. */
int tkg__spmm(const tkg_call *c, cudaStream_t stream,
              int (*own)(const tkg_call *c, cudaStream_t stream)) {
  return own(c, stream);
}

#endif
