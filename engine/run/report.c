/* What a step saves for backward, as figures, as rows and as text. They describe the largest plan,
 * the one with the most reference_bytes, which trains a full batch. A shorter batch can take more
 * memory: where few rows are read, prune_rows leaves other ops, and a GPU needs scratch memory for
 * some of them. */
#include <string.h>

#include "base/error.h"
#include "base/placement.h"
#include "base/text.h"
#include "exchange.h"
#include "passes/chunks.h"
#include "passes/plan_traffic.h"
#include "passes/traffic.h"
#include "step.h"

static bool is_larger(const tkg_program *a, const tkg_program *b) {
  if (a->reference_bytes != b->reference_bytes) return a->reference_bytes > b->reference_bytes;
  return a->arena_bytes > b->arena_bytes;
}

static const tkg_program *largest(const tkg_step *step) {
  const tkg_program *best = NULL;
  for (int i = 0; i < step->cache.count; i++) {
    const tkg_program *p = &step->cache.plans[i]->program;
    if (p->gradient_count == 0) continue;
    if (!best || is_larger(p, best)) best = p;
  }
  if (!best && step->cache.count) best = &step->cache.plans[0]->program;
  return best;
}

static int64_t saved_sum(const tkg_program *p, bool exact) {
  int64_t sum = 0;
  for (int i = 0; i < p->saved_count; i++)
    sum += exact ? p->saved[i].exact_bytes : p->saved[i].saved_bytes;
  return sum;
}

static int64_t moved_bytes(const tkg_program *p) {
  double sum = 0;
  for (int o = 0; o < p->order_count; o++) {
    const tkg_node *n = &p->tape->nodes[p->order[o]], *in[TKG_MAX_INPUTS];
    bool view = p->storage[p->order[o]] != p->order[o] && !tkg__op_is(n->op, TKG_UPDATE);
    for (int k = 0; k < n->inputs; k++) in[k] = &p->tape->nodes[n->in[k]];
    if (!view) sum += tkg__traffic(n, in).cached;
  }
  return (int64_t)sum;
}

/* What this rank sends to others in a run of the plan, by tkg_sent. */
static void count_sent(const tkg_program *p, int64_t sent[TKG_SENT_KINDS]) {
  const tkg_engine *engine = p->tape->engine;
  for (int o = 0; o < p->order_count && engine->ranks > 1; o++) {
    const tkg_node *n = &p->tape->nodes[p->order[o]], *in[TKG_MAX_INPUTS];
    tkg__inputs_of(p->tape, n, in);
    const bool parts = n->inputs > 0 && in[0]->whole_rows > 0 && tkg__row_parts(n, in) > 0;
    if (n->op == TKG_OP_EXCHANGE || parts)
      sent[parts ? TKG_SENT_SUMS : n->i[2]] +=
          tkg__sent_bytes(engine, n, in, tkg__finer_parts(p, p->order[o]));
  }
}

