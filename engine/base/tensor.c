#include "tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "device.h"
#include "error.h"
#include "library_memory.h"
#include "placement.h"
#include "random.h"
#include "shared/bf16.h"

int64_t tkg__tensor_bytes(const tkg_tensor *t) {
  return t->divided ? tkg__bytes(&t->shape) / t->engine->ranks : tkg__bytes(&t->shape);
}

static int create(tkg_engine *engine, const tkg_node *shape, int kind, bool divided,
                  tkg_tensor **out) {
  char text[TKG_SHAPE_TEXT];
  *out = NULL;
  tkg_tensor *t = calloc(1, sizeof *t);
  if (!t) return tkg__fail(TKG_E_MEMORY, "no memory for a tensor's header");
  t->engine = engine;
  t->references = 1;
  t->kind = kind;
  t->shape.dtype = shape->dtype;
  t->shape.rank = shape->rank;
  t->divided = divided;
  memcpy(t->shape.shape, shape->shape, sizeof shape->shape);
  int64_t bytes = tkg__tensor_bytes(t);
  t->data = engine->backend->allocate(bytes);
  if (!t->data) {
    free(t);
    int status = tkg__fail(TKG_E_MEMORY, "no memory for %s: %" PRId64 " bytes",
                           tkg__shape_text(shape, text), bytes);
    status = tkg__no_memory_or_lost(engine->backend, status);
    return status ? status : TKG_E_MEMORY;
  }
  tkg__memory_count(engine, kind, bytes, 1);
  tkg__engine_retain(engine);
  *out = t;
  return TKG_OK;
}

int tkg__tensor_like(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out) {
  return create(engine, shape, kind, false, out);
}

int tkg__tensor_divided(tkg_engine *engine, const tkg_node *shape, int kind, tkg_tensor **out) {
  return create(engine, shape, kind, true, out);
}

/* Whether a parameter of this shape is divided among the ranks. */
static bool can_be_divided(const tkg_engine *engine, const tkg_node *n) {
  return n->dtype == TKG_F32 && tkg__is_table(n) && tkg__divides_rows(n, engine->ranks) &&
         tkg__divides_columns(n, engine->ranks);
}

int tkg_tensor_create(tkg_engine *engine, int dtype, int rank, const int64_t *shape, int kind,
                      tkg_tensor **out) {
  TKG__NEEDS(engine && out && (shape || rank == 0), TKG_E_ARGUMENT);
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
  int status =
      create(engine, &n, kind, kind == TKG_KIND_PARAMETER && can_be_divided(engine, &n), out);
  if (status) return status;
  engine->backend->zero((*out)->data, tkg__tensor_bytes(*out));
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
  tkg__memory_count(tensor->engine, tensor->kind, tkg__tensor_bytes(tensor), -1);
  tkg__library_forget(tensor->engine, tensor);
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
  return tensor->shape.dtype == TKG_BF16 ? TKG_F32 : tensor->shape.dtype;
}
int tkg_tensor_bits(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->shape.dtype == TKG_BF16 ? 16 : 32;
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

void tkg__replace_odd_nans(char *numbers, int64_t count) {
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
    tkg__replace_odd_nans(piece, n);
    backend->write(to + 4 * first, piece, 4 * n);
  }
}

/* ---- numbers of 16 bits: floats to whoever reads and writes them ---- */

enum { PIECE = 16384 }; /* numbers converted at once */

static void write_halves(const tkg_backend *backend, uint16_t *to, const float *from,
                         int64_t count) {
  uint16_t piece[PIECE];
  for (int64_t first = 0; first < count; first += PIECE) {
    int64_t n = count - first < PIECE ? count - first : PIECE;
    for (int64_t i = 0; i < n; i++) piece[i] = tkg__bf16_nearest(from[first + i]);
    backend->write(to + first, piece, 2 * n);
  }
}

static int read_halves(const tkg_backend *backend, float *to, const uint16_t *from, int64_t count) {
  uint16_t piece[PIECE];
  int status = TKG_OK;
  for (int64_t first = 0; first < count && !status; first += PIECE) {
    int64_t n = count - first < PIECE ? count - first : PIECE;
    status = backend->read(piece, from + first, 2 * n);
    for (int64_t i = 0; i < n && !status; i++) to[first + i] = tkg__bf16_value(piece[i]);
  }
  return status;
}

