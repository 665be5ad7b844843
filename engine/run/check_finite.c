/* Looking for the first NaN or infinity: after each node, at what it made, on the host. */
#include "check_finite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/device.h"
#include "base/error.h"

enum { PIECE = 1 << 16 }; /* elements fetched at a time */
enum { NOWHERE = -1, NO_MEMORY = -2, UNREAD = -3 };

/* Position of the first element that is not finite, and the element; NOWHERE, NO_MEMORY, UNREAD. */
static int64_t first_bad(const tkg_backend *backend, const tkg_node *n, const void *data,
                         float *value) {
  int64_t count = tkg__count(n), found = NOWHERE;
  float *piece = malloc((size_t)(count < PIECE ? count : PIECE) * sizeof *piece + 1);
  if (!piece) return NO_MEMORY;
  for (int64_t at = 0; at < count && found == NOWHERE; at += PIECE) {
    int64_t length = count - at < PIECE ? count - at : PIECE;
    if (backend->read(piece, (const float *)data + at, length * (int64_t)sizeof *piece))
      found = UNREAD;
    for (int64_t i = 0; i < length && found == NOWHERE; i++)
      if (!isfinite(piece[i])) {
        found = at + i;
        *value = piece[i];
      }
  }
  free(piece);
  return found;
}

/* "NaN at [3, 4] of f32 [128, 16]": dimensions counted from 1, as in Lua. */
static void describe(const tkg_node *n, int64_t at, float value, char out[2 * TKG_SHAPE_TEXT]) {
  char shape[TKG_SHAPE_TEXT], place[TKG_SHAPE_TEXT] = "";
  int64_t size = tkg__count(n);
  int length = 0;
  for (int d = 0; d < n->rank; d++) {
    size /= n->shape[d];
    length += snprintf(place + length, sizeof place - (size_t)length, "%s%" PRId64,
                       d ? ", " : " at [", at / size + 1);
    at %= size;
  }
  const char *what = isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";
  snprintf(out, 2 * TKG_SHAPE_TEXT, "%s%s%s of %s%s", what, place, n->rank ? "]" : "",
           n->parameter ? "parameter " : "", tkg__shape_text(n, shape));
}

/* What the inputs have to do with it: "; its inputs are finite", or the first that is not. */
static void blame_inputs(const tkg_backend *backend, const tkg_call *call, uint32_t leaves,
                         char *out, size_t size) {
  char text[2 * TKG_SHAPE_TEXT];
  bool floats = false;
  for (int k = 0; k < call->node->inputs; k++) {
    float value = 0;
    floats |= call->in[k]->dtype == TKG_F32;
    if (!(leaves >> k & 1) || call->in[k]->dtype != TKG_F32) continue;
    int64_t at = first_bad(backend, call->in[k], call->data[k], &value);
    if (at < 0) continue;
    describe(call->in[k], at, value, text);
    snprintf(out, size, "; its input %d has %s", k + 1, text);
    return;
  }
  snprintf(out, size, "%s", floats ? "; its inputs are finite" : "");
}

int tkg__check_finite(const tkg_backend *backend, const tkg_call *call, uint32_t leaves,
                      bool backward) {
  char text[2 * TKG_SHAPE_TEXT], inputs[3 * TKG_SHAPE_TEXT];
  float value = 0;
  if (call->node->dtype != TKG_F32) return TKG_OK;
  int64_t at = first_bad(backend, call->node, call->out, &value);
  if (at == NO_MEMORY) return tkg__fail(TKG_E_MEMORY, "check: no memory to look at values");
  if (at == UNREAD) return tkg__keep_backend_message(backend, TKG_E_DEVICE);
  if (at < 0) return TKG_OK;
  describe(call->node, at, value, text);
  blame_inputs(backend, call, leaves, inputs, sizeof inputs);
  return tkg__fail(TKG_E_NOT_FINITE, "%s: %s (%s)%s", tkg__ops[call->node->op].name, text,
                   backward ? "backward" : "forward", inputs);
}