double tkg_step_figure(const tkg_step *step, const char *name) {
  TKG__NEEDS(step && name, -1);
  const tkg_program *p = largest(step);
  if (!p) return -1;
  int64_t sent[TKG_SENT_KINDS] = {0};
  count_sent(p, sent);
  const struct {
    const char *name;
    int64_t value;
  } figures[] = {
      {"reference_bytes", p->reference_bytes},
      {"reference_peak", (int64_t)tkg_reference_peak((const tkg_step *const[]){step}, 1)},
      {"stored_bytes", saved_sum(p, false)},
      {"exact_bytes", saved_sum(p, true)},
      {"arena_bytes", p->arena_bytes},
      {"kept_exact", p->at_peak[TKG_KIND_KEPT_EXACT]},
      {"kept_quantized", p->at_peak[TKG_KIND_KEPT_QUANTIZED]},
      {"gradient", p->at_peak[TKG_KIND_GRADIENT]},
      {"transient", p->at_peak[TKG_KIND_TRANSIENT]},
      {"moved_bytes", moved_bytes(p)},
      {"nodes", p->order_count},
      {"plans", (int64_t)step->cache.made},
      {"replayed", (int64_t)step->replayed},
      {"exchanged_bytes",
       sent[TKG_SENT_LAYERS] + sent[TKG_SENT_AGAIN] + sent[TKG_SENT_ROWS] + sent[TKG_SENT_SUMS]},
      {"exchanged_layers", sent[TKG_SENT_LAYERS]},
      {"exchanged_again", sent[TKG_SENT_AGAIN]},
      {"exchanged_rows", sent[TKG_SENT_ROWS]},
      {"exchanged_sums", sent[TKG_SENT_SUMS]},
      {"values", p->saved_count}};
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
  if (!p || index < 0 || index >= p->saved_count)
    return tkg__fail(TKG_E_RANGE, "kept value %d: the step has %d", index, p ? p->saved_count : 0);
  const tkg_saved_value *v = &p->saved[index];
  *out = (tkg_kept){v->where,
                    tkg__ops[v->op].name,
                    rule_name(v->rule),
                    (double)v->exact_bytes,
                    (double)v->saved_bytes,
                    v->bits,
                    v->rounding,
                    v->shape.dtype,
                    v->shape.rank,
                    v->shape.nth,
                    v->readers,
                    {0}};
  memcpy(out->shape, v->shape.shape, sizeof out->shape);
  return TKG_OK;
}

int tkg_step_traffic(const tkg_step *step, tkg_moved *rows) {
  TKG__NEEDS(step && rows, TKG_E_ARGUMENT);
  tkg_moved found[TKG_OP_COUNT + 1];
  double most = -1;
  if (step->cache.count == 0) return tkg__fail(TKG_E_ARGUMENT, "traffic: the step has no plan yet");
  for (int k = 0; k < step->cache.count; k++) {
    const int status = tkg__plan_traffic(&step->cache.plans[k]->program, found);
    if (status) return status;
    double bytes = 0;
    for (int row = 0; row <= TKG_TRAFFIC_TILES; row++) bytes += found[row].bytes;
    if (bytes <= most) continue;
    most = bytes;
    memcpy(rows, found, sizeof found);
  }
  return TKG_OK;
}

/* The letter of a node: forward, backward or update. */
static char direction(const tkg_program *p, int i) {
  if (i < p->forward) return 'f';
  return tkg__op_is(p->tape->nodes[i].op, TKG_UPDATE) ? 'u' : 'b';
}

/* Where a value lies: @ before its offset in the arena, tile+ before that in a tile. */
static void add_place(tkg_text *text, const tkg_program *p, int i) {
  if (p->storage[i] != i)
    tkg__text_add(text, "  in %d", p->storage[i]);
  else if (p->output_of[i] >= 0)
    tkg__text_add(text, "  result");
  else
    tkg__text_add(text, "  %s%lld", p->in_tile[i] ? "tile+" : "@", (long long)p->offset[i]);
  if (p->group_of[i] >= 0) tkg__text_add(text, "  group %d", p->group_of[i]);
}

int64_t tkg_step_print(const tkg_step *step, char *text, int64_t size) {
  TKG__NEEDS(step, 0);
  tkg_text w = {.size = size};
  w.memory = text;
  const tkg_program *p = largest(step);
  char shape[TKG_SHAPE_TEXT];
  tkg__text_add(&w, "%s", "");
  for (int o = 0; p && o < p->order_count; o++) {
    int i = p->order[o];
    const tkg_node *n = &p->tape->nodes[i];
    tkg__text_add(&w, "%c %4d  %-18s", direction(p, i), i, tkg__ops[n->op].name);
    for (int k = 0; k < n->inputs; k++) tkg__text_add(&w, " %d", n->in[k]);
    tkg__text_add(&w, "  %s", tkg__shape_text(n, shape));
    add_place(&w, p, i);
    if (p->tape->side[i].where) tkg__text_add(&w, "  %s", p->tape->side[i].where);
    tkg__text_add(&w, "\n");
  }
  return w.length + 1;
}