int tkg_tensor_write(tkg_tensor *tensor, const void *from, int64_t first, int64_t count) {
  TKG__NEEDS(tensor && (from || !count), TKG_E_ARGUMENT);
  int status = check_range(tensor, first, count);
  if (status) return status;
  const tkg_backend *backend = tensor->engine->backend;
  char *to = (char *)tensor->data + 4 * first;
  if (tensor->divided)
    status = tkg__write_columns(tensor, from, first, count);
  else if (tensor->shape.dtype == TKG_BF16)
    write_halves(backend, (uint16_t *)tensor->data + first, from, count);
  else if (tensor->shape.dtype == TKG_F32 && count_odd_nans(from, count) > 0)
    write_replaced(backend, to, from, count);
  else
    backend->write(to, from, 4 * count);
  tensor->version++;
  return status;
}

int tkg_tensor_read(const tkg_tensor *tensor, void *to, int64_t first, int64_t count) {
  TKG__NEEDS(tensor && (to || !count), TKG_E_ARGUMENT);
  int status = check_range(tensor, first, count);
  if (status) return status;
  const tkg_backend *backend = tensor->engine->backend;
  const bool half = tensor->shape.dtype == TKG_BF16;
  if (tensor->divided) {
    status = tkg__read_columns(tensor, to, first, count);
  } else {
    status = half ? read_halves(backend, to, (const uint16_t *)tensor->data + first, count)
                  : backend->read(to, (const char *)tensor->data + 4 * first, 4 * count);
    tkg__keep_backend_message(backend, status);
  }
  if (!status && tensor->shape.dtype != TKG_I32) tkg__replace_odd_nans(to, count);
  return status;
}

/* Copies floats between tensors of 32 and of 16 bits. */
static int convert(tkg_tensor *to, const tkg_tensor *from) {
  float piece[PIECE];
  int64_t all = tkg__count(&to->shape);
  int status = TKG_OK;
  for (int64_t first = 0; first < all && !status; first += PIECE) {
    int64_t n = all - first < PIECE ? all - first : PIECE;
    status = tkg_tensor_read(from, piece, first, n);
    if (!status) status = tkg_tensor_write(to, piece, first, n);
  }
  return status;
}

int tkg_tensor_copy(tkg_tensor *to, const tkg_tensor *from) {
  TKG__NEEDS(to && from, TKG_E_ARGUMENT);
  char text[2][TKG_SHAPE_TEXT];
  const bool alike = tkg_tensor_dtype(to) == tkg_tensor_dtype(from);
  if (!alike || tkg__count(&to->shape) != tkg__count(&from->shape))
    return tkg__fail(TKG_E_SHAPE, "copy: %s does not fit in %s",
                     tkg__shape_text(&from->shape, text[0]), tkg__shape_text(&to->shape, text[1]));
  if (to->engine->backend != from->engine->backend)
    return tkg__fail(TKG_E_DEVICE, "copy: a tensor of %s to one of %s", from->engine->backend->name,
                     to->engine->backend->name);
  if (to->shape.dtype != from->shape.dtype || to->divided != from->divided)
    return convert(to, from);
  to->engine->backend->copy(to->data, from->data, tkg__tensor_bytes(to));
  to->version++;
  return TKG_OK;
}

/* Allocates a copy of a tensor on the host: initial values are computed there and written once. */
static float *host_copy(const tkg_tensor *tensor) {
  return malloc(4 * (size_t)tkg__count(&tensor->shape) + 4);
}

static int write_and_free(tkg_tensor *tensor, float *values) {
  int status = tkg_tensor_write(tensor, values, 0, tkg__count(&tensor->shape));
  free(values);
  return status;
}

int tkg_tensor_fill(tkg_tensor *tensor, double value) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  int64_t n = tkg__count(&tensor->shape);
  const bool whole = value >= INT32_MIN && value <= INT32_MAX && value == (int32_t)value;
  if (tensor->shape.dtype == TKG_I32 && !whole)
    return tkg__fail(TKG_E_ARGUMENT, "fill: %g is not an int32", value);
  float *host = host_copy(tensor);
  if (!host) return tkg__fail(TKG_E_MEMORY, "fill: no memory for a copy on the host");
  if (tensor->shape.dtype == TKG_I32)
    for (int64_t i = 0; i < n; i++) ((int32_t *)host)[i] = (int32_t)value;
  else
    for (int64_t i = 0; i < n; i++) host[i] = (float)value;
  return write_and_free(tensor, host);
}

