#include "check_finite.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/device.h"
#include "base/text.h"

enum { PIECE = 1 << 16 }; /* elements fetched at a time */
enum { NOWHERE = -1, NO_MEMORY = -2, UNREAD = -3 };

/* Returns the position of the first element that is not finite, and the element in *value; NOWHERE,
 * NO_MEMORY or UNREAD where there is none or the values cannot be fetched. */
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

/* Adds "NaN at [3, 4] of f32 [128, 16]"; dimensions are counted from 1, as in Lua. */
static void add_place(tkg_text *text, const tkg_node *n, int64_t at, float value) {
  char shape[TKG_SHAPE_TEXT];
  int64_t size = tkg__count(n);
  tkg__text_add(text, "%s", isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity");
  for (int d = 0; d < n->rank; d++) {
    size /= n->shape[d];
    tkg__text_add(text, "%s%" PRId64, d ? ", " : " at [", at / size + 1);
    at %= size;
  }
  tkg__text_add(text, "%s of %s%s", n->rank ? "]" : "", n->parameter ? "parameter " : "",
                tkg__shape_text(n, shape));
}

/* Adds which of the inputs is not finite and where, or that all are. */
static void add_inputs(tkg_text *text, const tkg_backend *backend, const tkg_call *call,
                       uint32_t leaves) {
  bool floats = false;
  for (int k = 0; k < call->node->inputs; k++) {
    float value = 0;
    floats |= call->in[k]->dtype == TKG_F32;
    if (!(leaves >> k & 1) || call->in[k]->dtype != TKG_F32) continue;
    int64_t at = first_bad(backend, call->in[k], call->data[k], &value);
    if (at < 0) continue;
    tkg__text_add(text, "; its input %d has ", k + 1);
    add_place(text, call->in[k], at, value);
    return;
  }
  if (floats) tkg__text_add(text, "; its inputs are finite");
}

int tkg__check_finite(const tkg_backend *backend, const tkg_call *call, uint32_t leaves,
                      bool backward) {
  char message[600];
  tkg_text text = {message, sizeof message, 0};
  float value = 0;
  if (call->node->dtype != TKG_F32) return TKG_OK;
  int64_t at = first_bad(backend, call->node, call->out, &value);
  if (at == NO_MEMORY) return tkg__fail(TKG_E_MEMORY, "check: no memory to look at values");
  if (at == UNREAD) return tkg__keep_backend_message(backend, TKG_E_DEVICE);
  if (at < 0) return TKG_OK;
  tkg__text_add(&text, "%s: ", tkg__ops[call->node->op].name);
  add_place(&text, call->node, at, value);
  tkg__text_add(&text, " (%s)", backward ? "backward" : "forward");
  add_inputs(&text, backend, call, leaves);
  return tkg__fail(TKG_E_NOT_FINITE, "%s", message);
}
