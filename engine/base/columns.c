#include "columns.h"

#include <stdlib.h>
#include <string.h>

#include "collective/collective.h"
#include "device.h"
#include "error.h"

enum { PIECE = 1 << 20 }; /* about so many bytes are read or written at once */

/* Some rows of a tensor: those of all ranks follow each other. */
typedef struct rows {
  int64_t cols, own, count;
  float *mine, *all;
} rows;

static int begin(const tkg_tensor *tensor, rows *r) {
  const int ranks = tensor->engine->ranks;
  r->cols = tkg__cols(&tensor->shape);
  r->own = r->cols / ranks;
  r->count = PIECE / (4 * r->cols) + 1;
  r->mine = malloc((size_t)r->count * (size_t)(r->own + r->cols) * sizeof *r->mine);
  if (!r->mine) return tkg__fail(TKG_E_MEMORY, "no memory to look at a tensor of several ranks");
  r->all = r->mine + r->count * r->own;
  return TKG_OK;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Reads this rank's columns from row `first` on. */
static int read_own(const tkg_tensor *tensor, const rows *r, int64_t first, int64_t bytes) {
  const tkg_backend *backend = tensor->engine->backend;
  const float *from = (const float *)tensor->data + first * r->own;
  return tkg__keep_backend_message(backend, backend->read(r->mine, from, bytes));
}

/* Fetches rows first..first+n-1 of all ranks. */
static int fetch(const tkg_tensor *tensor, const rows *r, int64_t first, int64_t n) {
  const tkg_engine *engine = tensor->engine;
  const int64_t bytes = n * r->own * (int64_t)sizeof(float);
  const int status = read_own(tensor, r, first, bytes);
  if (status) return status;
  if (engine->collective) return tkg__all_gather_equal(engine->collective, r->mine, r->all, bytes);
  memset(r->all, 0, (size_t)(bytes * engine->ranks)); /* ranks that are only planned for */
  memcpy(r->all, r->mine, (size_t)bytes);
  return TKG_OK;
}

/* Element `at` of the rows fetched, n of them. */
static float element(const rows *r, int64_t n, int64_t at) {
  const int64_t row = at / r->cols, col = at % r->cols;
  return r->all[col / r->own * n * r->own + row * r->own + col % r->own];
}

int tkg__read_columns(const tkg_tensor *tensor, float *to, int64_t first, int64_t count) {
  rows r;
  int status = begin(tensor, &r);
  const int64_t end = (first + count + r.cols - 1) / r.cols;
  for (int64_t row = first / r.cols; row < end && count > 0 && !status; row += r.count) {
    const int64_t n = smaller(r.count, end - row),
                  last = smaller(first + count, (row + n) * r.cols);
    status = fetch(tensor, &r, row, n);
    int64_t at = row * r.cols > first ? row * r.cols : first;
    for (; at < last && !status; at++) to[at - first] = element(&r, n, at - row * r.cols);
  }
  free(r.mine);
  return status;
}

int tkg__write_columns(tkg_tensor *tensor, const float *from, int64_t first, int64_t count) {
  rows r;
  const tkg_backend *backend = tensor->engine->backend;
  int status = begin(tensor, &r);
  const int64_t end = (first + count + r.cols - 1) / r.cols;
  const int64_t begin_own = tensor->engine->rank * r.own;
  for (int64_t row = first / r.cols; row < end && count > 0 && !status; row += r.count) {
    const int64_t n = smaller(r.count, end - row);
    const int64_t bytes = n * r.own * (int64_t)sizeof(float);
    status = read_own(tensor, &r, row, bytes);
    for (int64_t i = 0; i < n * r.own && !status; i++) {
      const int64_t at = (row + i / r.own) * r.cols + begin_own + i % r.own - first;
      if (at >= 0 && at < count) r.mine[i] = from[at];
    }
    if (!status) tkg__replace_odd_nans((char *)r.mine, n * r.own);
    if (!status) backend->write((float *)tensor->data + row * r.own, r.mine, bytes);
  }
  free(r.mine);
  return status;
}
