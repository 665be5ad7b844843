/* What one element becomes, for each elementwise op: the one definition that the CPU's loops and
 * the GPU's kernels share. `op` is a constant where they are called, so the switches vanish. */
#ifndef TKG_FORMULAS_H
#define TKG_FORMULAS_H

#include "base/op.h"
#include "vmath.h"

#define UNARY_OPS(X)                                                                               \
  X(AFFINE) X(LEAKY_RELU) X(SIGMOID) X(TANH) X(SOFTPLUS) X(EXP) X(LOG) X(SQRT) X(SQUARE) X(CLAMP)

/* With relu's slope of 0 an infinity below zero gives 0, not 0 * inf. */
TKG_INLINE float leaky(float x, float slope) {
  float below = slope == 0.0F ? 0.0F : slope * x;
  return x <= 0.0F ? below : x;
}

TKG_INLINE float unary(int op, float x, float f0, float f1) {
  switch (op) {
  case TKG_OP_AFFINE:
    return f0 * x + f1;
  case TKG_OP_LEAKY_RELU:
    return leaky(x, f0);
  case TKG_OP_SIGMOID:
    return v_sigmoid(x);
  case TKG_OP_TANH:
    return v_tanh(x);
  case TKG_OP_SOFTPLUS:
    return v_softplus(x);
  case TKG_OP_EXP:
    return v_exp(x);
  case TKG_OP_LOG:
    return v_log(x);
  case TKG_OP_SQRT:
    return sqrtf(x);
  case TKG_OP_SQUARE:
    return x * x;
  default:
    x = x < f0 ? f0 : x;
    return x > f1 ? f1 : x;
  }
}

#define BINARY_OPS(X) X(ADD) X(SUB) X(MUL) X(DIV)

TKG_INLINE float binary(int op, float a, float b) {
  switch (op) {
  case TKG_OP_ADD:
    return a + b;
  case TKG_OP_SUB:
    return a - b;
  case TKG_OP_MUL:
    return a * b;
  default:
    return a / b;
  }
}

/* Gradients: g, and what forward saw. */
#define GRAD_OPS(X) X(LEAKY_RELU_GRAD) X(SIGMOID_GRAD) X(TANH_GRAD) X(CLAMP_GRAD)

TKG_INLINE float grad(int op, float g, float y, float f0, float f1) {
  float scaled = f0 * g;
  switch (op) {
  case TKG_OP_LEAKY_RELU_GRAD:
    return y > 0.0F ? g : scaled;
  case TKG_OP_SIGMOID_GRAD:
    return g * (y * (1.0F - y));
  case TKG_OP_TANH_GRAD:
    return g * (1.0F - y * y);
  default:
    return y >= f0 && y <= f1 ? g : 0.0F;
  }
}

#endif
