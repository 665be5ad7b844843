/* A node of the tape: one op, its inputs, its shape. Two nodes that compare equal byte for byte
 * are the same computation, so nodes are zeroed before they are filled. */
#ifndef TKG_OP_H
#define TKG_OP_H

#include <stdbool.h>
#include <stdint.h>

enum { TKG_MAX_RANK = 4, TKG_MAX_INPUTS = 6 };

#define X(name, text, reads, flags) TKG_OP_##name,
enum tkg_op {
#include "ops.def"
  TKG_OP_COUNT
};
#undef X

enum tkg_dtype { TKG_F32, TKG_I32, TKG_CODES, TKG_MASK };

/* How a value is kept for backward (ARCHITECTURE: the save pass). DEFAULT lets the pass choose. */
enum tkg_rule {
  TKG_RULE_DEFAULT,
  TKG_RULE_RESIDENT,
  TKG_RULE_RECOMPUTE,
  TKG_RULE_MASK,
  TKG_RULE_EXACT,
  TKG_RULE_QUANTIZE,
  TKG_RULE_COUNT
};

typedef struct tkg_node {
  uint8_t op, dtype, rank, inputs;
  uint8_t bits;      /* width asked for where it was recorded; 0 = the step's */
  uint8_t rule;      /* tkg_rule asked for by the recipe */
  uint8_t parameter; /* a leaf that wants a gradient */
  uint8_t unused;
  int32_t in[TKG_MAX_INPUTS];
  int64_t shape[TKG_MAX_RANK];
  double f[4];
  int64_t i[4];
} tkg_node;

typedef struct tkg_op_info {
  const char *name, *reads, *flags;
} tkg_op_info;

extern const tkg_op_info tkg__ops[TKG_OP_COUNT];

bool tkg__op_is(int op, char flag);    /* has this flag */
char tkg__op_reads(int op, int input); /* letter of an input, 0 if there is none */
void tkg__op_arity(int op, int *least, int *most);
bool tkg__passes_gradient(const tkg_node *n, int input); /* to this input, if at all */

/* Whether all dimensions are 0 or more and their product, each taken as 1 at least, is no more than
 * TKG_MOST_ELEMENTS. No node and no tensor has a shape that is not: so no product of some of its
 * dimensions overflows, nor do bytes, whichever of them are zero. */
enum { TKG_MOST_ELEMENTS_BITS = 48 };
#define TKG_MOST_ELEMENTS (INT64_C(1) << TKG_MOST_ELEMENTS_BITS)
bool tkg__shape_fits(const int64_t *shape, int rank);

/* The matrix view of a node. */
int64_t tkg__count(const tkg_node *n);
int64_t tkg__cols(const tkg_node *n);
int64_t tkg__rows(const tkg_node *n);
/* Bytes of a node's value, of any dtype. */
int64_t tkg__bytes(const tkg_node *n);

/* "f32 [2, 3]" into out, which is returned. */
enum { TKG_SHAPE_TEXT = 96 };
char *tkg__shape_text(const tkg_node *n, char out[TKG_SHAPE_TEXT]);

#endif
