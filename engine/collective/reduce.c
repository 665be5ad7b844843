/* all_reduce: each rank gets the same part of all ranks' values, combines it in the order of ranks,
 * and the results are gathered. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "state.h"

/* Values of fewer bytes are gathered by each rank as a whole: one message instead of two. */
enum { SMALL = 1 << 12 };

static int64_t element_bytes(enum tkg_reduction how) {
  return how == TKG_SUM_F32 || how == TKG_MAX_F32 ? 4 : 8;
}

/* A NaN wins, so that no rank goes on with a number that another does not have. */
static float max_f32(float a, float b) { return a != a || a > b ? a : b; }
static int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Combines n elements of `more` into `sum`. */
static void combine(enum tkg_reduction how, void *sum, const void *more, int64_t n) {
  float *f = sum;
  double *d = sum;
  int64_t *q = sum;
  const float *g = more;
  const double *e = more;
  const int64_t *r = more;
  for (int64_t i = 0; i < n; i++) switch (how) {
    case TKG_SUM_F32:
      f[i] += g[i];
      break;
    case TKG_MAX_F32:
      f[i] = max_f32(f[i], g[i]);
      break;
    case TKG_SUM_F64:
      d[i] += e[i];
      break;
    case TKG_SUM_I64:
      q[i] += r[i];
      break;
    case TKG_MAX_I64:
      q[i] = max_i64(q[i], r[i]);
      break;
    }
}

/* Combines the parts of n elements that lie one after another, in order, into the first. */
static void combine_all(enum tkg_reduction how, char *parts, int size, int64_t n) {
  for (int r = 1; r < size; r++) combine(how, parts, parts + r * n * element_bytes(how), n);
}

static int reduce_small(tkg_collective *c, enum tkg_reduction how, void *values, int64_t n) {
  const int rank = c->transport->rank, size = c->transport->size;
  const int64_t bytes = n * element_bytes(how);
  int status = tkg__reserve(c, size * bytes);
  if (status) return status;
  for (int i = 1; i < size; i++) {
    int r = (rank + i) % size;
    c->parts[i - 1] = (tkg_part){r, values, bytes, c->scratch + r * bytes, bytes};
  }
  memcpy(c->scratch + rank * bytes, values, (size_t)bytes);
  status = tkg__exchange(c, TKG_ALL_REDUCE, c->parts, size - 1);
  if (status) return status;
  combine_all(how, c->scratch, size, n);
  memcpy(values, c->scratch, (size_t)bytes);
  return TKG_OK;
}

/* Bytes first..first+count-1 of the values are those that a rank combines. */
typedef struct range {
  int64_t first, count;
} range;

static range range_of(int64_t n, int64_t each, int size, int rank) {
  int64_t first = n * rank / size, end = n * (rank + 1) / size;
  return (range){first * each, (end - first) * each};
}

static int reduce_parts(tkg_collective *c, enum tkg_reduction how, char *values, int64_t n) {
  const int rank = c->transport->rank, size = c->transport->size;
  const int64_t each = element_bytes(how);
  const range own = range_of(n, each, size, rank);
  char *mine = values + own.first;
  int status = tkg__reserve(c, size * own.count);
  for (int i = 1; i < size && !status; i++) {
    int r = (rank + i) % size;
    const range a = range_of(n, each, size, r);
    c->parts[i - 1] =
        (tkg_part){r, values + a.first, a.count, c->scratch + r * own.count, own.count};
  }
  if (status) return status;
  memcpy(c->scratch + rank * own.count, mine, (size_t)own.count);
  status = tkg__exchange(c, TKG_ALL_REDUCE, c->parts, size - 1);
  if (status) return status;
  combine_all(how, c->scratch, size, own.count / each);
  memcpy(mine, c->scratch, (size_t)own.count);
  for (int i = 0; i < size - 1; i++) {
    tkg_part *p = &c->parts[i];
    const range a = range_of(n, each, size, p->rank);
    *p = (tkg_part){p->rank, mine, own.count, values + a.first, a.count};
  }
  return tkg__exchange(c, TKG_ALL_REDUCE, c->parts, size - 1);
}

int64_t tkg__all_reduce_bytes(int64_t each, int64_t n, int rank, int size) {
  if (n * each <= SMALL) return (size - 1) * n * each;
  const int64_t own = range_of(n, each, size, rank).count;
  return n * each - own + (size - 1) * own;
}

int tkg__all_reduce(tkg_collective *c, enum tkg_reduction how, void *values, int64_t n) {
  if (!c || n == 0) return TKG_OK;
  c->calls[TKG_ALL_REDUCE]++;
  return n * element_bytes(how) <= SMALL ? reduce_small(c, how, values, n)
                                         : reduce_parts(c, how, values, n);
}
