#include "alias.h"

bool tkg__is_alias(const tkg_node *n) {
  return n->op == TKG_OP_DETACH || n->op == TKG_OP_CUSTOM_VJP;
}

int tkg__resolve_alias(const tkg_tape *tape, int i) {
  while (tkg__is_alias(&tape->nodes[i])) i = tape->nodes[i].in[0];
  return i;
}
