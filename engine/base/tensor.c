#include "tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "random.h"

int tkg__tensor_like(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out) {
  char text[TKG_SHAPE_TEXT];
  *out = NULL;
  tkg_tensor *t = calloc(1, sizeof *t);
  if (!t) return tkg__fail(TKG_E_MEMORY, "no memory for a tensor's header");
  t->engine = engine;
  t->references = 1;
  t->kind = kind;
  t->shape.dtype = shape->dtype;
  t->shape.rank = shape->rank;
  memcpy(t->shape.shape, shape->shape, sizeof shape->shape);
  int64_t bytes = tkg__bytes(&t->shape);
  t->data = engine->backend->allocate(bytes);
  if (!t->data) {
    free(t);
    return tkg__fail(TKG_E_MEMORY, "no memory for %s: %" PRId64 " bytes",
                     tkg__shape_text(shape, text), bytes);
  }
  tkg__memory_count(engine, kind, bytes, 1);
  tkg__engine_retain(engine);
  *out = t;
  return TKG_OK;
}

int tkg_tensor_create(tkg_engine *engine, int dtype, int rank, const int64_t *shape, int kind,
                      tkg_tensor **out) {
  TKG__NEEDS(engine, TKG_E_ARGUMENT);
  tkg_node n = {0};
  char text[TKG_SHAPE_TEXT];
  *out = NULL;
  if (dtype != TKG_F32 && dtype != TKG_I32)
    return tkg__fail(TKG_E_DTYPE, "a tensor is f32 (0) or i32 (1), not %d", dtype);
  if (rank < 0 || rank > TKG_MAX_RANK)
    return tkg__fail(TKG_E_SHAPE, "a tensor has 0 to %d dimensions, not %d", TKG_MAX_RANK, rank);
  if (kind < 0 || kind >= TKG_KIND_COUNT)
    return tkg__fail(TKG_E_ARGUMENT, "%d is no kind of memory", kind);
  n.dtype = (uint8_t)dtype;
  n.rank = (uint8_t)rank;
  for (int d = 0; d < rank; d++) {
    if (shape[d] < 0)
      return tkg__fail(TKG_E_SHAPE, "dimension %d of a tensor is %" PRId64 ", less than 0", d + 1,
                       shape[d]);
    n.shape[d] = shape[d];
  }
  if (!tkg__shape_fits(shape, rank))
    return tkg__fail(TKG_E_SHAPE, "a tensor %s has more than 2^%d elements",
                     tkg__shape_text(&n, text), TKG_MOST_ELEMENTS_BITS);
  int status = tkg__tensor_like(engine, &n, kind, out);
  if (status) return status;
  engine->backend->zero((*out)->data, tkg__bytes(&n));
  return TKG_OK;
}

tkg_tensor *tkg_tensor_retain(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, NULL);
  tensor->references++;
  return tensor;
}

void tkg_tensor_release(tkg_tensor *tensor) {
  if (!tensor || --tensor->references > 0) return;
  tkg_tensor_release(tensor->gradient);
  tkg__memory_count(tensor->engine, tensor->kind, tkg__bytes(&tensor->shape), -1);
  tensor->engine->backend->release(tensor->data);
  tkg_engine_release(tensor->engine);
  free(tensor);
}

const char *tkg_tensor_device(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, "");
  return tensor->engine->backend->name;
}
int tkg_tensor_dtype(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->shape.dtype;
}
int tkg_tensor_rank(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->shape.rank;
}

double tkg_tensor_size(const tkg_tensor *tensor, int dim) {
  TKG__NEEDS(tensor, 0);
  if (dim < 0) return (double)tkg__count(&tensor->shape);
  return dim < tensor->shape.rank ? (double)tensor->shape.shape[dim] : 1;
}

static int check_range(const tkg_tensor *tensor, int64_t first, int64_t count) {
  int64_t all = tkg__count(&tensor->shape);
  if (first < 0 || count < 0 || first > all - count)
    return tkg__fail(TKG_E_RANGE,
                     "elements %" PRId64 "..%" PRId64 " are outside a tensor of %" PRId64, first,
                     first + count - 1, all);
  return TKG_OK;
}

/* LuaJIT codes its other values, pointers included, as NaNs with a payload, and takes such a NaN in
 * memory for one of them. Files hold any bits and GPUs have NaNs of their own, so each NaN with a
 * payload that enters or leaves a tensor is replaced by this one. */
static const uint32_t quiet_nan = 0x7FC00000;

static uint32_t bits_at(const char *numbers, int64_t i) {
  uint32_t bits;
  memcpy(&bits, numbers + 4 * i, 4);
  return bits;
}

/* Whether these bits are a NaN with a payload; the two NaNs without one differ in their sign. */
static int odd_nan(uint32_t bits) {
  return (bits & 0x7FFFFFFF) > 0x7F800000 && (bits & 0x7FFFFFFF) != quiet_nan;
}

static int64_t count_odd_nans(const char *numbers, int64_t count) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; i++) found += odd_nan(bits_at(numbers, i));
  return found;
}

static void replace_odd_nans(char *numbers, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (odd_nan(bits_at(numbers, i))) memcpy(numbers + 4 * i, &quiet_nan, 4);
}

/* Writes numbers piece by piece, with odd NaNs replaced in a copy of the piece. */
static void write_replaced(const tkg_backend *backend, char *to, const char *from, int64_t count) {
  char piece[4096];
  const int64_t most = sizeof piece / 4;
  for (int64_t first = 0; first < count; first += most) {
    int64_t n = count - first < most ? count - first : most;
    memcpy(piece, from + 4 * first, 4 * (size_t)n);
    replace_odd_nans(piece, n);
    backend->write(to + 4 * first, piece, 4 * n);
  }
}

