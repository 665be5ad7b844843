#include "out_of_memory.h"

#include <stdio.h>

#include "base/text.h"

static const char *megabytes(int64_t bytes, char out[32]) {
  snprintf(out, 32, "%.1f MiB", (double)bytes / 1048576);
  return out;
}

/* The saved value with the most bytes after the `skip` largest; NULL: there are no more. */
static const tkg_saved_value *largest(const tkg_program *p, int skip) {
  const tkg_saved_value *best = NULL, *before = skip ? largest(p, skip - 1) : NULL;
  for (int i = 0; i < p->saved_count; i++) {
    const tkg_saved_value *v = &p->saved[i];
    bool smaller = !before || v->saved_bytes < before->saved_bytes ||
                   (v->saved_bytes == before->saved_bytes && v > before);
    if (smaller && v->saved_bytes > 0 && (!best || v->saved_bytes > best->saved_bytes)) best = v;
  }
  return best;
}

static void add_largest(tkg_text *text, const tkg_program *p) {
  char shape[TKG_SHAPE_TEXT], size[32];
  for (int k = 0; k < 3; k++) {
    const tkg_saved_value *v = largest(p, k);
    if (!v) return;
    tkg__text_add(text, "%s%s %s %s%s%s",
                  k ? ", " : "; largest kept for backward: ", tkg__ops[v->op].name,
                  tkg__shape_text(&v->shape, shape), megabytes(v->saved_bytes, size),
                  v->where ? " from " : "", v->where ? v->where : "");
  }
}

static void add_widths(tkg_text *text, tkg_step *step, const tkg_tape *tape,
                       const tkg_request *request) {
  static const int widths[] = {8, 4, 2, 1};
  const char *before = "; it would take with ";
  tkg_policy policy = step->policy;
  char size[32];
  for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
    tkg_plan *plan;
    policy.bits = widths[i];
    if (widths[i] >= step->policy.bits ||
        tkg__plan_find(&step->cache, tape, request, &policy, &plan))
      continue;
    tkg__text_add(text, "%s%d bits %s", before, widths[i],
                  megabytes(plan->program.arena_bytes, size));
    before = ", ";
  }
}

int tkg__step_too_large(tkg_step *step, const tkg_tape *tape, const tkg_request *request) {
  char message[900], size[32];
  tkg_text text = {message, sizeof message, 0};
  tkg_plan *plan;
  int status = tkg__plan_find(&step->cache, tape, request, &step->policy, &plan);
  if (status) return status;
  tkg__text_add(&text, "no memory for a step of %s", megabytes(plan->program.arena_bytes, size));
  add_largest(&text, &plan->program);
  if (request->loss >= 0) add_widths(&text, step, tape, request);
  tkg__text_add(&text, "; a smaller batch takes less");
  return tkg__fail(TKG_E_MEMORY, "%s", message);
}
