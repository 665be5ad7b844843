/* Out of memory: what takes it, and what would help. The step is planned again at fewer bits, which
 * costs milliseconds and says exactly what each width would take. */
#include <stdio.h>

#include "base/error.h"
#include "step.h"

typedef struct line {
  char text[900];
  size_t at;
} line;

static void put(line *l, const char *part) {
  int length = snprintf(l->text + l->at, sizeof l->text - l->at, "%s", part);
  l->at += (size_t)length;
  if (l->at >= sizeof l->text) l->at = sizeof l->text - 1;
}

static const char *megabytes(int64_t bytes, char out[32]) {
  snprintf(out, 32, "%.1f MiB", (double)bytes / 1048576);
  return out;
}

/* The kept value that takes most, leaving out `taken` larger ones. */
static const tkg_kept_value *largest(const tkg_program *p, int taken) {
  const tkg_kept_value *best = NULL, *before = taken ? largest(p, taken - 1) : NULL;
  for (int i = 0; i < p->kept_count; i++) {
    const tkg_kept_value *v = &p->kept[i];
    bool smaller = !before || v->kept_bytes < before->kept_bytes ||
                   (v->kept_bytes == before->kept_bytes && v > before);
    if (smaller && v->kept_bytes > 0 && (!best || v->kept_bytes > best->kept_bytes)) best = v;
  }
  return best;
}

static void put_largest(line *l, const tkg_program *p) {
  char shape[TKG_SHAPE_TEXT], size[32], part[256];
  for (int k = 0; k < 3; k++) {
    const tkg_kept_value *v = largest(p, k);
    if (!v) return;
    snprintf(part, sizeof part, "%s%s %s %s%s%s",
             k ? ", " : "; largest kept for backward: ", tkg__ops[v->op].name,
             tkg__shape_text(&v->shape, shape), megabytes(v->kept_bytes, size),
             v->where ? " from " : "", v->where ? v->where : "");
    put(l, part);
  }
}

static void put_widths(line *l, tkg_step *step, const tkg_tape *tape, const tkg_request *asked) {
  static const int widths[] = {8, 4, 2, 1};
  const tkg_policy policy = step->policy;
  char size[32], part[96];
  bool any = false;
  for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
    tkg_plan *plan;
    step->policy.bits = widths[i];
    if (widths[i] >= policy.bits || tkg__step_find(step, tape, asked, &plan)) continue;
    snprintf(part, sizeof part, "%s%d bits %s", any ? ", " : "; it would take with ", widths[i],
             megabytes(plan->program.arena_bytes, size));
    put(l, part);
    any = true;
  }
  step->policy = policy;
}

int tkg__step_too_large(tkg_step *step, const tkg_tape *tape, const tkg_request *asked) {
  line l = {.at = 0};
  char size[32];
  tkg_plan *plan;
  int status = tkg__step_find(step, tape, asked, &plan);
  if (status) return status;
  put(&l, "no memory for a step of ");
  put(&l, megabytes(plan->program.arena_bytes, size));
  put_largest(&l, &plan->program);
  if (asked->loss >= 0) put_widths(&l, step, tape, asked);
  put(&l, "; a smaller batch takes less");
  return tkg__fail(TKG_E_MEMORY, "%s", l.text);
}