int tkg_tensor_write(tkg_tensor *tensor, const void *from, int64_t first, int64_t count) {
  TKG__NEEDS(tensor && (from || !count), TKG_E_ARGUMENT);
  int status = check_range(tensor, first, count);
  if (status) return status;
  const tkg_backend *backend = tensor->engine->backend;
  char *to = (char *)tensor->data + 4 * first;
  if (tensor->shape.dtype == TKG_F32 && count_odd_nans(from, count) > 0)
    write_replaced(backend, to, from, count);
  else
    backend->write(to, from, 4 * count);
  tensor->version++;
  return TKG_OK;
}

int tkg_tensor_read(const tkg_tensor *tensor, void *to, int64_t first, int64_t count) {
  TKG__NEEDS(tensor && (to || !count), TKG_E_ARGUMENT);
  int status = check_range(tensor, first, count);
  if (status) return status;
  const tkg_backend *backend = tensor->engine->backend;
  status = backend->read(to, (const char *)tensor->data + 4 * first, 4 * count);
  if (!status && tensor->shape.dtype == TKG_F32) replace_odd_nans(to, count);
  return tkg__keep_backend_message(backend, status);
}

int tkg_tensor_copy(tkg_tensor *to, const tkg_tensor *from) {
  TKG__NEEDS(to && from, TKG_E_ARGUMENT);
  char text[2][TKG_SHAPE_TEXT];
  if (to->shape.dtype != from->shape.dtype || tkg__count(&to->shape) != tkg__count(&from->shape))
    return tkg__fail(TKG_E_SHAPE, "copy: %s does not fit in %s",
                     tkg__shape_text(&from->shape, text[0]), tkg__shape_text(&to->shape, text[1]));
  if (to->engine->backend != from->engine->backend)
    return tkg__fail(TKG_E_DEVICE, "copy: a tensor of %s to one of %s", from->engine->backend->name,
                     to->engine->backend->name);
  to->engine->backend->copy(to->data, from->data, tkg__bytes(&to->shape));
  to->version++;
  return TKG_OK;
}

/* Allocates a copy of a tensor on the host: initial values are computed there and written once. */
static float *host_copy(const tkg_tensor *tensor) {
  return malloc((size_t)tkg__bytes(&tensor->shape) + 4);
}

static int write_and_free(tkg_tensor *tensor, float *values) {
  int status = tkg_tensor_write(tensor, values, 0, tkg__count(&tensor->shape));
  free(values);
  return status;
}

int tkg_tensor_fill(tkg_tensor *tensor, double value) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  int64_t n = tkg__count(&tensor->shape);
  float *host = host_copy(tensor);
  if (!host) return tkg__fail(TKG_E_MEMORY, "fill: no memory for a copy on the host");
  if (tensor->shape.dtype == TKG_I32)
    for (int64_t i = 0; i < n; i++) ((int32_t *)host)[i] = (int32_t)value;
  else
    for (int64_t i = 0; i < n; i++) host[i] = (float)value;
  return write_and_free(tensor, host);
}

typedef void fill_function(float *, int64_t, float, float, uint64_t, uint32_t, uint32_t);

static int fill_random(tkg_tensor *tensor, double a, double b, uint32_t stream,
                       fill_function *fill) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  if (tensor->shape.dtype != TKG_F32)
    return tkg__fail(TKG_E_DTYPE, "random values need an f32 tensor");
  float *host = host_copy(tensor);
  if (!host) return tkg__fail(TKG_E_MEMORY, "random values: no memory for a copy on the host");
  fill(host, tkg__count(&tensor->shape), (float)a, (float)b, tensor->engine->seed, 0, stream);
  return write_and_free(tensor, host);
}

int tkg_tensor_uniform(tkg_tensor *tensor, double low, double high, uint32_t stream) {
  return fill_random(tensor, low, high, stream, tkg__fill_uniform);
}

int tkg_tensor_normal(tkg_tensor *tensor, double mean, double deviation, uint32_t stream) {
  return fill_random(tensor, mean, deviation, stream, tkg__fill_normal);
}

static void set_kind(tkg_tensor *tensor, int kind) {
  int64_t bytes = tkg__bytes(&tensor->shape);
  tkg__memory_add(tensor->engine, tensor->kind, -bytes);
  tkg__memory_add(tensor->engine, kind, bytes);
  tensor->kind = kind;
}

void tkg_tensor_set_parameter(tkg_tensor *tensor, int wanted) {
  TKG__NEEDS(tensor, );
  if (tensor->parameter != (wanted != 0)) tensor->tape = NULL; /* its leaf is another node now */
  tensor->parameter = wanted != 0;
  if (tensor->kind == TKG_KIND_PARAMETER || tensor->kind == TKG_KIND_DATA)
    set_kind(tensor, wanted ? TKG_KIND_PARAMETER : TKG_KIND_DATA);
}

int tkg_tensor_is_parameter(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->parameter;
}

double tkg_tensor_version(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return (double)tensor->version;
}

tkg_tensor *tkg_tensor_gradient(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, NULL);
  return tensor->gradient ? tkg_tensor_retain(tensor->gradient) : NULL;
}

int tkg_shuffle(int32_t *ids, int64_t n, uint64_t seed, uint32_t epoch, uint32_t stream) {
  TKG__NEEDS(ids || n == 0, TKG_E_ARGUMENT);
  if (n < 0 || n > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "shuffle: %" PRId64 " is not in 0..2^31-1", n);
  tkg__permutation(ids, n, seed, epoch, stream);
  return TKG_OK;
}
