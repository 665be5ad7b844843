/* An op of a group as the kernel that runs the group in tiles reads it (tiles.cu), and the rows of
 * a tile as the op's code finds them. */
#ifndef TKG_CUDA_TILE_OP_H
#define TKG_CUDA_TILE_OP_H

#include "aggregate.cuh"
#include "codes.cuh"
#include "elementwise.cuh"
#include "neighbor_sum.cuh"
#include "normalize.cuh"
#include "random.cuh"

enum {
  TILE_INPUTS = 4,
  TILE_ROWS = 8, /* operands count bytes by so many rows: as many bits are whole bytes */
  TILE_OUT = 31, /* bit of in_tile: the result */
};

/* What an op needs beside its operands. */
typedef struct tile_strides {
  tkg_strides a, b;
  bool flat; /* both have the shape of the result */
} tile_strides;

typedef struct tile_product {
  int n, k; /* a result of n columns, each a sum of k products; of a sum over rows n by k */
  bool tb;  /* the weight is [n, k] */
} tile_product;

typedef struct tile_codes {
  packed_layout l;
  tkg_noise noise;
  int64_t before; /* as codes_noise has it */
  int rounding, bits;
  float least;          /* of normalize_grad */
  const uint8_t *signs; /* NULL: none */
} tile_codes;

typedef struct tile_norm {
  packed_layout l;
  norm_floor floor;
} tile_norm;

typedef struct tile_sorted { /* ids with their positions (argsort_ids.h) */
  tkg_sorted_keys keys;
  tkg_sorted_places places;
  const float *g;
  int count;
} tile_sorted;

typedef struct tile_gather {
  int64_t rows; /* of the table */
  tkg_error_slot error;
} tile_gather;

typedef struct tile_grouped {
  int64_t groups; /* matrices */
  tkg_error_slot error;
  int k;
  bool transposed; /* matrices are [n, k] */
} tile_grouped;

typedef struct tile_neighbours {
  neighbours h;
  int k, d; /* neighbours of a row; columns of the table */
} tile_neighbours;

/* Of a small group (small.cu): where elements lie that do not follow each other. */
typedef struct small_sum {
  tkg_view outs, terms; /* strides 0 of both: of the input */
  int count, number;    /* of outputs, of terms */
} small_sum;

typedef struct small_product {
  int m, n, k, a_row, a_column, b_row, b_column; /* steps from one element to the next */
} small_product;

union tile_extra {
  float f[2];
  bool sums_all; /* of a sum */
  tkg_view view;
  small_sum sum_of;
  small_product pair;
  int cols[TILE_INPUTS]; /* of inputs */
  tile_strides strides;
  tile_product product;
  tile_codes codes;
  tile_norm norm;
  tile_sorted sorted;
  tile_gather gather;
  tile_grouped grouped;
  tile_neighbours neighbourhood;
  dropout_numbers dropout;
  random_stream random;
  terms<float4, plain_rows<float4>> plain_by_four;
  terms<float4, float_rows<float4>> floats_by_four;
  terms<float, float_rows<float>> floats;
  terms<float4, coded_rows<float4>> codes_by_four;
  terms<float, coded_rows<float>> codes_by_one;
};

typedef struct tile_op {
  int op, inputs;   /* TKG_OP_... */
  uint32_t in_tile; /* bit k: input k lies in the tile's memory; bit TILE_OUT: the result */
  bool four;        /* the op's accesses of 16 bytes are aligned */
  bool of_codes;    /* an aggregate reads codes */
  int way;          /* of an aggregate (tile_code.cuh) */
  int rows;         /* of the result, in a small group */
  int cols;         /* of the result; of a sum over rows, of its input */
  int count;        /* of a sum over rows: elements of the result; 0: of other ops */
  int width;        /* lanes that share a row; slices of a sum over rows */
  const char *in[TILE_INPUTS];     /* offsets, if in the tile's memory */
  char *out;                       /* of a sum over rows: the parts */
  int part;                        /* where one is added up in the tile's memory; -1: in place */
  int step[TILE_INPUTS], out_step; /* bytes per TILE_ROWS rows; 0: all of it is read, or written */
  tile_extra x;
} tile_op;

/* A tile: rows first..first+rows-1 of the block's chunk. `begins`: it is the first of them. */
typedef struct tile_rows {
  int64_t first;
  int rows;
  bool begins;
  char *memory;
  shared_noise *drawn;

  /* Input k, or the result, from the tile's first row on. */
  template <class T> __device__ __forceinline__ const T *in(const tile_op &o, int k) const {
    const char *from = o.in_tile >> k & 1 ? memory : NULL;
    if (from) return reinterpret_cast<const T *>(from + reinterpret_cast<intptr_t>(o.in[k]));
    return reinterpret_cast<const T *>(o.in[k] + first / TILE_ROWS * o.step[k]);
  }
  template <class T> __device__ __forceinline__ T *out(const tile_op &o) const {
    if (o.in_tile >> TILE_OUT & 1)
      return reinterpret_cast<T *>(memory + reinterpret_cast<intptr_t>(o.out));
    return reinterpret_cast<T *>(o.out + first / TILE_ROWS * o.out_step);
  }
  __device__ __forceinline__ int64_t last(void) const { return first + rows; }
} tile_rows;

#endif