typedef void fill_function(float *, int64_t, float, float, uint64_t, uint32_t, uint32_t, int64_t);

/* In pieces: of a divided tensor no rank makes the whole. */
static int fill_random(tkg_tensor *tensor, double a, double b, uint32_t stream,
                       fill_function *fill) {
  enum { DRAWN = 1 << 18 }; /* numbers */
  const int64_t all = tkg__count(&tensor->shape);
  if (tensor->shape.dtype == TKG_I32)
    return tkg__fail(TKG_E_DTYPE, "random values need an f32 tensor");
  float *host = malloc((size_t)(all < DRAWN ? all : DRAWN) * sizeof *host + 1);
  if (!host) return tkg__fail(TKG_E_MEMORY, "random values: no memory for a copy on the host");
  int status = TKG_OK;
  for (int64_t first = 0; first < all && !status; first += DRAWN) {
    const int64_t n = all - first < DRAWN ? all - first : DRAWN;
    fill(host, n, (float)a, (float)b, tensor->engine->seed, 0, stream, first);
    status = tkg_tensor_write(tensor, host, first, n);
  }
  free(host);
  return status;
}

int tkg_tensor_uniform(tkg_tensor *tensor, double low, double high, uint32_t stream) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  return fill_random(tensor, low, high, stream, tkg__fill_uniform);
}

int tkg_tensor_normal(tkg_tensor *tensor, double mean, double deviation, uint32_t stream) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  return fill_random(tensor, mean, deviation, stream, tkg__fill_normal);
}

static void set_kind(tkg_tensor *tensor, int kind) {
  int64_t bytes = tkg__tensor_bytes(tensor);
  tkg__memory_add(tensor->engine, tensor->kind, -bytes);
  tkg__memory_add(tensor->engine, kind, bytes);
  tensor->kind = kind;
}

void tkg_tensor_set_parameter(tkg_tensor *tensor, int wanted) {
  TKG__NEEDS(tensor, );
  if (tensor->parameter != (wanted != 0)) tensor->tape = NULL; /* its leaf is another node now */
  tensor->parameter = wanted != 0;
  if (!wanted) tkg_tensor_drop_gradient(tensor);
  if (tensor->kind == TKG_KIND_PARAMETER || tensor->kind == TKG_KIND_DATA)
    set_kind(tensor, wanted ? TKG_KIND_PARAMETER : TKG_KIND_DATA);
}

/* Gives a tensor another type's memory, or whole or divided memory, with the same numbers, rounded
 * to the nearest. */
static int change_memory(tkg_tensor *tensor, int dtype, bool divided) {
  tkg_tensor *other;
  tkg_node shape = tensor->shape;
  shape.dtype = (uint8_t)dtype;
  int status = create(tensor->engine, &shape, tensor->kind, divided, &other);
  if (status) return status;
  status = convert(other, tensor);
  if (!status) {
    void *data = tensor->data;
    tensor->data = other->data;
    other->data = data;
    other->shape.dtype = tensor->shape.dtype;
    other->divided = tensor->divided;
    tensor->shape.dtype = (uint8_t)dtype;
    tensor->divided = divided;
    tensor->tape = NULL; /* its leaf is another node now */
    tensor->version++;
  }
  tkg_tensor_release(other);
  return status;
}

int tkg_tensor_set_bits(tkg_tensor *tensor, int bits, int number) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  char text[TKG_SHAPE_TEXT];
  if (bits != 16 && bits != 32) return tkg__fail(TKG_E_ARGUMENT, "bits: %d is not 32 or 16", bits);
  if (!tensor->parameter)
    return tkg__fail(TKG_E_ARGUMENT, "bits: %s is no parameter",
                     tkg__shape_text(&tensor->shape, text));
  if (number < 0 || number >= TKG_MOST_NUMBERED)
    return tkg__fail(TKG_E_ARGUMENT, "bits: number %d is not in 0..%d", number,
                     TKG_MOST_NUMBERED - 1);
  tensor->number = number;
  int dtype = bits == 16 ? TKG_BF16 : TKG_F32;
  return dtype == tensor->shape.dtype ? TKG_OK : change_memory(tensor, dtype, false);
}

int tkg__divide_tensor(tkg_tensor *tensor, bool divided) {
  return divided == tensor->divided ? TKG_OK : change_memory(tensor, tensor->shape.dtype, divided);
}

int tkg_tensor_is_divided(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->divided;
}

