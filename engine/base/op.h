/* A node of the tape: one op, its inputs, its shape. Two nodes that compare equal byte for byte
 * are the same computation, so nodes are zeroed before they are filled. */
#ifndef TKG_OP_H
#define TKG_OP_H

#include <stdbool.h>
#include <stdint.h>

enum { TKG_MAX_RANK = 4, TKG_MAX_INPUTS = 6, TKG_MOST_NTH = 255 };

#define X(name, ...) TKG_OP_##name,
enum tkg_op {
#include "ops.def"
  TKG_OP_COUNT
};
#undef X

/* BF16 is the upper half of a float (bf16.h): parameters may be kept so. */
enum tkg_dtype { TKG_F32, TKG_I32, TKG_CODES, TKG_MASK, TKG_BF16 };

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
  uint8_t nth;       /* of a program: among the ops that its recipe line recorded, from 1; 0: of no
                        line, or beyond TKG_MOST_NTH */
  int32_t in[TKG_MAX_INPUTS];
  int64_t shape[TKG_MAX_RANK];
  double f[5]; /* recipes set 4; an update has f4 of the enum below */
  int64_t i[4];
  /* Of a matrix whose rows are dealt to ranks (placement.h): `shape` is of the rows that this rank
   * has, which begin with first_row of whole_rows. 0, 0: it has all of them. */
  int64_t first_row, whole_rows;
  int64_t
      whole_cols; /* of a value whose columns are dealt: the last dimension of the whole; else 0 */
} tkg_node;

/* RANDOM's i0: [0, 1), standard normal, -log(-log(uniform)). */
enum tkg_random_kind { TKG_RANDOM_UNIFORM, TKG_RANDOM_NORMAL, TKG_RANDOM_GUMBEL, TKG_RANDOM_KINDS };

/* Of an update: the number that multiplies its learning rate, 0 for 1. */
enum { TKG_UPDATE_RATE = 4 };

/* Adam's i0. */
enum { TKG_ADAM_HAT = 1, TKG_ADAM_DECOUPLED = 2 };

/* What ops.def says of an op; the meaning of letters and flags stands there. */
enum tkg_op_flag {
  TKG_CHEAP = 1,
  TKG_INPLACE = 2,
  TKG_ALIAS = 4,
  TKG_UPDATE = 8,
  TKG_RANDOM = 16,
  TKG_TILED = 32,
  TKG_BASE = 64,
  TKG_HALVES = 128,
  TKG_FINITE = 256,
  TKG_EPSILON = 512,
};

typedef struct tkg_op_info {
  const char *name, *reads, *rows, *columns;
  unsigned flags;
} tkg_op_info;

extern const tkg_op_info tkg__ops[TKG_OP_COUNT];

bool tkg__op_is(int op, enum tkg_op_flag flag);

/* Whether the node makes finite numbers of finite ones. */
bool tkg__stays_finite(const tkg_node *n);

/* Whether two nodes have the same attributes. */
bool tkg__same_attributes(const tkg_node *a, const tkg_node *b);
char tkg__op_reads(int op, int input); /* small letter of an input, 0 if there is none */
void tkg__op_arity(int op, int *least, int *most);
int tkg__op_base(int op); /* number of the input that a TKG_BASE op adds to, else -1 */
bool tkg__passes_gradient(const tkg_node *n, int input); /* to this input, if at all */

/* Whether all dimensions are 0 or more and their product, each taken as 1 at least, is no more than
 * TKG_MOST_ELEMENTS. No node and no tensor has a shape that is not: so no product of some of its
 * dimensions overflows, nor do bytes, whichever of them are zero. */
enum { TKG_MOST_ELEMENTS_BITS = 48 };
#define TKG_MOST_ELEMENTS (INT64_C(1) << TKG_MOST_ELEMENTS_BITS)
bool tkg__shape_fits(const int64_t *shape, int rank);

/* Whether the kernel of a node can read these packed codes as this input. It decodes a row each
 * time that it reads it, and holds a row of so many columns. So codes whose noise is drawn per
 * element are read only where ids list the rows that are needed, or where all are decoded in
 * turn. */
enum { TKG_MOST_CODED_COLS = 2048 };
bool tkg__takes_codes(const tkg_node *n, int input, const tkg_node *codes);

