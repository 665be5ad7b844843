/* value_bits: a value is known by its recipe line and the number of its op among those that this
 * line recorded. Both are the same in each run of a recipe and for batches of all sizes, and passes
 * keep them: rows of a value have its number. */
#include "value_bits.h"

#include <string.h>

/* The lines of one tape are interned, so equal ones have one address. */
static int number_of(const tkg_tape *tape, int i) {
  for (int j = i; j-- > 0;) {
    const tkg_node *n = &tape->nodes[j];
    if (tape->side[j].where != tape->side[i].where || n->op == TKG_OP_LEAF) continue;
    return n->nth == 0 || n->nth == TKG_MOST_NTH ? 0 : n->nth + 1;
  }
  return 1;
}

static int bits_of(const tkg_policy *policy, const char *where, int nth) {
  for (int v = 0; v < policy->value_count; v++)
    if (policy->values[v].nth == nth && strcmp(policy->values[v].where, where) == 0)
      return policy->values[v].bits;
  return 0;
}

void tkg__set_value_bits(tkg_program *p, const tkg_policy *policy) {
  for (int i = 0; i < p->tape->n; i++) {
    tkg_node *n = &p->tape->nodes[i];
    const char *where = p->tape->side[i].where;
    if (!where || n->op == TKG_OP_LEAF) continue;
    n->nth = (uint8_t)number_of(p->tape, i);
    if (n->nth && !n->bits) n->bits = (uint8_t)bits_of(policy, where, n->nth);
  }
}