int tkg_tensor_join(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  return tkg__divide_tensor(tensor, false);
}

int tkg_tensor_divide(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, TKG_E_ARGUMENT);
  const bool divides = tensor->parameter && can_be_divided(tensor->engine, &tensor->shape);
  return divides ? tkg__divide_tensor(tensor, true) : TKG_OK;
}

int tkg_tensor_is_table(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tkg__is_table(&tensor->shape);
}

int tkg_tensor_set_group(tkg_tensor *tensor, const char *option, double value) {
  TKG__NEEDS(tensor && option, TKG_E_ARGUMENT);
  char text[TKG_SHAPE_TEXT];
  if (!tensor->parameter)
    return tkg__fail(TKG_E_ARGUMENT, "%s: %s is no parameter", option,
                     tkg__shape_text(&tensor->shape, text));
  if (!(value >= 0)) return tkg__fail(TKG_E_ARGUMENT, "%s: %g is not a number >= 0", option, value);
  tensor->tape = NULL; /* its leaf is another node now */
  if (strcmp(option, "frozen") == 0) {
    tensor->frozen = value != 0;
    if (tensor->frozen) tkg_tensor_drop_gradient(tensor);
  } else if (strcmp(option, "lr") == 0) {
    if (value == 0) return tkg__fail(TKG_E_ARGUMENT, "lr: 0 is not above 0: freeze it instead");
    tensor->rate = value;
  } else if (strcmp(option, "weight_decay") == 0) {
    tensor->has_decay = true;
    tensor->decay = value;
  } else {
    return tkg__fail(TKG_E_ARGUMENT, "a parameter has no option '%s'", option);
  }
  return TKG_OK;
}

int tkg_tensor_is_parameter(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return tensor->parameter;
}

double tkg_tensor_version(const tkg_tensor *tensor) {
  TKG__NEEDS(tensor, 0);
  return (double)tensor->version;
}

void tkg_tensor_drop_gradient(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, );
  tkg_tensor_release(tensor->gradient);
  tensor->gradient = NULL;
}

tkg_tensor *tkg_tensor_gradient(tkg_tensor *tensor) {
  TKG__NEEDS(tensor, NULL);
  return tensor->gradient ? tkg_tensor_retain(tensor->gradient) : NULL;
}

/* Creates a copy of `from` that is divided as the parameter is. */
static int gradient_of(const tkg_tensor *parameter, const tkg_tensor *from, tkg_tensor **out) {
  tkg_node shape = parameter->shape;
  shape.dtype = TKG_F32; /* of a parameter in 16 bits too */
  int status = create(parameter->engine, &shape, TKG_KIND_GRADIENT, parameter->divided, out);
  if (!status && (status = tkg_tensor_copy(*out, from))) tkg_tensor_release(*out);
  return status;
}

int tkg_tensor_set_gradient(tkg_tensor *tensor, const tkg_tensor *from) {
  TKG__NEEDS(tensor && from, TKG_E_ARGUMENT);
  char text[2][TKG_SHAPE_TEXT];
  const tkg_node *a = &tensor->shape, *b = &from->shape;
  tkg_tensor *gradient;
  if (!tensor->parameter || tensor->frozen)
    return tkg__fail(TKG_E_ARGUMENT, "grad: %s %s", tkg__shape_text(a, text[0]),
                     tensor->parameter ? "is frozen and has no gradient" : "is no parameter");
  if (a->rank != b->rank || memcmp(a->shape, b->shape, sizeof a->shape) != 0 ||
      tkg_tensor_dtype(tensor) != tkg_tensor_dtype(from))
    return tkg__fail(TKG_E_SHAPE, "grad: %s is no gradient of %s", tkg__shape_text(b, text[1]),
                     tkg__shape_text(a, text[0]));
  int status = gradient_of(tensor, from, &gradient);
  if (status) return status;
  tkg_tensor_drop_gradient(tensor);
  tensor->gradient = gradient;
  return TKG_OK;
}

int tkg_shuffle(int32_t *ids, int64_t n, uint64_t seed, uint32_t epoch, uint32_t stream) {
  TKG__NEEDS(ids || n == 0, TKG_E_ARGUMENT);
  if (n < 0 || n > INT32_MAX)
    return tkg__fail(TKG_E_ARGUMENT, "shuffle: %" PRId64 " is not in 0..2^31-1", n);
  tkg__permutation(ids, n, seed, epoch, stream);
  return TKG_OK;
}
