/* What a step keeps for backward, as figures, as rows, as text. Speaks of the largest plan: the
 * one that trains a full batch, which has most to keep op by op. A shorter one may well take more
 * memory: where few rows are read the rows pass has other ops, and a GPU's need scratch. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "step.h"

static bool is_larger(const tkg_program *a, const tkg_program *b) {
  if (a->reference_bytes != b->reference_bytes) return a->reference_bytes > b->reference_bytes;
  return a->arena_bytes > b->arena_bytes;
}

static const tkg_program *largest(const tkg_step *step) {
  const tkg_program *best = NULL;
  for (int i = 0; i < step->plan_count; i++) {
    const tkg_program *p = &step->plans[i]->program;
    if (p->gradient_count == 0) continue;
    if (!best || is_larger(p, best)) best = p;
  }
  if (!best && step->plan_count) best = &step->plans[0]->program;
  return best;
}

static int64_t kept_sum(const tkg_program *p, bool exact) {
  int64_t sum = 0;
  for (int i = 0; i < p->kept_count; i++)
    sum += exact ? p->kept[i].exact_bytes : p->kept[i].kept_bytes;
  return sum;
}

double tkg_step_figure(const tkg_step *step, const char *name) {
  TKG__NEEDS(step && name, -1);
  const tkg_program *p = largest(step);
  if (!p) return -1;
  const struct {
    const char *name;
    int64_t value;
  } figures[] = {{"reference_bytes", p->reference_bytes},
                 {"stored_bytes", kept_sum(p, false)},
                 {"exact_bytes", kept_sum(p, true)},
                 {"arena_bytes", p->arena_bytes},
                 {"kept_exact", p->at_peak[TKG_KIND_KEPT_EXACT]},
                 {"kept_quantized", p->at_peak[TKG_KIND_KEPT_QUANTIZED]},
                 {"gradient", p->at_peak[TKG_KIND_GRADIENT]},
                 {"transient", p->at_peak[TKG_KIND_TRANSIENT]},
                 {"nodes", p->order_count},
                 {"plans", (int64_t)step->made},
                 {"replayed", (int64_t)step->replayed},
                 {"values", p->kept_count}};
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
    if (strcmp(figures[i].name, name) == 0) return (double)figures[i].value;
  return -1;
}

static const char *rule_name(int rule) {
  static const char *const names[TKG_RULE_COUNT] = {"",     "resident", "recompute",
                                                    "mask", "exact",    "quantize"};
  return names[rule];
}

int tkg_step_kept(const tkg_step *step, int index, tkg_kept *out) {
  TKG__NEEDS(step && out, TKG_E_ARGUMENT);
  const tkg_program *p = largest(step);
  if (!p || index < 0 || index >= p->kept_count)
    return tkg__fail(TKG_E_RANGE, "kept value %d: the step has %d", index, p ? p->kept_count : 0);
  const tkg_kept_value *v = &p->kept[index];
  *out = (tkg_kept){v->where,
                    tkg__ops[v->op].name,
                    rule_name(v->rule),
                    (double)v->exact_bytes,
                    (double)v->kept_bytes,
                    v->bits,
                    v->shape.dtype,
                    v->shape.rank,
                    {0}};
  memcpy(out->shape, v->shape.shape, sizeof out->shape);
  return TKG_OK;
}

typedef struct writer {
  char *text;
  int64_t size, at;
} writer;

static void put(writer *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  bool fits = w->text && w->at < w->size;
  w->at +=
      vsnprintf(fits ? w->text + w->at : NULL, fits ? (size_t)(w->size - w->at) : 0, format, args);
  va_end(args);
}

/* The program after its passes, in the order it runs: what a pass did can be read. A value has its
 * place in the arena (@), or in a tile of its group. */
int64_t tkg_step_print(const tkg_step *step, char *text, int64_t size) {
  TKG__NEEDS(step, 0);
  writer w = {.size = size};
  w.text = text;
  const tkg_program *p = largest(step);
  char shape[TKG_SHAPE_TEXT];
  put(&w, "%s", "");
  for (int o = 0; p && o < p->order_count; o++) {
    int i = p->order[o];
    const tkg_node *n = &p->tape->nodes[i];
    put(&w, "%c %4d  %-18s",
        i < p->forward                  ? 'f'
        : tkg__op_is(n->op, TKG_UPDATE) ? 'u'
                                        : 'b',
        i, tkg__ops[n->op].name);
    for (int k = 0; k < n->inputs; k++) put(&w, " %d", n->in[k]);
    put(&w, "  %s", tkg__shape_text(n, shape));
    if (p->storage[i] != i)
      put(&w, "  in %d", p->storage[i]);
    else if (p->output_in_place[i])
      put(&w, "  result");
    else
      put(&w, "  %s%lld", p->in_tile[i] ? "tile+" : "@", (long long)p->offset[i]);
    if (p->group_of[i] >= 0) put(&w, "  group %d", p->group_of[i]);
    if (p->tape->side[i].where) put(&w, "  %s", p->tape->side[i].where);
    put(&w, "\n");
  }
  return w.at + 1;
}
