/* How values lie on ranks, the processes that train one model together (METHOD section 13).
 *
 * A value is whole on each rank, or dealt out. By columns: rank r of P has columns
 * d r / P .. d (r + 1) / P - 1 of every row; sums over edges and gathers then need nothing of other
 * ranks. By rows: it has whole rows, as products with weights, norms and codes of rows need them.
 * Rows are cut where partial sums over rows are (op.h), so a sum over all rows is made of the same
 * parts on any number of ranks. */
#ifndef TKG_PLACEMENT_H
#define TKG_PLACEMENT_H

#include "op.h"

enum tkg_placement {
  TKG_WHOLE,
  TKG_COLUMNS,
  TKG_ROWS,
  TKG_PARTS, /* scores of edges: each is on one rank, and zero on the others */
  TKG_PLACEMENTS
};

/* What EXCHANGE does. */
enum tkg_relay {
  TKG_TO_ROWS,      /* columns to rows */
  TKG_TO_COLUMNS,   /* rows to columns */
  TKG_JOIN_COLUMNS, /* columns to whole */
  TKG_JOIN_ROWS,    /* rows to whole */
  TKG_ADD_PARTS,    /* parts to whole */
};

/* What is exchanged, so that its bytes can be counted apart. */
enum tkg_sent {
  TKG_SENT_LAYERS, /* values of as many rows as a table, and their gradients */
  TKG_SENT_AGAIN,  /* such values of forward that backward needs, or computes, anew */
  TKG_SENT_ROWS,   /* rows of a batch */
  TKG_SENT_SUMS,   /* parts of sums over rows: no EXCHANGE */
  TKG_SENT_KINDS
};

/* Columns that a rank has at least: fewer make short rows, of which sums read mostly indices. */
enum { TKG_LEAST_COLUMNS = 8 };

/* Whether a value of these columns, or a matrix of these rows, can be dealt to `size` ranks. */
bool tkg__divides_columns(const tkg_node *n, int size);
bool tkg__divides_rows(const tkg_node *n, int size);

/* The first row of rank 0..size (size: behind the last) of a matrix that is dealt by rows. */
int64_t tkg__first_row(int64_t rows, int rank, int size);

/* In how many pieces, one after another, an EXCHANGE of x to n goes, the same on all ranks, and the
 * bytes that it needs to put columns of ranks side by side, or apart. */
int tkg__exchange_pieces(const tkg_node *n, const tkg_node *x, int size);
/* Whether it goes in codes; tkg__exchanged_rows: rows of a piece of any rank, at most. */
static inline bool tkg__exchanges_codes(const tkg_node *n) { return n->i[3] > 0; }
int64_t tkg__exchanged_rows(const tkg_node *n, const tkg_node *x, int size);
int64_t tkg__exchange_scratch(const tkg_node *n, const tkg_node *x, int size);

#endif
