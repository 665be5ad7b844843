/* After gradients are recorded, readers of an alias read the value itself, and nothing reads
 * aliases any more: no later pass and no backend sees them. */
#include "remove_aliases.h"

#include "tape/alias.h"

/* `saved_as` of an alias is meant for the value. */
static void pass_rule_on(const tkg_tape *tape, int i) {
  tkg_node *value = &tape->nodes[tkg__resolve_alias(tape, i)];
  if (value->rule == TKG_RULE_DEFAULT) value->rule = tape->nodes[i].rule;
}

void tkg__remove_aliases(tkg_program *p) {
  const tkg_tape *tape = p->tape;
  for (int i = 0; i < tape->n; i++) {
    tkg_node *n = &tape->nodes[i];
    if (tkg__is_alias(n)) pass_rule_on(tape, i);
    for (int k = 0; k < n->inputs; k++) n->in[k] = tkg__resolve_alias(tape, n->in[k]);
  }
  for (int i = 0; i < p->output_count; i++) p->outputs[i] = tkg__resolve_alias(tape, p->outputs[i]);
  for (int i = 0; i < p->gradient_count; i++)
    p->gradient_of[i] = tkg__resolve_alias(tape, p->gradient_of[i]);
}