/* Columns of codes that AGGREGATE_RELATION decodes at a time: half of them, in whole groups. */
static inline int64_t tkg__decoded_slice(int64_t cols) { return (cols + 31) / 32 * 16; }

/* The matrix view of a node. */
int64_t tkg__count(const tkg_node *n);
int64_t tkg__cols(const tkg_node *n);
int64_t tkg__rows(const tkg_node *n);
/* Columns of the whole of which a rank has some: orders of sums depend on these. */
int64_t tkg__whole_cols(const tkg_node *n);
/* Bytes of a node's value, of any dtype. */
int64_t tkg__bytes(const tkg_node *n);

/* Whether a parameter of this shape counts as a large table of rows rather than a weight: a matrix
 * of more rows than columns and at least TKG_TABLE_LEAST elements. */
enum { TKG_TABLE_LEAST = 4096 };
bool tkg__is_table(const tkg_node *n);

/* What row i of a result needs of one input. WHOLE, of which nothing more is known, is the answer
 * for an op whose column `rows` is empty. */
enum tkg_row_access {
  TKG_ACCESS_WHOLE,   /* it may need any row */
  TKG_ACCESS_ROW,     /* row i alone */
  TKG_ACCESS_REDUCES, /* the result is a sum over the rows of this input, row i of which meets row i
                         of the others that are read so */
};
enum tkg_row_access tkg__row_access(const tkg_node *n, const tkg_node *const *in, int input);

/* Whether each row of the result, a matrix, can be computed without the others by an op that reads
 * rows by their position (letter p of ops.def), and whether it then reads row i of this input. */
bool tkg__rows_by_position(const tkg_node *n);
bool tkg__row_of_position(const tkg_node *n, const tkg_node *const *in, int input);

/* Whether the node is the sum of all elements of a matrix or of a list. */
bool tkg__sums_all(const tkg_node *n, const tkg_node *const *in);

/* Whether column j of the result needs of this input, which has as many, column j alone. */
bool tkg__column_access(const tkg_node *n, const tkg_node *const *in, int input);

/* Whether each row of the result, a matrix, can be computed without the others: from row i of the
 * inputs read by ROW, all of them matrices, and from the others as a whole. */
bool tkg__rows_apart(const tkg_node *n, const tkg_node *const *in);

/* The same, where an input read by ROW may be a list with an id for each row. */
bool tkg__rows_apart_by_list(const tkg_node *n, const tkg_node *const *in);

/* Sums over the rows of a matrix: SUM of dimension 1, and MATMUL of a transposed a. From
 * TKG_PARTED_ROWS rows on such a sum is made of partial sums, and how the rows are cut depends on
 * their number alone, so the result has the same bits wherever the sum runs. Partial sum p covers
 * the rows tkg__part_begin(rows, parts, p) up to that of p + 1 and is formed TKG_PART_STEP rows at
 * a time. tkg__row_parts gives the number of partial sums, 0 if the node is no such sum;
 * tkg__parts_of that of any number of rows. */
enum {
  TKG_PARTED_ROWS = 2048,
  TKG_PART_UNIT = 1024, /* each part but the last has a multiple of so many rows */
  TKG_PART_STEP = 256,
  TKG_MOST_PARTS = 64,
  TKG_MOST_PARTED = 65536, /* elements of a result: each part has as many */
};
int tkg__row_parts(const tkg_node *n, const tkg_node *const *in);
int tkg__parts_of(int64_t rows);
int64_t tkg__part_begin(int64_t rows, int parts, int part);

/* The rows that a sum goes over or a tile is of: all of a value, or those that this rank has. A
 * rank has whole parts, so that its partial sums are those of a run without ranks. tkg__row_range
 * is that of a matrix; tkg__parts_in gives the number of parts and tkg__part_row the first row of
 * part 0..parts, counted from the first that the rank has. */
typedef struct tkg_row_range {
  int64_t first, rows, whole; /* whole 0: there are no ranks */
} tkg_row_range;
tkg_row_range tkg__row_range(const tkg_node *x);
int tkg__parts_in(const tkg_row_range *range);
int64_t tkg__part_row(const tkg_row_range *range, int parts, int part);

/* "f32 [2, 3]" into out, which is returned. */
enum { TKG_SHAPE_TEXT = 96 };
char *tkg__shape_text(const tkg_node *n, char out[TKG_SHAPE_TEXT]);

#endif
